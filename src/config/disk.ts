import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Disk, FileError, type Folder } from './files.ts';

/** No configuration, secret or certificate is longer. */
const MAX_FILE_BYTES = 1024 * 1024;

const READ_BY_GROUP = 0o040;
const WRITE_BY_GROUP = 0o020;
const WRITE_BY_OTHERS = 0o002;
const STICKY = 0o1000;

/** The disk of this machine. */
export class SystemDisk implements Disk {
  /** Of each file that was read, from its open descriptor: the file that was judged is the one that was read. */
  readonly #read = new Map<string, Stats>();

  /** @throws FileFault, or an Error as `node:fs` does */
  readonly readFile = (path: string): string => {
    const { bytes, stats } = readRegularFile(path);
    this.#read.set(resolve(path), stats);
    return bytes.toString('utf8');
  };

  readonly fileMode = (path: string): number | undefined => {
    const stats = this.#read.get(resolve(path));
    return stats === undefined || process.platform === 'win32' ? undefined : modeThatCounts(stats);
  };

  readonly folders = (path: string): Folder[] => {
    if (!this.#read.has(resolve(path)) || process.platform === 'win32') return [];
    return foldersOf(path).map((folder) => ({ path: folder, mode: folderMode(folder) }));
  };
}

/**
 * Reads a regular file, also through links. A pipe or a device is refused: reading it could wait forever or never end.
 * @throws FileFault, or an Error as `node:fs` does
 */
export function readRegularFile(path: string): { bytes: Buffer; stats: Stats } {
  // Without O_NONBLOCK, opening a pipe waits for somebody who writes. Windows has neither flag: they count as 0 there.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw new FileError(`it is ${kindOf(stats)}, not a regular file`);
    if (stats.size > MAX_FILE_BYTES) throw tooLarge();
    return { bytes: readAll(descriptor, stats.size), stats };
  } finally {
    closeSync(descriptor);
  }
}

function tooLarge(): FileError {
  return new FileError('it is larger than 1 MiB');
}

/** Reads to the end, which may lie beyond `size`: the file may have grown, and files under /proc have size 0. */
function readAll(descriptor: number, size: number): Buffer {
  const pieces: Buffer[] = [];
  let total = 0;
  for (;;) {
    const piece = Buffer.allocUnsafe(Math.max(size - total, 4096));
    const length = readSync(descriptor, piece);
    if (length === 0) return Buffer.concat(pieces);
    total += length;
    if (total > MAX_FILE_BYTES) throw tooLarge();
    pieces.push(piece.subarray(0, length));
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  return stats.isFIFO() ? 'a pipe' : 'a device';
}

/**
 * The mode of a file or folder. The rights of its group are left out where no other user has them:
 * - Another user owns the file, and this process has access through its group. No stricter mode works: Kubernetes gives
 *   secrets to a process that is not root in this way, and `fsGroup` may add the right to write.
 * - The group has the number of the owner. Such user private groups come with a umask of 002, so this is about writing.
 */
function modeThatCounts({ mode, uid, gid }: Stats): number {
  const user = process.geteuid?.();
  const isForeign = user !== 0 && uid !== user;
  const isOwnGroup = isForeign && (process.getegid?.() === gid || process.getgroups?.().includes(gid) === true);
  const isPrivateGroup = uid === gid && uid !== 0;
  return mode & ~(isForeign ? READ_BY_GROUP : 0) & ~(isOwnGroup || isPrivateGroup ? WRITE_BY_GROUP : 0);
}

/** The folder of a path, and the one that links lead to. */
function foldersOf(path: string): string[] {
  const own = dirname(resolve(path));
  try {
    return [...new Set([own, dirname(realpathSync(path))])];
  } catch {
    // Kubernetes has just put another folder in place of the one that was read; a reload follows.
    return [own];
  }
}

/**
 * In a sticky folder, nobody can replace another user's file. On a read-only mount nobody can replace anything: the
 * folder of a ConfigMap has mode 0777, and Kubernetes mounts it read-only.
 */
function folderMode(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return 0;
  const mode = modeThatCounts(stats);
  return (mode & STICKY) !== 0 || isReadOnlyMount(path) ? mode & ~(WRITE_BY_GROUP | WRITE_BY_OTHERS) : mode;
}

function isReadOnlyMount(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EROFS';
  }
}

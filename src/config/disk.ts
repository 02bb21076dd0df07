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
import type { Diagnostics } from './diagnostics.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './source.ts';

type FileEncoding = 'utf8' | 'base64';

/** What reading a configuration needs of a disk. */
export interface Disk {
  /** The text of a file, or its bytes as Base64. Throws like `node:fs`. */
  readonly readFile: (path: string, encoding?: FileEncoding) => string;
  /** Permission bits of a file that was read; undefined if the system has none. */
  readonly fileMode: (path: string) => number | undefined;
  /** The folders in which a file that was read can be replaced, with their permission bits. */
  readonly folders: (path: string) => readonly Folder[];
}

interface Folder {
  readonly path: string;
  readonly mode: number;
}

const READ_BY_OTHERS = 0o044;
const WRITTEN_BY_OTHERS = 0o022;

/** The key of a file in `Files.texts`. A file that is read in both encodings has two entries. */
export function textKey(absolutePath: string, encoding: FileEncoding = 'utf8'): string {
  return encoding === 'utf8' ? absolutePath : `${encoding}:${absolutePath}`;
}

/** The files of one configuration. Relative paths start at the folder of the configuration file. */
export class Files {
  readonly #config: string;
  readonly #disk: Disk;
  readonly #requested = new Set<string>();
  readonly #texts = new Map<string, string>();

  constructor(config: string, disk: Disk) {
    this.#config = config;
    this.#disk = disk;
  }

  /** Absolute paths of all files that were read or could not be read. */
  get requested(): readonly string[] {
    return [...this.#requested];
  }

  /** The texts of the files that were read, by `textKey` of their absolute paths. */
  get texts(): ReadonlyMap<string, string> {
    return this.#texts;
  }

  /** The text of the configuration file. Throws like `node:fs`. */
  readConfig(): string {
    return this.#read(this.#config, resolve(this.#config));
  }

  /** The text of another file. Throws like `node:fs`. */
  read(path: string): string {
    const absolute = this.absolute(path);
    return this.#read(absolute, absolute);
  }

  /** The bytes of another file, as Base64. Throws like `node:fs`. */
  readBase64(path: string): string {
    const absolute = this.absolute(path);
    return this.#read(absolute, absolute, 'base64');
  }

  #read(path: string, absolute: string, encoding?: FileEncoding): string {
    this.#requested.add(absolute);
    const text = this.#disk.readFile(path, encoding);
    this.#texts.set(textKey(absolute, encoding), text);
    return text;
  }

  absolute(path: string): string {
    return resolve(dirname(this.#config), path);
  }

  /** Whether other users of this machine may read the file. */
  isReadByOthers(path: string): boolean {
    return this.#has(path, READ_BY_OTHERS);
  }

  /** Whether other users of this machine may write the file. */
  isWrittenByOthers(path: string): boolean {
    return this.#has(path, WRITTEN_BY_OTHERS);
  }

  /** The folders in which other users of this machine may put another file in place of this one. */
  sharedFolders(path: string): readonly string[] {
    const folders = this.#disk.folders(this.absolute(path));
    return folders.filter(({ mode }) => (mode & WRITTEN_BY_OTHERS) !== 0).map((folder) => folder.path);
  }

  #has(path: string, bits: number): boolean {
    return ((this.#disk.fileMode(this.absolute(path)) ?? 0) & bits) !== 0;
  }
}

/** A file that exists but must not be read. Its message is for users. */
export class FileError extends Error {
  override readonly name = 'FileError';
}

/** Error codes of `node:fs` in words. Opening a socket fails with ENXIO on Linux and with EOPNOTSUPP on macOS. */
const CODES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'no permission',
  ENXIO: 'it is a socket, not a regular file',
  EOPNOTSUPP: 'it is a socket, not a regular file',
};

/** Why a file could not be read. */
export function readError(error: unknown): string {
  if (error instanceof FileError) return error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  return CODES[code] ?? code;
}

export interface FileModeContext {
  readonly input: ConfigInput;
  readonly report: Diagnostics;
  readonly files: Files;
  /** Real credentials are not used, so a file that others can read or write is only a warning. */
  readonly emulated: boolean;
}

const IN_KUBERNETES = '(in Kubernetes, set `defaultMode: 0440` on the volume and `fsGroup` on the pod)';

/** A file that was read for the value at `path`. */
interface FileUse {
  readonly path: Path;
  readonly file: string;
  readonly isSecret: boolean;
  /** Its name came from a variable and must not be shown. */
  readonly isNameHidden?: boolean;
}

/**
 * Checks the modes of the configuration and of the files of its `${file:...}`. Reports those with secrets that other
 * users of this machine can read, and any that they can write or replace.
 */
export function checkFileModes(config: string, references: readonly FileReference[], context: FileModeContext): void {
  checkFileMode({ path: [], file: resolve(config), isSecret: false }, context);
  for (const { path, file, isPublic } of references) {
    checkFileMode({ path, file, isSecret: !isPublic && isSecret(path) }, context);
  }
}

/** Checks the mode of one file. */
export function checkFileMode({ path, file, isSecret, isNameHidden = false }: FileUse, context: FileModeContext): void {
  const { files } = context;
  const [shown, name] = isNameHidden ? ['this file', 'FILE'] : [`\`${files.absolute(file)}\``, files.absolute(file)];
  const isRead = isSecret && files.isReadByOthers(file);
  const isWritten = files.isWrittenByOthers(file);
  if (isRead || isWritten) {
    const rights = isRead && isWritten ? 'read and write' : isRead ? 'read' : 'write';
    const hint = isRead ? `run \`chmod 600 ${name}\` ${IN_KUBERNETES}` : `run \`chmod go-w ${name}\``;
    reportMode(path, `other users of this machine can ${rights} ${shown}; ${hint}`, context);
  }
  for (const folder of files.sharedFolders(file)) {
    const command = `chmod go-w ${isNameHidden ? 'FOLDER' : folder}`;
    const hint = `run \`${command}\` (in Kubernetes, mount it with \`readOnly: true\`)`;
    const text = `other users of this machine can replace ${shown}, because they can write its folder; ${hint}`;
    reportMode(path, text, context);
  }
}

/** A problem in production, else a warning. */
function reportMode(path: Path, text: string, { input, report, emulated }: FileModeContext): void {
  if (isProduction(path, input) && !emulated) report.problem(path, text);
  else report.warn(path, text);
}

function isSecret([top, second, third, fourth]: Path): boolean {
  if (top === 'routes' && third === 'oauth2') return fourth === 'key' || fourth === 'refresh_token';
  if (top === 'routes' && third === 'tls') return fourth === 'passphrase';
  if (top === 'routes') return ['credentials', 'token', 'headers', 'sign', 'egress_proxy'].includes(String(third));
  if (top === 'token_store' || top === 'egress_proxy') return true;
  return top === 'clients' ? third === 'key' : top === 'admin' && second === 'token';
}

/** Whether a production route uses the value: that route for a value of a route, any route for another value. */
function isProduction([top, name]: Path, input: ConfigInput): boolean {
  const routes = Object.entries(input.routes).filter(([route]) => top !== 'routes' || route === name);
  return routes.some(([, { environment = input.environment }]) => environment === 'production');
}

/** A `${file:...}` whose file was read. */
export interface FileReference {
  readonly path: Path;
  /** As the reference names it. */
  readonly file: string;
  /** It consists of certificates and public keys in PEM. */
  readonly isPublic: boolean;
}

/** Whether a text consists of certificates and public keys in PEM (RFC 7468). */
export function isPublicPem(text: string): boolean {
  return /^(?:\s*-----BEGIN (CERTIFICATE|(?:RSA )?PUBLIC KEY)-----[\w\s+/=]+-----END \1-----)+\s*$/.test(text);
}

/** More than any configuration, secret or certificate has. */
const MAX_FILE_BYTES = 1024 * 1024;

const READ_BY_GROUP = 0o040;
const WRITE_BY_GROUP = 0o020;
const WRITE_BY_OTHERS = 0o002;
const STICKY = 0o1000;

/** The disk of this machine. */
export class SystemDisk implements Disk {
  /** By path, from the open descriptor, so that the mode is that of the file that was read. */
  readonly #read = new Map<string, Stats>();

  /** @throws FileError, or an Error of `node:fs` */
  readonly readFile = (path: string, encoding: FileEncoding = 'utf8'): string => {
    const { bytes, stats } = readRegularFile(path);
    this.#read.set(resolve(path), stats);
    return bytes.toString(encoding);
  };

  readonly fileMode = (path: string): number | undefined => {
    const stats = this.#read.get(resolve(path));
    return stats === undefined || process.platform === 'win32' ? undefined : effectiveMode(stats);
  };

  readonly folders = (path: string): Folder[] => {
    if (!this.#read.has(resolve(path)) || process.platform === 'win32') return [];
    return foldersOf(path).map((folder) => ({ path: folder, mode: folderMode(folder) }));
  };
}

/**
 * Reads a regular file, also through links. Refuses a pipe or a device: reading it could block or never end.
 * @throws FileError, or an Error of `node:fs`
 */
export function readRegularFile(path: string): { bytes: Buffer; stats: Stats } {
  // Without O_NONBLOCK, opening a pipe waits for a writer. On Windows both flags are undefined, which counts as 0.
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

/** Reads to the end, which may be beyond `size`: the file may have grown, and files under /proc have size 0. */
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
 * The mode of a file or folder, without group rights that give no other user access:
 * - Another user owns the file, and this process has access through its group. Kubernetes mounts secrets like this for
 *   a process that is not root (`fsGroup`, which may add the right to write), so no stricter mode would work.
 * - The group has the number of the owner: a user private group, whose umask of 002 lets the group write.
 */
function effectiveMode({ mode, uid, gid }: Stats): number {
  const user = process.geteuid?.();
  const isOwnedByOther = user !== 0 && uid !== user;
  const isOwnGroup = isOwnedByOther && (process.getegid?.() === gid || process.getgroups?.().includes(gid) === true);
  const isPrivateGroup = uid === gid && uid !== 0;
  return mode & ~(isOwnedByOther ? READ_BY_GROUP : 0) & ~(isOwnGroup || isPrivateGroup ? WRITE_BY_GROUP : 0);
}

/** The folder of a path, and that of the file that its links point to. */
function foldersOf(path: string): string[] {
  const own = dirname(resolve(path));
  try {
    return [...new Set([own, dirname(realpathSync(path))])];
  } catch {
    // Kubernetes has just replaced the folder that was read. A reload follows.
    return [own];
  }
}

/**
 * The mode of a folder, without write rights that cannot replace a file. In a sticky folder, users can replace only
 * their own files. On a read-only mount they can replace none: the folder of a ConfigMap has mode 0777.
 */
function folderMode(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return 0;
  const mode = effectiveMode(stats);
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

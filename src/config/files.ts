import { dirname, resolve } from 'node:path';

/** The disk, as a configuration sees it. */
export interface Disk {
  /** The text of a file. Throws as `node:fs` does. */
  readonly readFile: (path: string) => string;
  /** Permission bits of a file that was read; undefined where there are none that mean anything. */
  readonly fileMode: (path: string) => number | undefined;
  /** The folders in which another file can be put in place of one that was read, and their permission bits. */
  readonly folders: (path: string) => readonly Folder[];
}

export interface Folder {
  readonly path: string;
  readonly mode: number;
}

const READ_BY_OTHERS = 0o044;
const WRITTEN_BY_OTHERS = 0o022;

/** The files of one configuration. Relative paths start at the folder of the configuration file. */
export class Files {
  readonly #config: string;
  readonly #disk: Disk;
  readonly #asked = new Set<string>();
  readonly #texts = new Map<string, string>();

  constructor(config: string, disk: Disk) {
    this.#config = config;
    this.#disk = disk;
  }

  /** Absolute paths of all files that were asked for, whether they could be read or not. */
  get asked(): readonly string[] {
    return [...this.#asked];
  }

  /** What was read, by absolute path. */
  get texts(): ReadonlyMap<string, string> {
    return this.#texts;
  }

  /** The configuration file itself. Throws as `node:fs` does. */
  readConfig(): string {
    return this.#read(this.#config, resolve(this.#config));
  }

  /** Throws as `node:fs` does. */
  read(path: string): string {
    const absolute = this.absolute(path);
    return this.#read(absolute, absolute);
  }

  #read(path: string, absolute: string): string {
    this.#asked.add(absolute);
    const text = this.#disk.readFile(path);
    this.#texts.set(absolute, text);
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

/** A file that is not read, though it could be. Its message is for users. */
export class FileError extends Error {
  override readonly name = 'FileFault';
}

/** What the codes of `node:fs` mean. A socket cannot be opened: Linux says ENXIO, macOS EOPNOTSUPP. */
const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'no permission',
  ENXIO: 'it is a socket, not a regular file',
  EOPNOTSUPP: 'it is a socket, not a regular file',
};

/** Why a file could not be read. */
export function readError(error: unknown): string {
  if (error instanceof FileError) return error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  return FAULTS[code] ?? code;
}

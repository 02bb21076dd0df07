import { dirname, resolve } from 'node:path';

/** The disk, as a configuration sees it. */
export interface Disk {
  /** The text of a file. Throws as `node:fs` does. */
  readonly readFile: (path: string) => string;
  /** Permission bits as `stat` gives them; undefined where there are none that mean anything. */
  readonly fileMode: (path: string) => number | undefined;
}

const READ_BY_OTHERS = 0o044;

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
  isShared(path: string): boolean {
    return ((this.#disk.fileMode(this.absolute(path)) ?? 0) & READ_BY_OTHERS) !== 0;
  }
}

/** Why a file could not be read. */
export function readFault(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  return code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'no permission' : code;
}

import { dirname, resolve } from 'node:path';
import type { Diagnostics } from './diagnostics.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './source.ts';

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

/** What the modes of files are checked with. */
export interface FileModeContext {
  readonly input: ConfigInput;
  readonly report: Diagnostics;
  readonly files: Files;
  /** Real credentials will not be used: a file that others may read or write stops nothing. */
  readonly emulated: boolean;
}

const IN_KUBERNETES = '(in Kubernetes, set `defaultMode: 0440` on the volume and `fsGroup` on the pod)';

/** A file that was read for the value at `path`. */
interface FileUse {
  readonly path: Path;
  readonly file: string;
  readonly isSecret: boolean;
  /** Its name came from a variable, and is not shown. */
  readonly isNameHidden?: boolean;
}

/**
 * Reports what other users of this machine may do to the configuration and the files of its `${file:...}`: read one
 * that holds a secret, write any of them, or put another in its place.
 */
export function checkFileModes(config: string, references: readonly FileReference[], reading: FileModeContext): void {
  checkFileMode({ path: [], file: resolve(config), isSecret: false }, reading);
  for (const { path, file } of references) checkFileMode({ path, file, isSecret: isSecret(path) }, reading);
}

/** The same for one file. */
export function checkFileMode({ path, file, isSecret, isNameHidden = false }: FileUse, reading: FileModeContext): void {
  const { files } = reading;
  const [shown, name] = isNameHidden ? ['this file', 'FILE'] : [`\`${files.absolute(file)}\``, files.absolute(file)];
  const isRead = isSecret && files.isReadByOthers(file);
  const isWritten = files.isWrittenByOthers(file);
  if (isRead || isWritten) {
    const rights = isRead && isWritten ? 'read and write' : isRead ? 'read' : 'write';
    const remedy = isRead ? `run \`chmod 600 ${name}\` ${IN_KUBERNETES}` : `run \`chmod go-w ${name}\``;
    reportMode(path, `other users of this machine may ${rights} ${shown}; ${remedy}`, reading);
  }
  for (const folder of files.sharedFolders(file)) {
    const command = `chmod go-w ${isNameHidden ? 'FOLDER' : folder}`;
    const remedy = `run \`${command}\` (in Kubernetes, mount it with \`readOnly: true\`)`;
    const text = `other users of this machine may replace ${shown}, as they may write its folder; ${remedy}`;
    reportMode(path, text, reading);
  }
}

/** A problem in production, else a warning. */
function reportMode(path: Path, text: string, { input, report, emulated }: FileModeContext): void {
  if (isProduction(path, input) && !emulated) report.problem(path, text);
  else report.warn(path, text);
}

function isSecret([top, second, third, fourth]: Path): boolean {
  if (top === 'routes' && third === 'oauth2') return fourth === 'key' || fourth === 'refresh_token';
  if (top === 'routes') return ['credentials', 'token', 'headers'].includes(String(third));
  if (top === 'token_store') return true;
  return top === 'clients' ? third === 'key' : top === 'admin' && second === 'token';
}

/** Whether the value is used in production: that of a route by this route, any other by any route. */
function isProduction([top, name]: Path, input: ConfigInput): boolean {
  const routes = Object.entries(input.routes).filter(([route]) => top !== 'routes' || route === name);
  return routes.some(([, { environment = input.environment }]) => environment === 'production');
}

/** A `${file:...}` whose file could be read. */
export interface FileReference {
  readonly path: Path;
  /** As it is named in the reference. */
  readonly file: string;
}

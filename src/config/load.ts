import { ConfigError, type ConfigProblem } from '../errors.ts';
import type { Config, ListenAddress } from './config.ts';
import { SystemDisk } from './disk.ts';
import { type Disk, Files, readError } from './files.ts';
import { interpolate, type Lookups } from './interpolate.ts';
import { Diagnostics } from './diagnostics.ts';
import { resolveConfig } from './resolve.ts';
import { resolveRoutes } from './resolve-route.ts';
import { parseSource, type Path } from './source.ts';
import { STARTER } from './starter.ts';
import { validate } from './validate.ts';

/** What is not given of a disk is this machine's. */
export interface LoadOptions extends Partial<Disk> {
  /** In place of what the configuration file holds: there is none, then. */
  readonly text?: string;
  readonly env?: Lookups['env'];
  /** Milliseconds since the Unix epoch, to tell whether certificates have expired. */
  readonly now?: number;
  /** Hosts and credentials of all routes will be replaced: `${...}` and credentials may be missing there. */
  readonly emulated?: boolean;
  /** In place of the address under `listen`; what stands there about TLS holds. */
  readonly listen?: ListenAddress | undefined;
  /** In place of the address under `admin`; a token that stands there holds. */
  readonly admin?: ListenAddress | false | undefined;
}

export interface Loaded {
  readonly config: Config;
  /** What works, but is hardly meant. */
  readonly warnings: readonly ConfigProblem[];
  /** Absolute paths of everything that was read for it, the file itself first. */
  readonly files: readonly string[];
}

/** What came of reading a file: a configuration, or problems. */
export interface ValidatedConfig {
  readonly config: Config | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
  /** Absolute paths of everything that was read for it, the file itself first, and of what could not be read. */
  readonly files: readonly string[];
  /** What was read, by absolute path. Secrets among it. */
  readonly texts: ReadonlyMap<string, string>;
}

/** Reads, checks and resolves a configuration file. Throws a ConfigError with every problem it has. */
export function loadConfig(file: string, options: LoadOptions = {}): Loaded {
  const { config, problems, warnings, files } = validateConfig(file, options);
  if (config === undefined) throw new ConfigError(problems);
  return { config, warnings, files };
}

/** The same for those who want to know all about a bad file too. Never throws for what is wrong with the file. */
export function validateConfig(file: string, options: LoadOptions = {}): ValidatedConfig {
  const disk = new SystemDisk();
  const { text, readFile = disk.readFile, fileMode = disk.fileMode, folders = disk.folders } = options;
  const read = (path: string) => (path === file && text !== undefined ? text : readFile(path));
  const files = new Files(file, { readFile: read, fileMode, folders });
  try {
    return { ...examine(file, files, options), files: files.asked, texts: files.texts };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: undefined, problems: error.problems, warnings: [], files: files.asked, texts: files.texts };
  }
}

/** Throws a ConfigError only where the file cannot be read at all. */
function examine(file: string, files: Files, options: LoadOptions): Omit<ValidatedConfig, 'files' | 'texts'> {
  const { env = process.env, emulated = false, now = Date.now(), listen, admin } = options;
  const source = parseSource(file, readConfig(file, files));
  const report = new Diagnostics(source);
  const lookups = { env, readFile: (path: string) => files.read(path) };
  const interpolation = interpolate(source, lookups, report, (path) => emulated && mayBeMissing(path));
  const input = validate(source.values, interpolation, report);
  const routes = resolveRoutes(input, { report, segments: interpolation.segments, emulated, now });
  const config = resolveConfig(file, input, report, { routes, interpolation, files, emulated, now, listen, admin });
  const { problems, warnings } = report;
  return { config: problems.length > 0 ? undefined : config, problems, warnings };
}

/** What `wakala dev` runs on where there is no file: a few built-in providers, emulated. */
export function defaultConfig(options: Pick<LoadOptions, 'listen' | 'admin'> = {}): Config {
  const readFile = () => STARTER;
  return loadConfig('(built in)', { ...options, readFile, env: {}, emulated: true }).config;
}

function mayBeMissing(path: Path): boolean {
  return path[0] === 'token_store' || (path[0] === 'routes' && path[2] !== 'provider');
}

function readConfig(file: string, files: Files): string {
  try {
    return files.readConfig();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    const absent = 'there is no such file; `wakala init` writes one, and `wakala dev` runs without';
    const message = code === 'ENOENT' ? absent : `cannot be read: ${readError(error)}`;
    throw new ConfigError([{ file, line: 1, column: 1, key: '', message }]);
  }
}

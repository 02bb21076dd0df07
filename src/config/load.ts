import { ConfigError, type ConfigProblem } from '../errors.ts';
import type { Config, ListenAddress } from './config.ts';
import { Diagnostics } from './diagnostics.ts';
import { type Disk, Files, readError, SystemDisk } from './disk.ts';
import { interpolate, type Lookups } from './interpolate.ts';
import { resolveConfig } from './resolve.ts';
import { resolveRoutes } from './resolve-route.ts';
import { parseSource, type Path } from './source.ts';
import { STARTER } from './starter.ts';
import { validate } from './validate.ts';

/** Disk functions that are not given are those of this machine. */
export interface LoadOptions extends Partial<Disk> {
  /** The text of the configuration, in place of a file. */
  readonly text?: string;
  readonly env?: Lookups['env'];
  /** Milliseconds since the Unix epoch, for the dates of certificates. */
  readonly nowMs?: number;
  /** Emulators replace the hosts and credentials of all routes, so those and their `${...}` may be missing. */
  readonly emulated?: boolean;
  /** Replaces the address of `listen`, not its `tls`. */
  readonly listen?: ListenAddress | undefined;
  /** Replaces the address of `admin`, not its `token`. */
  readonly admin?: ListenAddress | false | undefined;
}

/** A valid configuration. */
export interface Loaded {
  readonly config: Config;
  /** What works but is probably a mistake. */
  readonly warnings: readonly ConfigProblem[];
  /** Absolute paths of all files that were read, the configuration first. */
  readonly files: readonly string[];
}

/** A configuration, or the problems that prevent one. */
export interface ValidatedConfig {
  readonly config: Config | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
  /** Absolute paths of all files that were read or could not be read, the configuration first. */
  readonly files: readonly string[];
  /** The texts of the files that were read, by `textKey` of their absolute paths. Some are secret. */
  readonly texts: ReadonlyMap<string, string>;
}

/**
 * Reads, checks and resolves a configuration file.
 * @throws ConfigError with every problem of the file
 */
export function loadConfig(file: string, options: LoadOptions = {}): Loaded {
  const { config, problems, warnings, files } = validateConfig(file, options);
  if (config === undefined) throw new ConfigError(problems);
  return { config, warnings, files };
}

/** The same, but returns the problems of the file in place of throwing. */
export function validateConfig(file: string, options: LoadOptions = {}): ValidatedConfig {
  const disk = new SystemDisk();
  const { text, readFile = disk.readFile, fileMode = disk.fileMode, folders = disk.folders } = options;
  const read: Disk['readFile'] = (path, encoding) =>
    path === file && text !== undefined ? text : readFile(path, encoding);
  const files = new Files(file, { readFile: read, fileMode, folders });
  try {
    return { ...parseAndResolve(file, files, options), files: files.requested, texts: files.texts };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: undefined, problems: error.problems, warnings: [], files: files.requested, texts: files.texts };
  }
}

/** @throws ConfigError only if the file cannot be read or is not YAML */
function parseAndResolve(file: string, files: Files, options: LoadOptions): Omit<ValidatedConfig, 'files' | 'texts'> {
  const { env = process.env, emulated = false, nowMs = Date.now(), listen, admin } = options;
  const source = parseSource(file, readConfig(file, files));
  const report = new Diagnostics(source);
  const lookups = { env, readFile: (path: string) => files.read(path) };
  const interpolation = interpolate(source, lookups, report, (path) => emulated && mayBeMissing(path));
  const input = validate(source.values, interpolation, report);
  const routes = resolveRoutes({ input, report, files, env, segments: interpolation.segments, emulated, nowMs });
  const config = resolveConfig(file, input, report, { routes, interpolation, files, emulated, nowMs, listen, admin });
  const { problems, warnings } = report;
  return { config: problems.length > 0 ? undefined : config, problems, warnings };
}

/** The configuration of `wakala dev` without a file: a few built-in providers, emulated. */
export function defaultConfig(options: Pick<LoadOptions, 'listen' | 'admin'> = {}): Config {
  const readFile = () => STARTER;
  return loadConfig('(built in)', { ...options, readFile, env: {}, emulated: true }).config;
}

/** A rule without one of its texts would compute something else, so those may not be missing. */
function mayBeMissing(path: Path): boolean {
  const [top, , key] = path;
  const isComputed = key === 'sign' || (key === 'token' && (path.includes('values') || path.includes('header_value')));
  return top === 'token_store' || (top === 'routes' && key !== 'provider' && !isComputed);
}

function readConfig(file: string, files: Files): string {
  try {
    return files.readConfig();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    const absent = 'there is no such file; `wakala init` writes one, and `wakala dev` needs none';
    const message = code === 'ENOENT' ? absent : `cannot be read: ${readError(error)}`;
    throw new ConfigError([{ file, line: 1, column: 1, key: '', message }]);
  }
}

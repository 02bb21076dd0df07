import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import type { Config, ListenAddress } from './config.ts';
import { STARTER } from './starter.ts';
import { interpolate, type Lookups } from './interpolate.ts';
import { Report } from './problems.ts';
import { resolveConfig } from './resolve.ts';
import { parseSource } from './source.ts';
import type { Path } from './tree.ts';
import { validate } from './validate.ts';

export interface LoadOptions {
  /** The text of a file. Throws as `node:fs` does. */
  readonly readFile?: (path: string) => string;
  readonly env?: Lookups['env'];
  /** Hosts and credentials of all routes will be replaced: `${...}` and credentials may be missing there. */
  readonly emulated?: boolean;
  /** In place of the file's `listen`. */
  readonly listen?: ListenAddress | undefined;
  /** In place of the file's `admin`. */
  readonly admin?: ListenAddress | false | undefined;
}

export interface Loaded {
  readonly config: Config;
  /** What works, but is hardly meant. */
  readonly warnings: readonly ConfigProblem[];
}

/** What came of reading a file: a configuration, or problems. */
export interface Examined {
  readonly config: Config | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

/** Reads, checks and resolves a configuration file. Throws a ConfigError with every problem it has. */
export function loadConfig(file: string, options: LoadOptions = {}): Loaded {
  const { config, problems, warnings } = examineConfig(file, options);
  if (config === undefined) throw new ConfigError(problems);
  return { config, warnings };
}

/** The same for those who want to know all about a bad file too. Never throws for what is wrong with the file. */
export function examineConfig(file: string, options: LoadOptions = {}): Examined {
  try {
    return examine(file, options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: undefined, problems: error.problems, warnings: [] };
  }
}

/** Throws a ConfigError only where the file cannot be read at all. */
function examine(file: string, options: LoadOptions): Examined {
  const { readFile = readText, env = process.env, emulated = false } = options;
  const source = parseSource(file, readConfig(file, readFile));
  const report = new Report(source);
  const lookups = { env, readFile: (path: string) => readFile(resolve(dirname(file), path)) };
  const interpolation = interpolate(source, lookups, report, (path) => emulated && mayBeMissing(path));
  const input = validate(source.values, interpolation, report);
  const { listen, admin } = options;
  const { segments } = interpolation;
  const config = resolveConfig(file, input, report, { segments, emulated, listen, admin });
  const { problems, warnings } = report;
  return { config: problems.length > 0 ? undefined : config, problems, warnings };
}

/** What `wakala dev` runs on where there is no file: every built-in provider that has hosts, emulated. */
export function defaultConfig(options: Pick<LoadOptions, 'listen' | 'admin'> = {}): Config {
  const readFile = () => STARTER;
  return loadConfig('(built in)', { ...options, readFile, env: {}, emulated: true }).config;
}

function mayBeMissing(path: Path): boolean {
  return path[0] === 'routes' && path[2] !== 'provider';
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

function readConfig(file: string, readFile: (path: string) => string): string {
  try {
    return readFile(file);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    const absent = 'there is no such file; `wakala init` writes one, and `wakala dev` runs without one';
    const message = code === 'ENOENT' ? absent : `cannot be read: ${code}`;
    throw new ConfigError([{ file, line: 1, column: 1, key: '', message }]);
  }
}

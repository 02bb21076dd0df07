import { appendFileSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { readRegularFile } from '../../config/disk.ts';
import { FileError, readError } from '../../config/files.ts';
import { networkCode } from '../../errors.ts';
import type { Environment } from '../../providers/provider.ts';
import { providers } from '../../providers/registry.ts';
import { EXIT, type Io } from '../io.ts';
import { configText, ENV_HEAD, envText, type Plan, providersNamed, UNASKED, variablesOf } from './plan.ts';
import { askPlan, type Dialog, DialogEnded, type Given } from './wizard.ts';

/** What to type after the files are written, for a POSIX shell in the folder where `wakala init` ran. */
function nextSteps(file: string): string {
  const beside = (name: string) => shellWord(join(dirname(file), name));
  const named = file === 'proxy.config.yaml' ? '' : ` -c ${shellWord(file)}`;
  const env = beside('.env');
  const sourced = isAbsolute(file) ? env : shellWord(`./${join(dirname(file), '.env')}`);
  const steps = [
    [`wakala dev${named}`, 'try it at once: emulated providers, no credentials'],
    existsSync(join(dirname(file), '.env'))
      ? [`"\${EDITOR:-vi}" ${env}`, `add the variables of ${beside('.env.example')}`]
      : [`cp ${beside('.env.example')} ${env}`, 'then fill in the credentials'],
    [`set -a; . ${sourced}; set +a`, 'Wakala reads the environment, not .env'],
    [`wakala check${named}`, 'is the configuration good?'],
    [`wakala doctor${named}`, 'do the providers take the credentials?'],
    [`wakala${named}`, 'run the proxy'],
  ];
  const width = Math.max(...steps.map(([command = '']) => command.length));
  return `\nNext:\n${steps.map(([command = '', why = '']) => `  ${command.padEnd(width)}  # ${why}\n`).join('')}`;
}

function shellWord(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Whether the rules of a .gitignore keep the file `.env` beside it out of Git. The last rule that matches wins, and `!`
 * turns it round (gitignore(5)). Character classes are not read: a rule with one counts as none that matches.
 */
function ignoresEnv(rules: string): boolean {
  let ignored = false;
  for (const line of rules.split(/\r?\n/)) {
    const [, not, pattern = ''] = /^(!?)(?:\*\*\/|\/)?(.*)$/.exec(line.replace(/(?<! ) +$/, '')) ?? [];
    if (matchesEnv(pattern)) ignored = not !== '!';
  }
  return ignored;
}

function matchesEnv(pattern: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replaceAll('?', '[^/]');
  return new RegExp(`^${source}$`).test('.env');
}

/** A file that is to be written is there already. */
class FileExists extends Error {
  override readonly name = 'FileExists';
}

/**
 * Writes the configuration, and what belongs beside it; calls `tell` after each file. What is there already keeps every
 * line that it has. Throws FileExists, having written nothing, where the configuration is there; else FileFault or as
 * `node:fs` does.
 */
function writeFiles(file: string, plan: Plan, tell: (line: string) => void): void {
  if (!isCreated(file, configText(plan))) throw new FileExists(file);
  tell(`wrote ${file}: ${plan.providers.map(({ name }) => `/${name}/*`).join(', ')}`);
  tell(addVariables(join(dirname(file), '.env.example'), plan));
  tell(ignoreEnv(join(dirname(file), '.gitignore')));
}

/** @returns what was done */
function addVariables(file: string, plan: Plan): string {
  const variables = plan.providers.flatMap(variablesOf);
  const listed = variables.map(({ name }) => name).join(', ');
  if (isCreated(file, ENV_HEAD + envText(variables))) return `wrote ${file}: ${listed}`;
  const text = readText(file);
  const missing = variables.filter(({ name }) => !new RegExp(`^[ #]*(export +)?${name} *=`, 'm').test(text));
  if (missing.length === 0) return `left ${file} as it is: it has every variable`;
  append(file, text, `\n${envText(missing)}`);
  return `added to ${file}: ${missing.map(({ name }) => name).join(', ')}`;
}

/** @returns what was done */
function ignoreEnv(file: string): string {
  if (isCreated(file, '.env\n')) return `wrote ${file}: .env`;
  const text = readText(file);
  if (ignoresEnv(text)) return `left ${file} as it is: it covers .env`;
  append(file, text, '.env\n');
  return `added to ${file}: .env`;
}

/** @throws FileFault that names the file */
function readText(file: string): string {
  try {
    return readRegularFile(file).bytes.toString('utf8');
  } catch (error) {
    throw new FileError(`\`${basename(file)}\` cannot be read: ${readError(error)}`, { cause: error });
  }
}

/** False where there is something of that name, which stays as it is. */
function isCreated(file: string, text: string): boolean {
  try {
    writeFileSync(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Adds whole lines behind `text`, which the file holds, with the line ends that it has. */
function append(file: string, text: string, lines: string): void {
  const start = text === '' || text.endsWith('\n') ? lines : `\n${lines}`;
  appendFileSync(file, text.includes('\r\n') ? start.replaceAll('\n', '\r\n') : start);
}

export interface InitOptions {
  /** Path of the configuration file to write; `.env.example` and `.gitignore` go beside it. */
  readonly config: string;
  /** Names as they were typed. */
  readonly provider: readonly string[];
  readonly environment?: Environment | undefined;
  /** Ask nothing. */
  readonly yes: boolean;
}

type Output = Pick<Io, 'stdout' | 'stderr'>;

/** 128 and the number of SIGINT, as shells have it. */
const INTERRUPTED = 130;

/**
 * Writes a configuration that passes `wakala check` once its variables are set. Asks where it has a dialog; without one
 * the options must say it. Exit code: 0, 1 where it cannot write, 2 for wrong usage or a file that is there already,
 * 130 where the user left the dialog; nothing is written with 2 and 130.
 */
export async function init(options: InitOptions, io: Output, openDialog?: () => Dialog): Promise<number> {
  const { config: file, environment } = options;
  const named = providersNamed(options.provider);
  const asks = options.yes ? undefined : openDialog;
  const fault = placeFault(file) ?? ('problem' in named ? named.problem : undefined);
  if (fault !== undefined || 'problem' in named) return refuse(fault ?? '', io);
  if (named.length === 0 && asks === undefined) return refuse(HOW_TO_NAME, io);
  try {
    const given = { providers: named, environment };
    const plan = asks === undefined ? planOf(given) : await planFrom(asks(), given);
    writeFiles(file, plan, (line) => io.stdout(`${line}\n`));
  } catch (error) {
    if (error instanceof DialogEnded) {
      io.stderr('\nwakala init: stopped; nothing was written\n');
      return INTERRUPTED;
    }
    if (error instanceof FileExists) return refuse(thereAlready(file), io);
    const why = error instanceof FileError ? error.message : networkCode(error);
    io.stderr(`wakala init: cannot write in ${dirname(file)}: ${why}\n`);
    return EXIT.runtime;
  }
  io.stdout(nextSteps(file));
  return EXIT.ok;
}

const HOW_TO_NAME = `name the providers: wakala init --provider mpesa --provider jpay
There are ${providers.map(({ name }) => name).join(', ')}; on a terminal, \`wakala init\` asks.`;

function planOf({ providers: chosen, environment = UNASKED.environment }: Given): Plan {
  return { ...UNASKED, providers: chosen, environment };
}

async function planFrom(dialog: Dialog, given: Given): Promise<Plan> {
  try {
    return await askPlan(given, dialog);
  } finally {
    dialog.close();
  }
}

/** Why nothing can be written there. */
function placeFault(file: string): string | undefined {
  if (existsSync(file)) return thereAlready(file);
  const folder = dirname(file);
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? undefined : `there is no folder \`${folder}\`; make it first`;
}

function thereAlready(file: string): string {
  return `\`${file}\` is there already and stays as it is; name another file with -c, or move this one away`;
}

function refuse(why: string, io: Output): number {
  io.stderr(`wakala init: ${why}\n`);
  return EXIT.usage;
}

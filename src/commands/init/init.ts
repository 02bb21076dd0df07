import { appendFileSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { FileError, readError, readRegularFile } from '../../config/disk.ts';
import { networkCode } from '../../errors.ts';
import type { Environment } from '../../providers/provider.ts';
import { providers } from '../../providers/registry.ts';
import { EXIT, type Io } from '../io.ts';
import { configText, DEFAULT_PLAN, ENV_HEAD, envText, type Plan, providersNamed, variablesOf } from './plan.ts';
import { askPlan, type Dialog, DialogEnded, type Given } from './wizard.ts';

/** The next commands, for a POSIX shell in the folder where `wakala init` ran. */
function nextSteps(file: string): string {
  const beside = (name: string) => shellWord(join(dirname(file), name));
  const named = file === 'proxy.config.yaml' ? '' : ` -c ${shellWord(file)}`;
  const env = beside('.env');
  const sourced = isAbsolute(file) ? env : shellWord(`./${join(dirname(file), '.env')}`);
  const steps = [
    [`wakala dev${named}`, 'try it with emulated providers, without credentials'],
    existsSync(join(dirname(file), '.env'))
      ? [`"\${EDITOR:-vi}" ${env}`, `add the variables of ${beside('.env.example')}`]
      : [`cp ${beside('.env.example')} ${env}`, 'then add the credentials'],
    [`set -a; . ${sourced}; set +a`, 'Wakala reads the environment, not .env'],
    [`wakala check${named}`, 'check the configuration'],
    [`wakala doctor${named}`, 'check the credentials with the providers'],
    [`wakala${named}`, 'run the proxy'],
  ];
  const width = Math.max(...steps.map(([command = '']) => command.length));
  return `\nNext:\n${steps.map(([command = '', why = '']) => `  ${command.padEnd(width)}  # ${why}\n`).join('')}`;
}

function shellWord(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Whether the rules of a .gitignore exclude the file `.env` beside it. The last rule that matches wins, and `!` negates
 * a rule (gitignore(5)). Rules with a character class are ignored.
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

/** The file to write already exists. */
class FileExists extends Error {
  override readonly name = 'FileExists';
}

/**
 * Writes the configuration, .env.example and .gitignore, and calls `print` after each file. Adds to existing files of
 * the last two, and never removes a line.
 * @throws FileExists if the configuration exists; then nothing is written. FileError, or an Error of `node:fs`
 */
function writeFiles(file: string, plan: Plan, print: (line: string) => void): void {
  if (!isCreated(file, configText(plan))) throw new FileExists(file);
  print(`wrote ${file}: ${plan.providers.map(({ name }) => `/${name}/*`).join(', ')}`);
  print(addVariables(join(dirname(file), '.env.example'), plan));
  print(ignoreEnv(join(dirname(file), '.gitignore')));
}

/** @returns a line that says what was done */
function addVariables(file: string, plan: Plan): string {
  const variables = plan.providers.flatMap(variablesOf);
  const listed = variables.map(({ name }) => name).join(', ');
  if (isCreated(file, ENV_HEAD + envText(variables))) return `wrote ${file}: ${listed}`;
  const text = readText(file);
  const missing = variables.filter(({ name }) => !new RegExp(`^[ #]*(export +)?${name} *=`, 'm').test(text));
  if (missing.length === 0) return `${file} unchanged: it has every variable`;
  append(file, text, `\n${envText(missing)}`);
  return `added to ${file}: ${missing.map(({ name }) => name).join(', ')}`;
}

/** @returns a line that says what was done */
function ignoreEnv(file: string): string {
  if (isCreated(file, '.env\n')) return `wrote ${file}: .env`;
  const text = readText(file);
  if (ignoresEnv(text)) return `${file} unchanged: it covers .env`;
  append(file, text, '.env\n');
  return `added to ${file}: .env`;
}

/** @throws FileError with the name of the file */
function readText(file: string): string {
  try {
    return readRegularFile(file).bytes.toString('utf8');
  } catch (error) {
    throw new FileError(`\`${basename(file)}\` cannot be read: ${readError(error)}`, { cause: error });
  }
}

/** Creates the file. False if it exists; then it is not changed. */
function isCreated(file: string, text: string): boolean {
  try {
    writeFileSync(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Appends lines to a file with the text `text`, with the same line ends. */
function append(file: string, text: string, lines: string): void {
  const start = text === '' || text.endsWith('\n') ? lines : `\n${lines}`;
  appendFileSync(file, text.includes('\r\n') ? start.replaceAll('\n', '\r\n') : start);
}

export interface InitOptions {
  /** Path of the configuration file to write; `.env.example` and `.gitignore` go beside it. */
  readonly config: string;
  /** The names that the user typed. */
  readonly provider: readonly string[];
  readonly environment?: Environment | undefined;
  /** Ask no questions. */
  readonly yes: boolean;
}

type Output = Pick<Io, 'stdout' | 'stderr'>;

/** 128 plus the number of SIGINT, as in shells. */
const INTERRUPTED = 130;

/**
 * Writes a configuration that passes `wakala check` once its variables are set. Asks for choices that the options do not
 * make, if there is a dialog. Exit code: 0; 1 if it cannot write; 2 for wrong usage or an existing file; 130 if the user
 * left the dialog. With 2 and 130 nothing is written.
 */
export async function init(options: InitOptions, io: Output, openDialog?: () => Dialog): Promise<number> {
  const { config: file, environment } = options;
  const named = providersNamed(options.provider);
  const dialog = options.yes ? undefined : openDialog;
  const error = placeError(file) ?? ('problem' in named ? named.problem : undefined);
  if (error !== undefined || 'problem' in named) return refuse(error ?? '', io);
  if (named.length === 0 && dialog === undefined) return refuse(HOW_TO_NAME, io);
  try {
    const given = { providers: named, environment };
    const plan = dialog === undefined ? planOf(given) : await planFrom(dialog(), given);
    writeFiles(file, plan, (line) => io.stdout(`${line}\n`));
  } catch (error) {
    if (error instanceof DialogEnded) {
      io.stderr('\nwakala init: stopped; nothing was written\n');
      return INTERRUPTED;
    }
    if (error instanceof FileExists) return refuse(existsAlready(file), io);
    const why = error instanceof FileError ? error.message : networkCode(error);
    io.stderr(`wakala init: cannot write in ${dirname(file)}: ${why}\n`);
    return EXIT.runtime;
  }
  io.stdout(nextSteps(file));
  return EXIT.ok;
}

const HOW_TO_NAME = `no provider is given; name one or more: wakala init --provider mpesa --provider jpay
The providers are ${providers.map(({ name }) => name).join(', ')}. On a terminal, \`wakala init\` asks.`;

function planOf({ providers: chosen, environment = DEFAULT_PLAN.environment }: Given): Plan {
  return { ...DEFAULT_PLAN, providers: chosen, environment };
}

async function planFrom(dialog: Dialog, given: Given): Promise<Plan> {
  try {
    return await askPlan(given, dialog);
  } finally {
    dialog.close();
  }
}

/** Why the file cannot be written; undefined if it can. */
function placeError(file: string): string | undefined {
  if (existsSync(file)) return existsAlready(file);
  const folder = dirname(file);
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? undefined : `there is no folder \`${folder}\`; create it first`;
}

function existsAlready(file: string): string {
  return `\`${file}\` exists already; choose another file with -c, or move it away`;
}

function refuse(why: string, io: Output): number {
  io.stderr(`wakala init: ${why}\n`);
  return EXIT.usage;
}

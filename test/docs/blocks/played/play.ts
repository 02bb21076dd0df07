import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** What a program of `stand-ins/` knows of one of its subcommands. */
export interface Subcommand {
  readonly options?: NonNullable<ParseArgsConfig['options']>;
  /** Its first argument is followed by a command with options of its own, as in `docker run IMAGE COMMAND`. */
  readonly runsCommand?: boolean;
  /** @throws Error on what the real program would not do */
  run(positionals: readonly string[], values: Readonly<Record<string, unknown>>): void | Promise<void>;
}

/**
 * Plays a program that a document's reader has and the machine of the tests cannot run. It refuses what it does not
 * know, so that a document with a slip in it fails: subcommands (one word or two), options, files that are not there.
 */
export async function play(program: string, subcommands: Readonly<Record<string, Subcommand>>): Promise<void> {
  try {
    const words = process.argv.slice(2);
    const name = [words.slice(0, 2).join(' '), words[0] ?? ''].find((candidate) => candidate in subcommands) ?? '';
    const subcommand = subcommands[name];
    if (subcommand === undefined) throw new Error(`it does not know ${words.join(' ')}`);
    const { options = {}, runsCommand = false, run } = subcommand;
    const all = words.slice(name === '' ? 0 : name.split(' ').length);
    const end = runsCommand ? firstPositional(all, options) : all.length;
    const parsed = parseArgs({
      args: all.slice(0, end),
      options,
      allowPositionals: true,
      allowNegative: true,
      strict: true,
    });
    await run([...parsed.positionals, ...all.slice(end)], parsed.values);
  } catch (error) {
    process.stderr.write(`the ${program} of the documents: ${(error as Error).message}\n`);
    process.exitCode = 64;
  }
}

function firstPositional(args: readonly string[], options: NonNullable<ParseArgsConfig['options']>): number {
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  return tokens.find(({ kind }) => kind === 'positional')?.index ?? args.length;
}

export function print(text: string): void {
  process.stdout.write(text);
}

export function expectThat(fact: boolean, otherwise: string): asserts fact {
  if (!fact) throw new Error(otherwise);
}

export function expectFile(file: string): void {
  expectThat(existsSync(file), `there is no file ${file} in ${process.cwd()}`);
}

export function readJson(file: string): unknown {
  expectFile(file);
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** Runs something for real in place of this program, which ends as that does. */
export function hand(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  if (error !== undefined) throw error;
  process.exitCode = status ?? 1;
}

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;

export interface ProcessOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Of another copy of the sources. */
  readonly cli?: string;
}

/** The command line in its own process. Killed when the test ends. */
export class CliProcess {
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  #stdout = '';
  #stderr = '';
  #ended = false;
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  constructor(args: readonly string[], { env = {}, cwd = temporaryDirectory(), cli = CLI }: ProcessOptions = {}) {
    const { PATH = '' } = process.env;
    this.#child = spawn(process.execPath, [cli, ...args], {
      cwd,
      env: { PATH, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void this.#child.kill('SIGKILL'));
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => this.#changed(() => (this.#stdout += text)));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => this.#changed(() => (this.#stderr += text)));
    this.exited = new Promise((resolve) => {
      this.#child.on('close', (code) => {
        this.#changed(() => (this.#ended = true));
        resolve(code);
      });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits until either stream holds what this matches. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
      if (found !== null) return found;
      if (this.#ended) throw new Error(`the process ended without ${String(pattern)}:\n${this.#stdout}${this.#stderr}`);
      await this.#change.promise;
    }
  }

  /** What `ps` shows of it; empty where there is no /proc. */
  commandLine(): string {
    const file = `/proc/${this.#child.pid}/cmdline`;
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Process ids of its children; none where there is no /proc. */
  children(): number[] {
    const file = `/proc/${this.#child.pid}/task/${this.#child.pid}/children`;
    return existsSync(file) ? (readFileSync(file, 'utf8').match(/\d+/g) ?? []).map(Number) : [];
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  #changed(apply: () => void): void {
    apply();
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

/** Runs a command to its end. */
export async function runCli(args: readonly string[], options?: ProcessOptions) {
  const cli = new CliProcess(args, options);
  const code = await cli.exited;
  return { code, stdout: cli.stdout, stderr: cli.stderr };
}

/** Writes a temporary configuration file. JSON is YAML. @returns its path */
export function configFile(settings: Readonly<Record<string, unknown>> | string): string {
  const file = join(temporaryDirectory(), 'proxy.config.yaml');
  writeFileSync(file, typeof settings === 'string' ? settings : JSON.stringify(settings));
  return file;
}

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'wakala-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

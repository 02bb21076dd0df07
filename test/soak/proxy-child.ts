import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { openSockets } from './proc.ts';
import { eventually, type Scope, withTimeout } from './scope.ts';

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;

/** On SIGUSR2, the child collects garbage and prints its memory usage. */
const COLLECT =
  "process.on('SIGUSR2', () => { gc(); process.stderr.write(JSON.stringify({ collected: process.memoryUsage() }) + '\\n'); })";

/** Log lines that are kept. */
const MAX_LINES = 5000;

export interface ChildOptions {
  /** Texts that must not be in the log. */
  readonly secrets?: () => Iterable<string>;
}

export interface Memory {
  /** Used by JavaScript objects and buffers. */
  readonly usedMiB: number;
  readonly residentMiB: number;
}

/** A log line and its number since the start. */
interface Line {
  readonly number: number;
  readonly text: string;
}

/** `wakala serve` in a child process. */
export class ProxyChild {
  readonly file: string;
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcessByStdio<null, null, Readable>;
  readonly #secrets: () => Iterable<string>;
  readonly #lines: Line[] = [];
  #lineCount = 0;
  #leakCount = 0;
  #port = 0;
  #hasEnded = false;
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  private constructor(file: string, { secrets = () => [] }: ChildOptions) {
    this.file = file;
    this.#secrets = secrets;
    const flags = ['--expose-gc', '--import', `data:text/javascript,${encodeURIComponent(COLLECT)}`];
    const { PATH = '' } = process.env;
    this.#child = spawn(process.execPath, [...flags, CLI, 'serve', '-c', file], {
      env: { PATH, NO_COLOR: '1' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let rest = '';
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#add(line);
      this.#notify();
    });
    this.exited = new Promise((resolve) => {
      this.#child.on('close', (code) => {
        this.#hasEnded = true;
        this.#notify();
        resolve(code);
      });
    });
  }

  /** Resolves when the proxy is ready. The process is killed at the end of the scope. */
  static async start(scope: Scope, file: string, options: ChildOptions = {}): Promise<ProxyChild> {
    const child = new ProxyChild(file, options);
    scope.onEnd(async () => {
      child.signal('SIGKILL');
      await child.exited;
    });
    const [, port] = await child.waitForLog(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/, 0, 60_000);
    child.#port = Number(port);
    return child;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Number of log lines so far. */
  get lineCount(): number {
    return this.#lineCount;
  }

  /** Number of log lines with a secret. */
  get leakCount(): number {
    return this.#leakCount;
  }

  tail(lines = MAX_LINES): string {
    return this.#lines
      .slice(-lines)
      .map(({ text }) => text)
      .join('\n');
  }

  /** Waits for a log line that matches the pattern, not counting the first `after` lines. */
  waitForLog(pattern: RegExp, after = this.#lineCount, timeoutMs = 20_000): Promise<RegExpExecArray> {
    const find = async () => {
      for (;;) {
        for (const { number, text } of this.#lines) {
          const found = number >= after ? pattern.exec(text) : null;
          if (found !== null) return found;
        }
        if (this.#hasEnded) throw new Error(`the proxy ended without ${String(pattern)}:\n${this.tail(20)}`);
        await this.#change.promise;
      }
    };
    return withTimeout(find(), timeoutMs, `a line like ${String(pattern)} in\n${this.tail(5)}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  socketCount(): number {
    return openSockets(this.pid);
  }

  /** Waits until at most `max` sockets are open. @returns how many sockets exceed `max` in the end */
  async excessSockets(max: number, timeoutMs: number): Promise<number> {
    await eventually(timeoutMs, () => this.socketCount() <= max);
    return Math.max(0, this.socketCount() - max);
  }

  /** Memory after two garbage collections, because the first leaves buffers to finalizers. */
  async settledMemory(): Promise<Memory> {
    let usage = '{}';
    for (let round = 0; round < 2; round++) {
      const after = this.#lineCount;
      this.signal('SIGUSR2');
      [, usage = '{}'] = await this.waitForLog(/"collected":(.*)\}$/, after);
    }
    const { heapUsed, external, rss } = JSON.parse(usage) as NodeJS.MemoryUsage;
    return { usedMiB: (heapUsed + external) / 2 ** 20, residentMiB: rss / 2 ** 20 };
  }

  #add(text: string): void {
    for (const secret of this.#secrets()) if (secret !== '' && text.includes(secret)) this.#leakCount += 1;
    this.#lines.push({ number: this.#lineCount++, text });
    if (this.#lines.length > 2 * MAX_LINES) this.#lines.splice(0, MAX_LINES);
  }

  #notify(): void {
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

/** Creates a folder that is removed at the end of the scope. */
export function temporaryFolder(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-soak-'));
  scope.onEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a configuration file to a new folder, as JSON, which is valid YAML. @returns its path */
export function writeConfig(scope: Scope, settings: Readonly<Record<string, unknown>>): string {
  const file = join(temporaryFolder(scope), 'proxy.config.yaml');
  writeFileSync(file, configText(settings));
  return file;
}

export function configText(settings: Readonly<Record<string, unknown>>): string {
  const defaults = { listen: '127.0.0.1:0', admin: false, log: { level: 'info', format: 'json' } };
  return JSON.stringify({ ...defaults, ...settings });
}

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { openSockets } from './proc.ts';
import { eventually, inTime, type Scope } from './scope.ts';

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;

/** On SIGUSR2 the child collects its garbage and says how much memory is left in use. */
const COLLECT =
  "process.on('SIGUSR2', () => { gc(); process.stderr.write(JSON.stringify({ collected: process.memoryUsage() }) + '\\n'); })";

/** Lines of the log that are kept. */
const KEPT = 5000;

export interface ChildOptions {
  /** Texts that must not be in the log. */
  readonly secrets?: () => Iterable<string>;
}

export interface Memory {
  /** By JavaScript objects and buffers. */
  readonly usedMiB: number;
  readonly residentMiB: number;
}

/** A line of the log, with its number since the start. */
interface Line {
  readonly number: number;
  readonly text: string;
}

/** `wakala serve` in a process of its own, with a configuration file of its own. */
export class ProxyChild {
  readonly file: string;
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcessByStdio<null, null, Readable>;
  readonly #secrets: () => Iterable<string>;
  readonly #lines: Line[] = [];
  #logged = 0;
  #leaks = 0;
  #port = 0;
  #ended = false;
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
      this.#changed();
    });
    this.exited = new Promise((resolve) => {
      this.#child.on('close', (code) => {
        this.#ended = true;
        this.#changed();
        resolve(code);
      });
    });
  }

  /** Resolves once it is ready. Killed when the scope ends. */
  static async start(scope: Scope, file: string, options: ChildOptions = {}): Promise<ProxyChild> {
    const child = new ProxyChild(file, options);
    scope.onEnd(async () => {
      child.signal('SIGKILL');
      await child.exited;
    });
    const [, port] = await child.logs(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/, 0, 60_000);
    child.#port = Number(port);
    return child;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** How many lines were logged so far. */
  get logged(): number {
    return this.#logged;
  }

  /** How many of them had a secret in them. */
  get leaks(): number {
    return this.#leaks;
  }

  tail(lines = KEPT): string {
    return this.#lines
      .slice(-lines)
      .map(({ text }) => text)
      .join('\n');
  }

  /** Waits for a line that this matches, after the first `after` of them. */
  logs(pattern: RegExp, after = this.#logged, timeoutMs = 20_000): Promise<RegExpExecArray> {
    const find = async () => {
      for (;;) {
        for (const { number, text } of this.#lines) {
          const found = number >= after ? pattern.exec(text) : null;
          if (found !== null) return found;
        }
        if (this.#ended) throw new Error(`the proxy ended without ${String(pattern)}:\n${this.tail(20)}`);
        await this.#change.promise;
      }
    };
    return inTime(find(), timeoutMs, `a line like ${String(pattern)} in\n${this.tail(5)}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  sockets(): number {
    return openSockets(this.pid);
  }

  /** Waits until no more sockets are open than `most`. @returns how many are too many in the end */
  async socketsOver(most: number, timeoutMs: number): Promise<number> {
    await eventually(timeoutMs, () => this.sockets() <= most);
    return Math.max(0, this.sockets() - most);
  }

  /** Memory once garbage is collected, twice, since the first round leaves buffers to finalizers. */
  async settledMemory(): Promise<Memory> {
    let said = '{}';
    for (let round = 0; round < 2; round++) {
      const after = this.#logged;
      this.signal('SIGUSR2');
      [, said = '{}'] = await this.logs(/"collected":(.*)\}$/, after);
    }
    const { heapUsed, external, rss } = JSON.parse(said) as NodeJS.MemoryUsage;
    return { usedMiB: (heapUsed + external) / 2 ** 20, residentMiB: rss / 2 ** 20 };
  }

  #add(text: string): void {
    for (const secret of this.#secrets()) if (secret !== '' && text.includes(secret)) this.#leaks += 1;
    this.#lines.push({ number: this.#logged++, text });
    if (this.#lines.length > 2 * KEPT) this.#lines.splice(0, KEPT);
  }

  #changed(): void {
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

/** A folder that is removed when the scope ends. */
export function temporaryFolder(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-soak-'));
  scope.onEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A configuration file in a folder of its own. JSON is YAML. @returns its path */
export function configIn(scope: Scope, settings: Readonly<Record<string, unknown>>): string {
  const file = join(temporaryFolder(scope), 'proxy.config.yaml');
  writeFileSync(file, configText(settings));
  return file;
}

export function configText(settings: Readonly<Record<string, unknown>>): string {
  const defaults = { listen: '127.0.0.1:0', admin: false, log: { level: 'info', format: 'json' } };
  return JSON.stringify({ ...defaults, ...settings });
}

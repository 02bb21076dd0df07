import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { onTestFinished } from 'vitest';
import { ask } from '../support/proxy-ask.ts';

export const ROOT = new URL('../..', import.meta.url).pathname;
export const CLI = join(ROOT, 'src', 'cli.ts');
export const hasPty =
  spawnSync('python3', ['-c', 'import pty']).status === 0 && spawnSync('stty', ['--version']).status === 0;

/** What passes between this process and a terminal that runs a shell script. */
const RELAY = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';

const ANY_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];

/** `wakala dev` in front of somebody at a terminal. */
export class Desk {
  readonly folder = mkdtempSync(join(tmpdir(), 'wakala-dev-'));
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #screen = '';
  #read = 0;
  #ended = false;
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  constructor({
    program = [process.execPath, CLI, 'dev'],
    args = ANY_PORTS,
    env = {},
    shell = (command: string) => `echo "pid=$$"; exec ${command}`,
    config,
  }: DeskOptions = {}) {
    const command = [...program, ...args].map((word) => `'${word}'`).join(' ');
    const inner = shell(command);
    if (config !== undefined) writeFileSync(this.file, config);
    const script = `stty -a > before; sh -c "$INNER"; echo "code=$?"; stty -a > after; echo closed`;
    const { PATH = '' } = process.env;
    this.#child = spawn('python3', ['-c', RELAY, 'sh', '-c', script], {
      cwd: this.folder,
      env: { PATH, INNER: inner, NO_COLOR: '1', TERM: 'xterm', ...env },
      stdio: 'pipe',
    });
    onTestFinished(() => {
      this.#child.kill('SIGKILL');
      rmSync(this.folder, { recursive: true, force: true });
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => this.#changed(() => (this.#screen += text)));
    this.#child.on('close', () => this.#changed(() => (this.#ended = true)));
  }

  /** The configuration that it reads unless it is told otherwise. */
  get file(): string {
    return join(this.folder, 'proxy.config.yaml');
  }

  /** As it came, escapes and all. */
  get raw(): string {
    return this.#screen;
  }

  get screen(): string {
    return stripVTControlCharacters(this.#screen).replaceAll('\r\n', '\n');
  }

  press(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** Waits for text after what was waited for last. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.screen.slice(this.#read));
      if (found !== null) {
        this.#read += found.index + found[0].length;
        return found;
      }
      if (this.#ended) throw new Error(`it ended without ${String(pattern)}:\n${this.screen}`);
      await this.#change.promise;
    }
  }

  get pid(): number {
    return Number(/pid=(\d+)/.exec(this.screen)?.[1]);
  }

  /** Closes the window. */
  leave(): void {
    this.#child.kill('SIGKILL');
  }

  /** Waits for the end. @returns the exit code, and the terminal's settings before and after */
  async end(): Promise<{ code: number; before: string; after: string }> {
    const [, code] = await this.until(/code=(\d+)\n/);
    await this.until(/closed/);
    return { code: Number(code), before: this.written('before'), after: this.written('after') };
  }

  /** The text of a file in its folder; empty where there is none. */
  written(name: string): string {
    const path = join(this.folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  portOf(pattern: RegExp): number {
    return Number(new RegExp(`${pattern.source}.*http://127\\.0\\.0\\.1:(\\d+)`).exec(this.screen)?.[1]);
  }

  get proxy(): number {
    return this.portOf(/ {2}proxy/);
  }

  async emulator(route: string) {
    return (await ask(this.portOf(new RegExp(`/${route}/\\*`)), '/_emulator')).json();
  }

  #changed(apply: () => void): void {
    apply();
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

export interface DeskOptions {
  readonly program?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What the shell is told; it says `pid=`. */
  readonly shell?: (command: string) => string;
  readonly config?: string;
}

export const KEY_LINE =
  /keys {2}h help, e expire tokens, x refuse the next token, d dashboard, r reload, c clear, q quit\n/;

/** A desk where the start screen is shown. */
export async function sitDown(options?: DeskOptions) {
  const desk = new Desk(options);
  await desk.until(KEY_LINE);
  return desk;
}

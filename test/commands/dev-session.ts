import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { onTestFinished } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';

export const ROOT = new URL('../..', import.meta.url).pathname;
export const CLI = join(ROOT, 'src', 'cli.ts');
export const hasPty =
  spawnSync('python3', ['-c', 'import pty']).status === 0 && spawnSync('stty', ['--version']).status === 0;

/** A Python program that runs a command in a pseudoterminal. */
const RELAY = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';

const ANY_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];

/** `wakala dev` at a pseudoterminal. */
export class DevSession {
  readonly folder = mkdtempSync(join(tmpdir(), 'wakala-dev-'));
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #screen = '';
  #readTo = 0;
  #hasEnded = false;
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  constructor({
    program = [process.execPath, CLI, 'dev'],
    args = ANY_PORTS,
    env = {},
    shell = (command: string) => `echo "pid=$$"; exec ${command}`,
    config,
  }: DevSessionOptions = {}) {
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
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => this.#update(() => (this.#screen += text)));
    this.#child.on('close', () => this.#update(() => (this.#hasEnded = true)));
  }

  /** The default configuration file. */
  get file(): string {
    return join(this.folder, 'proxy.config.yaml');
  }

  /** The output with escape sequences. */
  get raw(): string {
    return this.#screen;
  }

  get screen(): string {
    return stripVTControlCharacters(this.#screen).replaceAll('\r\n', '\n');
  }

  press(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** Waits for text after the previous match. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.screen.slice(this.#readTo));
      if (found !== null) {
        this.#readTo += found.index + found[0].length;
        return found;
      }
      if (this.#hasEnded) throw new Error(`the process ended without ${String(pattern)}:\n${this.screen}`);
      await this.#change.promise;
    }
  }

  get pid(): number {
    return Number(/pid=(\d+)/.exec(this.screen)?.[1]);
  }

  /** Closes the terminal. */
  closeTerminal(): void {
    this.#child.kill('SIGKILL');
  }

  /** Waits for the end. @returns the exit code, and the terminal's settings before and after */
  async end(): Promise<{ code: number; before: string; after: string }> {
    const [, code] = await this.until(/code=(\d+)\n/);
    await this.until(/closed/);
    return { code: Number(code), before: this.readFile('before'), after: this.readFile('after') };
  }

  /** The text of a file in its folder; empty if there is none. */
  readFile(name: string): string {
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
    return (await sendRequest(this.portOf(new RegExp(`/${route}/\\*`)), '/_emulator')).json();
  }

  #update(apply: () => void): void {
    apply();
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

export interface DevSessionOptions {
  readonly program?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The shell script that runs the command. It prints `pid=`. */
  readonly shell?: (command: string) => string;
  readonly config?: string;
}

export const KEY_LINE =
  /keys {2}h help, e expire tokens, x refuse the next token, d dashboard, r reload, c clear, q quit\n/;

/** Starts a session and waits for the start screen. */
export async function startDevSession(options?: DevSessionOptions) {
  const session = new DevSession(options);
  await session.until(KEY_LINE);
  return session;
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, vi } from 'vitest';
import { ROOT } from '../docs/documents.ts';
import { freePort } from '../support/free-port.ts';
import { sendRequest } from '../support/proxy-client.ts';

const { PATH = '' } = process.env;

/** A program of an example. It is killed at the end of the test. */
export class Program {
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  #printed = '';

  constructor(command: string, args: readonly string[], { cwd, env }: { cwd: string; env: Record<string, string> }) {
    // Its own process group, as in a terminal: Ctrl-C is sent to the whole group.
    this.#child = spawn(command, args, { cwd, env: { PATH, NO_COLOR: '1', ...env }, detached: true });
    this.#child.stdout?.on('data', (chunk) => (this.#printed += String(chunk)));
    this.#child.stderr?.on('data', (chunk) => (this.#printed += String(chunk)));
    this.ended = once(this.#child, 'close').then(([code]) => code as number | null);
    onTestFinished(async () => {
      this.#signal('SIGKILL');
      await this.ended;
    });
  }

  get printed(): string {
    return this.#printed;
  }

  /** Waits until the output matches. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    const gone = this.ended.then(() => 'gone' as const);
    for (;;) {
      const found = pattern.exec(this.#printed);
      if (found !== null) return found;
      if ((await Promise.race([gone, sleep(20)])) === 'gone' && !pattern.test(this.#printed)) {
        throw new Error(`the program ended without ${String(pattern)}:\n${this.#printed}`);
      }
    }
  }

  /** Sends SIGINT to every process of the group, as a terminal does. */
  async ctrlC(): Promise<void> {
    this.#signal('SIGINT');
    await this.ended;
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-(this.#child.pid ?? 0), signal);
    } catch {
      // All processes have ended.
    }
  }
}

/** Waits until nothing listens on the port. */
export async function isFree(port: number): Promise<void> {
  await vi.waitFor(() => expect(sendRequest(port, '/')).rejects.toThrow('ECONNREFUSED'), 10_000);
}

/** Runs a program until it exits. */
export async function run(command: string, args: readonly string[], options: ConstructorParameters<typeof Program>[2]) {
  const program = new Program(command, args, options);
  const code = await program.ended;
  return { code, printed: program.printed };
}

/** The folder of an example in the repository. */
export function exampleFolder(name: string): string {
  return path.join(ROOT, 'examples', name);
}

/** Copies an example to a folder that can import the installed packages, and replaces the ports with free ones. */
export async function copyExample(name: string, ports: readonly number[]) {
  const cache = path.join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(path.join(cache, `example-${name}-`));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(exampleFolder(name), folder, { recursive: true, filter: (file) => !file.includes('node_modules/') });
  const free = new Map<number, number>();
  for (const port of ports) free.set(port, await freePort());
  for (const file of readdirSync(folder)) {
    const text = readFileSync(path.join(folder, file), 'utf8');
    const changed = [...free].reduce((all, [port, other]) => all.replaceAll(String(port), String(other)), text);
    writeFileSync(path.join(folder, file), changed);
  }
  return { folder, port: (written: number) => free.get(written) ?? 0 };
}

/** Runs `npm run dev` in a folder, with the sources as the command `wakala`. */
export function npmRunDev(folder: string): Program {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  const wakala = path.join(bin, 'wakala');
  writeFileSync(wakala, `#!/bin/sh\nexec '${process.execPath}' '${path.join(ROOT, 'src/cli.ts')}' "$@"\n`);
  chmodSync(wakala, 0o755);
  const { HOME = '' } = process.env;
  return new Program('npm', ['run', 'dev'], { cwd: folder, env: { HOME, PATH: `${bin}:${PATH}` } });
}

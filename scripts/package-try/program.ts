import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** A folder with the installed package, and a Node executable. */
export interface Installed {
  readonly node: string;
  readonly folder: string;
}

/** A process of the package that runs until it is stopped. */
export class Program {
  readonly #child;
  #stdout = '';
  #stderr = '';
  #isClosed = false;

  constructor({ node, folder }: Installed, args: readonly string[]) {
    this.#child = spawn(node, args, { cwd: folder, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#child.on('close', () => (this.#isClosed = true));
  }

  /** Waits until either stream matches. @returns the first group of `pattern` @throws Error if the process ends before */
  async until(pattern: RegExp): Promise<string> {
    const { stdout, stderr } = this.#child;
    for (;;) {
      const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
      if (found !== null) return found[1] ?? '';
      if (this.#isClosed)
        throw new Error(`the process ended without ${String(pattern)}:\n${this.#stdout}${this.#stderr}`);
      await Promise.race([once(stdout, 'data'), once(stderr, 'data'), once(this.#child, 'close')]);
    }
  }

  /** Stops the process with SIGTERM. The exit code must be 0, and standard error must contain only log lines. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.waitForExit();
  }

  async waitForExit(): Promise<void> {
    if (!this.#isClosed) await once(this.#child, 'close');
    const { exitCode, signalCode } = this.#child;
    assert.deepEqual([exitCode, signalCode], [0, null], `exit code:\n${this.#stderr}`);
    assert.deepEqual(this.#stderr.split('\n').filter(isNoise), [], 'on standard error');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Anything but a log line of level `info`: warnings of Node, stack traces, lines of level `warn`. */
function isNoise(line: string): boolean {
  return line !== '' && !/^\{"level":"info",.*\}$/.test(line);
}

/** Runs a command until it exits. */
export async function run(command: string, args: readonly string[], cwd: string, env = environment()) {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** The environment of this process without the variables that `npm run` set for this package. */
export function environment(): NodeJS.ProcessEnv {
  const ofNpmRun =
    /^npm_(package|lifecycle|config_local_prefix|command|node_execpath)|^(INIT_CWD|NODE_OPTIONS|FORCE_COLOR)$/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ofNpmRun.test(name)));
}

import { type ChildProcess, spawn } from 'node:child_process';

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Passes its output on to this process's standard error, as it comes. */
  readonly loud?: boolean;
}

/** A program that runs beside this one, ends with it at the latest, and whose output can be waited for. */
export class Child {
  readonly exited: Promise<number | null>;
  readonly #process: ChildProcess;
  #stdout = '';
  #stderr = '';
  #ended = false;
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  constructor([program = '', ...args]: readonly string[], { env = process.env, loud = false }: ChildOptions = {}) {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const endWithParent = () => child.kill('SIGKILL');
    process.once('exit', endWithParent);
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#changed(() => (this.#stdout += text)));
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.#changed(() => (this.#stderr += text)));
    if (loud) {
      child.stdout.pipe(process.stderr, { end: false });
      child.stderr.pipe(process.stderr, { end: false });
    }
    child.on('error', (error) => this.#changed(() => (this.#stderr += error.message)));
    this.exited = new Promise((resolve) => {
      child.on('close', (code) => {
        process.off('exit', endWithParent);
        this.#changed(() => (this.#ended = true));
        resolve(code);
      });
    });
    this.#process = child;
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error(`it did not start: ${this.#stderr}`);
    return this.#process.pid;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until either stream holds what this matches, from `from` characters on. */
  async until(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#stdout.slice(from)) ?? pattern.exec(this.#stderr.slice(from));
      if (found !== null) return found;
      if (this.#ended) throw new Error(`it ended without ${String(pattern)}:\n${this.#stdout}${this.#stderr}`);
      await this.#change.promise;
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  #changed(apply: () => void): void {
    apply();
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

/** Runs a program to its end. */
export async function finish(command: readonly string[], options?: ChildOptions): Promise<Finished> {
  const child = new Child(command, options);
  const code = await child.exited;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

/** Runs a program to its end, which must be a good one. @returns its standard output, trimmed */
export async function output(command: readonly string[], options?: ChildOptions): Promise<string> {
  const { code, stdout, stderr } = await finish(command, options);
  if (code !== 0) throw new Error(`${command.join(' ')}: exit code ${code}\n${options?.loud === true ? '' : stderr}`);
  return stdout.trim();
}

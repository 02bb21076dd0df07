import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Block } from '../documents.ts';
import { end } from './processes.ts';
import type { ProviderHosts } from './provider-hosts.ts';
import { Workspace } from './workspace.ts';

/**
 * Reads the name of a step and how it is to be run; says how it ended. `keep`: in this very shell, which its first
 * failure ends. `ends`: in a shell of its own, by the program named.
 */
const DRIVER = `
while read -r page_step page_how <&3; do
  page_status=0
  if [ "$page_how" = keep ]; then
    { . "$STEPS/$page_step"; } >"$STEPS/$page_step.out" 2>&1 </dev/null 3<&- 4>&-
  else
    $page_how -e "$STEPS/$page_step" >"$STEPS/$page_step.out" 2>&1 </dev/null 3<&- 4>&- || page_status=$?
  fi
  pwd -P >"$STEPS/cwd"
  echo "$page_status" >&4
done
`;
const DEADLINE_MS = 60_000;
/** How long a program that was left running may take to print what is shown. */
const PATIENCE_MS = 10_000;

interface Running {
  readonly pid: number;
  readonly files: readonly string[];
}

/** The shell of one page. */
export class PageShell {
  readonly workspace: Workspace;
  readonly #shell: ChildProcess;
  readonly #steps: string;
  readonly #ended: Promise<number>;
  readonly #reports: AsyncIterator<string>;
  #before: ReadonlySet<string> = new Set();
  #count = 0;

  constructor(hosts: ProviderHosts) {
    this.workspace = new Workspace(hosts);
    this.#steps = path.join(this.workspace.folder, 'steps');
    mkdirSync(this.#steps);
    const { repository, env } = this.workspace;
    this.#shell = spawn('/bin/sh', ['-e', '-c', DRIVER], {
      cwd: repository,
      env: { ...env, STEPS: this.#steps, PWD: repository },
      stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
      detached: true,
    });
    this.#ended = once(this.#shell, 'exit').then(([status]) => (status as number | null) ?? 1);
    const reports = this.#shell.stdio[4] as NodeJS.ReadableStream;
    this.#reports = createInterface({ input: reports })[Symbol.asyncIterator]();
  }

  /** Runs a block to its end, save what serves. @throws Error with all it printed unless it ends as its mark says */
  async run(block: Block): Promise<void> {
    const step = `step-${++this.#count}`;
    const exit = Number(block.marks.get('exit') ?? 0);
    const how = block.language === 'sh' && exit === 0 ? 'keep' : block.language;
    this.#before = new Set(readdirSync(this.workspace.running));
    writeFileSync(path.join(this.#steps, step), this.workspace.toHere(block.text));
    rmSync(this.workspace.statuses, { force: true });
    if (this.#shell.exitCode !== null) throw new Error('a block above it ended the shell');
    (this.#shell.stdio[3] as Writable).write(`${step} ${how}\n`);
    const late = sleep(DEADLINE_MS, 'late' as const, { ref: false });
    const report = this.#reports.next().then(({ value, done }) => (done === true ? this.#ended : Number(value)));
    const status = await Promise.race([report, late]);
    if (status !== exit) {
      const ending = status === 'late' ? `did not end within ${DEADLINE_MS / 1000} s` : `ended with ${status}`;
      throw new Error(`it ${ending}, not with ${exit}:\n${this.printed()}`);
    }
  }

  /** All that the last block printed so far; then, as in another terminal, all of what it left running. */
  printed(): string {
    const file = path.join(this.#steps, `step-${this.#count}.out`);
    const own = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const left = this.#running(this.#before).flatMap(({ files }) => files.map((name) => readFileSync(name, 'utf8')));
    return this.workspace.toPage([own, ...left].join(''));
  }

  /** Statuses of the answers that curl got in the last block. */
  statuses(): number[] {
    const { statuses } = this.workspace;
    return existsSync(statuses) ? readFileSync(statuses, 'utf8').trim().split('\n').map(Number) : [];
  }

  /** Waits until the check finds nothing amiss with what the last block printed. @throws what it throws in the end */
  async shows(check: (printed: string) => void): Promise<void> {
    if (this.#shell.exitCode !== null) throw new Error('a block above it ended the shell');
    const until = Date.now() + (this.#running(this.#before).length > 0 ? PATIENCE_MS : 0);
    for (;;) {
      try {
        check(this.printed());
        return;
      } catch (error) {
        if (Date.now() >= until) throw error;
        await sleep(50);
      }
    }
  }

  /** Puts a block into a file, named from where the shell is. */
  put(name: string, text: string): void {
    const cwd = path.join(this.#steps, 'cwd');
    const folder = existsSync(cwd) ? readFileSync(cwd, 'utf8').trim() : this.workspace.repository;
    const file = path.resolve(folder, this.workspace.toHere(name));
    this.workspace.own(file);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, this.workspace.toHere(text));
  }

  /** Changes files of the repository as a `diff` says. @throws Error unless it fits */
  patch(diff: string): void {
    const { repository } = this.workspace;
    for (const [, name = ''] of diff.matchAll(/^\+\+\+ b\/(.*)$/gm)) this.workspace.own(path.join(repository, name));
    const { status, stderr } = spawnSync('git', ['apply', '-'], { cwd: repository, input: diff, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }

  /** Whether something of this page listens there. */
  listens(port: number): boolean {
    return existsSync(path.join(this.workspace.ports, String(port)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#running(new Set()).map(({ pid }) => end(pid)));
    if (this.#shell.exitCode === null && this.#shell.pid !== undefined) process.kill(-this.#shell.pid, 'SIGKILL');
    await this.#ended;
    this.workspace.close();
  }

  #running(except: ReadonlySet<string>): Running[] {
    const records = readdirSync(this.workspace.running).filter((name) => name.endsWith('.json') && !except.has(name));
    return records.map((name) => JSON.parse(readFileSync(path.join(this.workspace.running, name), 'utf8')) as Running);
  }
}

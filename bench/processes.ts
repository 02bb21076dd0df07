import { type ChildProcess, type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** Clock ticks of /proc/PID/stat. */
const TICKS_PER_S = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** CPU time (user and system) of a process and all its descendants, in microseconds. */
export function cpuUs(pid: number): number {
  return familyOf(pid).reduce((sum, { ticks }) => sum + (ticks / TICKS_PER_S) * 1e6, 0);
}

/** One line of /proc/PID/stat. */
interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** @throws Error if the process does not exist */
function statOf(pid: number): ProcessStat {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
}

/** A process and all its descendants. */
function familyOf(pid: number): ProcessStat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [statOf(Number(name))];
      } catch {
        return []; // The process ended after the folder was read.
      }
    });
  const family = [statOf(pid)];
  for (const { pid: parent } of family) family.push(...all.filter((process) => process.parent === parent));
  return family;
}

/** Resident memory of a process in MiB. */
export function rssMb(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}

/** Runs a command on one core. Call `waitUntilListening` next, because it reads the command's standard error. */
export function startPinned(
  core: 0 | 1,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): PinnedProcess {
  const child = spawn('taskset', ['-c', String(core), ...command], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // An unread log would block the process when the pipe is full.
  child.stdout.resume();
  return child;
}

type PinnedProcess = ChildProcessByStdio<null, Readable, Readable>;

/** Kills a process and all its descendants. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  const [, ...descendants] = familyOf(child.pid);
  child.kill('SIGKILL');
  for (const { pid } of descendants) kill(pid);
  await gone;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended with its parent.
  }
}

/** Characters of standard error in an error message. */
const MAX_STDERR = 4000;

/**
 * Waits until the process accepts connections on the port. Standard error is copied to that of the benchmark.
 * @throws Error with its standard error if it ends before, or if it does not listen within a minute; it is stopped then
 */
export async function waitUntilListening(child: PinnedProcess, port: number): Promise<void> {
  let stderr = '';
  let hasEnded = false;
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-MAX_STDERR);
    process.stderr.write(chunk);
  });
  child.once('close', () => (hasEnded = true));
  for (let tries = 0; tries < 12_000; tries++) {
    if (hasEnded) throw new Error(`the process ended before it listened on port ${port}:\n${stderr}`);
    const socket = connect(port, '127.0.0.1');
    const isListening = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (isListening) return;
    await sleep(5);
  }
  await stop(child);
  throw new Error(`the process does not listen on port ${port}:\n${stderr}`);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 10_000;

/** Ends a program and its children as a terminal does with Ctrl-C, and waits until it is gone. */
export async function end(pid: number): Promise<void> {
  send(pid, 'SIGTERM');
  await gone(pid);
}

/** Waits until a program is gone, and in the end kills it with its children. */
export async function gone(pid: number): Promise<void> {
  const until = Date.now() + PATIENCE_MS;
  while (isThere(pid)) {
    if (Date.now() > until) send(pid, 'SIGKILL');
    await sleep(20);
  }
}

function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

/** One that has ended may still wait for its parent to ask how; the parent here is whoever takes orphans. */
function isThere(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  if (!existsSync('/proc/self')) return send(pid, 0);
  return existsSync(file) && !/\) Z /.test(readFileSync(file, 'utf8'));
}

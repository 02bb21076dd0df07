import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, open, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

/** Threads of libuv's pool, unless UV_THREADPOOL_SIZE is set. */
const THREADS = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);

/**
 * Keeps all threads of this process busy that `node:crypto` signs on, without using the CPU: each waits for a writer of a
 * named pipe.
 * @returns frees the threads
 */
export function stallThreadPool(): () => void {
  const folder = mkdtempSync(path.join(tmpdir(), 'wakala-stalled-'));
  const pipe = path.join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (let i = 0; i < THREADS; i++) {
    open(pipe, 'r', (_, file) => closeSync(file));
  }
  let isStalled = true;
  const release = () => {
    if (!isStalled) return;
    isStalled = false;
    // Opening a pipe for both directions never waits (fifo(7)).
    const writer = openSync(pipe, 'r+');
    setTimeout(() => {
      closeSync(writer);
      rmSync(folder, { recursive: true });
    }, 100);
  };
  onTestFinished(release);
  return release;
}

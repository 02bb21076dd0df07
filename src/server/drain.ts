import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long idle connections stay open, so that a request already on its way on one of them is still answered. */
const LAME_DUCK_MS = 2000;

/** How long a connection that was accepted last has to send its request. */
const ACCEPTED_MS = 100;

const POLL_MS = 20;

/**
 * Lets a server finish: answers close their connections by now, then nothing new is taken, then what is under way may
 * finish until `timeoutMs` is over. `onClosing` is called when nothing more can come, to end what never ends by itself.
 * @param isBusy whether anything is under way that no connection of a client shows, such as a payment whose client left
 * @returns true if nothing had to be cut off
 */
export async function drainServer(
  server: Server,
  timeoutMs: number,
  now: () => number,
  onClosing: () => void,
  isBusy: () => boolean,
): Promise<boolean> {
  const startedMs = now();
  const elapsedMs = () => now() - startedMs;
  const lameDuckMs = Math.min(LAME_DUCK_MS, timeoutMs / 2);
  while ((await openConnections(server)) > 0 && elapsedMs() < lameDuckMs) await sleep(POLL_MS);
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  // What was accepted last may have its request on the way.
  await Promise.race([closed, sleep(Math.min(ACCEPTED_MS, timeoutMs / 4))]);
  onClosing();
  const isOver = new AbortController();
  // This timer keeps the process alive. An open connection does not always do so.
  const late = sleep(Math.max(0, timeoutMs - elapsedMs()), false, { signal: isOver.signal });
  const clean = await Promise.race([closed.then(() => true), late]);
  isOver.abort();
  if (!clean) server.closeAllConnections();
  while (isBusy() && elapsedMs() < timeoutMs) await sleep(POLL_MS);
  return clean && !isBusy();
}

function openConnections(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.getConnections((_error, count) => {
      resolve(count);
    });
  });
}

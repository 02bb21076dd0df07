import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../soak/scope.ts';
import type { Target } from './target.ts';

const POLL_MS = 50;
/** How long a target may take to process what it received. The machine may be busy. */
const IDLE_IN_MS = 60_000;
/** A target that only serves the paying clients is busy in at most `MAX_BUSY_SAMPLES` of these samples. */
const SAMPLES = 10;
const MAX_BUSY_SAMPLES = 3;

/**
 * Runs an attack and watches the target's memory until the target is idle again.
 * @throws Error if it grew by more than `maxMiB` over its baseline
 */
export async function expectMemoryWithin(
  target: Target,
  maxMiB: number,
  attack: () => Promise<unknown>,
): Promise<void> {
  target.resetPeakMemory();
  const grown = () => Math.round(target.memoryMiB().peak - target.baselineMiB);
  await runWatched(
    async () => {
      await attack();
      await waitUntilIdle(target);
    },
    () => (grown() > maxMiB ? `the memory grew by ${grown()} MiB` : undefined),
  );
}

/**
 * Runs an attack and watches the target's CPU time, during which its event loop is blocked.
 * @throws Error if it used more than `maxMs`
 */
export async function expectCpuWithin(target: Target, maxMs: number, attack: () => Promise<unknown>): Promise<void> {
  const before = target.cpuMs();
  const used = () => target.cpuMs() - before;
  await runWatched(attack, () =>
    used() > maxMs ? `the event loop was blocked for ${used()} ms of CPU time` : undefined,
  );
}

/** Waits until a target does little more than serve the paying clients. */
export async function waitUntilIdle(target: Target): Promise<void> {
  await eventually(IDLE_IN_MS, async () => {
    let computing = 0;
    for (let i = 0; i < SAMPLES && !target.hasEnded; i++) {
      await delay(20);
      if (target.isComputing()) computing += 1;
    }
    return computing <= MAX_BUSY_SAMPLES;
  });
}

/** Runs an attack until it ends or `violation` returns a message. The caller then kills the target, which ends the attack. */
async function runWatched(run: () => Promise<unknown>, violation: () => string | undefined): Promise<void> {
  const running = run();
  let isOver = false;
  const ended = () => (isOver = true);
  running.then(ended, ended);
  while (!isOver) {
    const found = violation();
    if (found !== undefined) throw new Error(found);
    await Promise.race([running, delay(POLL_MS)]);
  }
  await running;
  const found = violation();
  if (found !== undefined) throw new Error(found);
}

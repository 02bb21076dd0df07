import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../soak/scope.ts';
import type { Target } from './target.ts';

const POLL_MS = 50;
/** How long a target may take to work off what it was sent. Long: the machine may be busy. */
const IDLE_IN_MS = 60_000;
/** Looks in a row, of which a target that only serves the honest clients computes in few. */
const SAMPLES = 10;
const MAX_BUSY_SAMPLES = 3;

/**
 * Runs an attack while the target's memory is watched. What it holds at the end must be held until then: the target is
 * given time to work it off. @throws Error if it came to hold `mostMiB` more than after its start
 */
export async function expectMemoryWithin(
  target: Target,
  mostMiB: number,
  attack: () => Promise<unknown>,
): Promise<void> {
  target.resetPeakMemory();
  const grown = () => Math.round(target.memoryMiB().peak - target.baselineMiB);
  await runWatched(
    async () => {
      await attack();
      await waitUntilIdle(target);
    },
    () => (grown() > mostMiB ? `its memory grew by ${grown()} MiB` : undefined),
  );
}

/**
 * Runs an attack while the target's CPU time is watched: as long as it computes, its event loop serves nobody.
 * @throws Error if it used more than `mostMs`
 */
export async function expectCpuWithin(target: Target, mostMs: number, attack: () => Promise<unknown>): Promise<void> {
  const before = target.cpuMs();
  const used = () => target.cpuMs() - before;
  await runWatched(attack, () =>
    used() > mostMs ? `its event loop was blocked for ${used()} ms of CPU time` : undefined,
  );
}

/** Waits until a target has little to do but to serve the honest clients. */
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

/** Runs it until it is over or `harm` finds something; the target is killed after that, which ends the attack too. */
async function runWatched(run: () => Promise<unknown>, harm: () => string | undefined): Promise<void> {
  const running = run();
  let isOver = false;
  const ended = () => (isOver = true);
  running.then(ended, ended);
  while (!isOver) {
    const found = harm();
    if (found !== undefined) throw new Error(found);
    await Promise.race([running, delay(POLL_MS)]);
  }
  await running;
  const found = harm();
  if (found !== undefined) throw new Error(found);
}

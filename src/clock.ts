/** Time and timers. Tests use a clock that they move by hand. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Calls back once after `delayMs`. The timer keeps the process alive only with `ref`.
   * @returns a function that cancels the timer
   */
  after(delayMs: number, callback: () => void, options?: { readonly ref: boolean }): () => void;
}

/** Longest delay of `setTimeout`. With a longer one, it fires at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, callback, { ref } = { ref: false }) => {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    if (!ref) timer.unref();
    return () => clearTimeout(timer);
  },
};

/**
 * Whether less than `durationMs` have passed since `sinceMs`. False if `sinceMs` is in the future: the clock was set back,
 * so a wait until the clock is there again could take years.
 */
export function isWithin(durationMs: number, sinceMs: number, nowMs: number): boolean {
  const elapsedMs = nowMs - sinceMs;
  return elapsedMs >= 0 && elapsedMs < durationMs;
}

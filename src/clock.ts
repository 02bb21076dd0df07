/** Time as the rest of the program sees it, so that tests can move it by hand. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Runs `callback` once after `delayMs`; the returned function cancels. Keeps the process alive only with `ref`: for
   * work that must happen though nothing else is left to wait for.
   */
  after(delayMs: number, callback: () => void, options?: { readonly ref: boolean }): () => void;
}

/** The longest delay `setTimeout` takes; beyond it, it fires at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, callback, { ref } = { ref: false }) => {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    if (!ref) timer.unref();
    return () => clearTimeout(timer);
  },
};

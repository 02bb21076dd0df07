import { type Clock, systemClock } from '../../src/clock.ts';

/** Real time, plus what a test adds to it. Timers run by real time. */
export class ShiftedClock implements Clock {
  shiftMs = 0;

  now(): number {
    return systemClock.now() + this.shiftMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    return systemClock.after(delayMs, callback);
  }
}

/** A clock that only `shiftMs` moves, so that a slow machine changes nothing. Timers run by real time. */
export class SteppedClock extends ShiftedClock {
  readonly #startMs = systemClock.now();

  override now(): number {
    return this.#startMs + this.shiftMs;
  }
}

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

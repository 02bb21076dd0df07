import type { ProcessSnapshot } from '../snapshot.ts';
import { NOTHING, sumOf, type Totals, totalsOf } from './totals.ts';

interface Entry {
  readonly startedAtMs: number;
  readonly totals: Totals;
}

/**
 * Adds up what the processes have counted, so that the sum never falls: of a process that did not answer or is gone, it
 * takes what that said last. Prometheus would take a sum that falls for a counter that began anew, and what is left of
 * it for that many new requests.
 */
export class CounterAccumulator {
  /** What each process said last, by pid. */
  readonly #entries = new Map<number, Entry>();
  /** Of all that are gone. */
  #gone = NOTHING;

  /** `alive`: pids of the processes that there are, whether they answered or not. */
  totals(snapshots: readonly ProcessSnapshot[], alive: ReadonlySet<number>): Totals {
    const heard = new Map(snapshots.map((snapshot) => [snapshot.pid, snapshot]));
    for (const [pid, { startedAtMs, totals }] of this.#entries) {
      const now = heard.get(pid);
      if (now === undefined ? alive.has(pid) : now.startedAtMs === startedAtMs) continue;
      this.#gone = sumOf(this.#gone, totals);
      this.#entries.delete(pid);
    }
    for (const [pid, snapshot] of heard) {
      this.#entries.set(pid, { startedAtMs: snapshot.startedAtMs, totals: totalsOf(snapshot) });
    }
    return [...this.#entries.values()].reduce((sum, { totals }) => sumOf(sum, totals), this.#gone);
  }
}

import type { Counts } from './activity.ts';
import { newLatencyBuckets } from './latency.ts';

/** Length of a step. Milliseconds. */
export const BUCKET_MS = 10_000;

/** Steps that are kept: a quarter of an hour. */
export const BUCKETS = 90;

/** What happened within one step. */
export interface Bucket {
  /** Counts steps since the Unix epoch, so that it is the same in every process. */
  readonly step: number;
  /** Requests by the first digit of their status; 0: the client left. */
  readonly statuses: readonly number[];
  readonly latency: readonly number[];
  /** Requests whose token the provider called dead. */
  readonly refusals: number;
  readonly exchanges: number;
}

interface Totals {
  readonly statuses: ArrayLike<number>;
  readonly latency: ArrayLike<number>;
  readonly refusals: number;
  readonly exchanges: number;
}

export function bucketAt(epochMs: number): number {
  return Math.floor(epochMs / BUCKET_MS);
}

/** The last quarter of an hour of a route in steps: the differences between what its counters said. */
export class TimeSeries {
  #points: Bucket[] = [];
  #before: Totals = { statuses: new Float64Array(6), latency: newLatencyBuckets(), refusals: 0, exchanges: 0 };

  tick(step: number, counts: Counts | undefined, exchanges: number): void {
    const now = totalsOf(counts, exchanges);
    const before = this.#before;
    this.#before = now;
    const point = difference(step, before, now);
    if (point !== undefined) this.#points.push(point);
    const oldest = step - BUCKETS;
    if ((this.#points[0]?.step ?? step) <= oldest) this.#points = this.#points.filter((known) => known.step > oldest);
  }

  points(step: number): readonly Bucket[] {
    return this.#points.filter((point) => point.step > step - BUCKETS);
  }
}

function totalsOf(counts: Counts | undefined, exchanges: number): Totals {
  if (counts === undefined) {
    return { statuses: new Float64Array(6), latency: newLatencyBuckets(), refusals: 0, exchanges };
  }
  return { statuses: counts.statuses.slice(), latency: counts.latency.slice(), refusals: counts.refusals, exchanges };
}

/** Undefined if nothing happened. */
function difference(step: number, before: Totals, now: Totals): Bucket | undefined {
  const statuses = minus(now.statuses, before.statuses);
  const refusals = now.refusals - before.refusals;
  const exchanges = now.exchanges - before.exchanges;
  if (exchanges === 0 && refusals === 0 && statuses.every((count) => count === 0)) return undefined;
  return { step, statuses, latency: minus(now.latency, before.latency), refusals, exchanges };
}

function minus(now: ArrayLike<number>, before: ArrayLike<number>): number[] {
  return Array.from(now, (count, i) => count - (before[i] ?? 0));
}

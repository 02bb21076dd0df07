import type { ErrorCode, Reason } from '../errors.ts';
import { latencyBucketOf, newLatencyBuckets } from './latency.ts';
import { newRouteCounters, type ReplayOutcome, type RouteCounters } from './metrics.ts';
import type { RequestRecord } from './request-record.ts';

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

  tick(step: number, counts: RouteCounters | undefined, exchanges: number): void {
    const now = totalsOf(counts, exchanges);
    const before = this.#before;
    this.#before = now;
    const point = difference(step, before, now);
    if (point !== undefined) this.#points.push(point);
    const oldest = step - BUCKETS;
    if ((this.#points[0]?.step ?? step) <= oldest) this.#points = this.#points.filter((known) => known.step > oldest);
  }

  buckets(step: number): readonly Bucket[] {
    return this.#points.filter((point) => point.step > step - BUCKETS);
  }
}

function totalsOf(counts: RouteCounters | undefined, exchanges: number): Totals {
  if (counts === undefined) {
    return { statuses: new Float64Array(6), latency: newLatencyBuckets(), refusals: 0, exchanges };
  }
  return {
    statuses: counts.statuses.slice(),
    latency: counts.latency.buckets.slice(),
    refusals: counts.refusals,
    exchanges,
  };
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

/** The last request that wakala could not have answered by the provider. */
export interface LastFailure {
  readonly code: ErrorCode;
  readonly reason: Reason | undefined;
  readonly detail: string;
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly requestId: string;
}

/** What a route does and did. It outlives the configuration: a route of the same name goes on counting. */
export class RouteStats {
  /** Requests that wait for an answer right now. */
  inFlight = 0;
  /** WebSockets that are open, or whose handshake is under way. */
  websockets = 0;
  /** Undefined until there was a request: there may be many routes that nobody calls. */
  counts: RouteCounters | undefined;
  /** The last failure, unless the provider answered since. */
  failure: LastFailure | undefined;
  readonly #series = new TimeSeries();

  finished(record: RequestRecord): void {
    const counts = (this.counts ??= newRouteCounters());
    const durationMs = record.endedAt - record.startedAt;
    countStatus(counts, record.status);
    countLatency(counts, durationMs);
    if (record.use !== undefined) counts.uses[record.use] += 1;
    if (record.use === 'replayed') counts.replays[replayOutcomeOf(record)] += 1;
    counts.refusals += record.refusals;
    if (record.code === undefined) {
      if (record.status !== 0) this.failure = undefined;
      return;
    }
    countError(counts, record.code);
    if (record.status < 500) return;
    const { code, reason, detail = '', requestId, atMs } = record;
    this.failure = { code, reason, detail, atMs, requestId };
  }

  /** A request that was refused before it went anywhere: it says nothing of how long requests take. */
  refused(status: number, code: ErrorCode): void {
    const counts = (this.counts ??= newRouteCounters());
    countStatus(counts, status);
    countError(counts, code);
  }

  /** Ends a step. `exchanges`: token exchanges so far. */
  tick(step: number, exchanges: number): void {
    if (this.counts !== undefined || exchanges > 0) this.#series.tick(step, this.counts, exchanges);
  }

  /** The last steps in which anything happened, oldest first. */
  buckets(step: number): readonly Bucket[] {
    return this.#series.buckets(step);
  }
}

function countStatus({ statuses }: RouteCounters, status: number): void {
  const kind = Math.floor(status / 100);
  statuses[kind] = (statuses[kind] ?? 0) + 1;
}

function countLatency({ latency }: RouteCounters, durationMs: number): void {
  const bucket = latencyBucketOf(durationMs);
  latency.buckets[bucket] = (latency.buckets[bucket] ?? 0) + 1;
  latency.sumMs += durationMs;
}

function countError({ errors }: RouteCounters, code: ErrorCode): void {
  errors[code] = (errors[code] ?? 0) + 1;
}

function replayOutcomeOf({ code, refusals }: RequestRecord): ReplayOutcome {
  if (code !== undefined) return 'failed';
  return refusals > 1 ? 'refused' : 'answered';
}

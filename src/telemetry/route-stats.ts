import type { ErrorCode, Reason } from '../errors.ts';
import { latencyBucketOf, newLatencyBuckets } from './latency.ts';
import { newRouteCounters, type ReplayOutcome, type RouteCounters } from './metrics.ts';
import type { RequestRecord } from './request-record.ts';

/** Length of a bucket of the time series. Milliseconds. */
export const BUCKET_MS = 10_000;

/** Largest number of buckets in a time series: 15 minutes. */
export const MAX_BUCKETS = 90;

/** What happened within one bucket of time. */
export interface Bucket {
  /** Number of the bucket since the Unix epoch, so that it is the same in every process. */
  readonly index: number;
  /** Requests by the first digit of their status; 0: the client disconnected before the response. */
  readonly statuses: readonly number[];
  readonly latency: readonly number[];
  /** Responses in which the provider refused the token. */
  readonly refusals: number;
  /** Token requests. */
  readonly exchanges: number;
}

type Totals = Omit<Bucket, 'index' | 'statuses' | 'latency'> & {
  readonly statuses: ArrayLike<number>;
  readonly latency: ArrayLike<number>;
};

export function bucketIndexAt(epochMs: number): number {
  return Math.floor(epochMs / BUCKET_MS);
}

/** The last 15 minutes of a route, made from the differences between its counters. Buckets without traffic are left out. */
export class TimeSeries {
  #buckets: Bucket[] = [];
  #before = totalsOf(undefined, 0);

  /** Ends the bucket `index`. `exchanges`: token requests so far. */
  tick(index: number, counters: RouteCounters | undefined, exchanges: number): void {
    const now = totalsOf(counters, exchanges);
    const before = this.#before;
    this.#before = now;
    const bucket = difference(index, before, now);
    if (bucket !== undefined) this.#buckets.push(bucket);
    const oldest = index - MAX_BUCKETS;
    if ((this.#buckets[0]?.index ?? index) <= oldest) {
      this.#buckets = this.#buckets.filter((known) => known.index > oldest);
    }
  }

  /** The buckets of the window that ends with `index`, oldest first. */
  buckets(index: number): readonly Bucket[] {
    return this.#buckets.filter((bucket) => bucket.index > index - MAX_BUCKETS);
  }
}

function totalsOf(counters: RouteCounters | undefined, exchanges: number): Totals {
  if (counters === undefined) {
    return { statuses: new Float64Array(6), latency: newLatencyBuckets(), refusals: 0, exchanges };
  }
  const { statuses, latency, refusals } = counters;
  return { statuses: statuses.slice(), latency: latency.buckets.slice(), refusals, exchanges };
}

/** Undefined if nothing happened. */
function difference(index: number, before: Totals, now: Totals): Bucket | undefined {
  const statuses = minus(now.statuses, before.statuses);
  const refusals = now.refusals - before.refusals;
  const exchanges = now.exchanges - before.exchanges;
  if (exchanges === 0 && refusals === 0 && statuses.every((count) => count === 0)) return undefined;
  return { index, statuses, latency: minus(now.latency, before.latency), refusals, exchanges };
}

function minus(now: ArrayLike<number>, before: ArrayLike<number>): number[] {
  return Array.from(now, (count, i) => count - (before[i] ?? 0));
}

/** The last request that failed with a status of 500 or above from Wakala. */
export interface LastFailure {
  readonly code: ErrorCode;
  readonly reason: Reason | undefined;
  readonly detail: string;
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly requestId: string;
}

/** Live numbers and counters of a route. They outlive a reload: a route of the same name goes on counting. */
export class RouteStats {
  /** Requests that wait for a response now. */
  inFlight = 0;
  /** WebSockets that are open, or whose handshake is in progress. */
  websockets = 0;
  /** Undefined until the first request: there may be many routes that are never called. */
  counts: RouteCounters | undefined;
  /** Undefined after a response of the provider. */
  failure: LastFailure | undefined;
  readonly #series = new TimeSeries();

  /** Counts a request that was sent to the provider, or failed on the way. */
  finished(record: RequestRecord): void {
    const counts = (this.counts ??= newRouteCounters());
    countStatus(counts, record.status);
    countLatency(counts, record.endedAt - record.startedAt);
    if (record.use !== undefined) counts.uses[record.use] += 1;
    if (record.use === 'replayed') counts.replays[replayOutcomeOf(record)] += 1;
    counts.refusals += record.refusals;
    if (record.code === undefined) {
      if (record.status !== 0) this.failure = undefined;
      return;
    }
    countError(counts, record.code);
    if (record.status < 500 || isFaultOfClient(record.reason)) return;
    const { code, reason, detail = '', requestId, atMs } = record;
    this.failure = { code, reason, detail, atMs, requestId };
  }

  /** Counts a request that was refused before it was sent. It has no latency. */
  refused(status: number, code: ErrorCode): void {
    const counts = (this.counts ??= newRouteCounters());
    countStatus(counts, status);
    countError(counts, code);
  }

  /** Ends a bucket of the time series. `exchanges`: token requests so far. */
  tick(index: number, exchanges: number): void {
    if (this.counts !== undefined || exchanges > 0) this.#series.tick(index, this.counts, exchanges);
  }

  /** The buckets of the last 15 minutes that had traffic, oldest first. */
  buckets(index: number): readonly Bucket[] {
    return this.#series.buckets(index);
  }
}

/** A slow upload of a client says nothing about the provider. */
function isFaultOfClient(reason: Reason | undefined): boolean {
  return reason?.kind === 'timeout' && reason.phase === 'request_body';
}

function countStatus({ statuses }: RouteCounters, status: number): void {
  const statusClass = Math.floor(status / 100);
  statuses[statusClass] = (statuses[statusClass] ?? 0) + 1;
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

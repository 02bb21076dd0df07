import type { ErrorCode } from '../errors.ts';
import { latencyBucketOf, newLatencyBuckets } from './latency.ts';
import { type Bucket, TimeSeries } from './series.ts';
import type { TokenUse, RequestRecord } from './trail.ts';

/** What a second attempt came to. */
export type ReplayOutcome = 'answered' | 'refused' | 'failed';

/** Counts since the process began. */
export interface Counts {
  /** By the first digit of the status; 0: the client left before it got one. */
  readonly statuses: Float64Array;
  readonly latency: Float64Array;
  latencySumMs: number;
  readonly uses: Record<TokenUse, number>;
  /** How often the provider called a token dead. */
  refusals: number;
  readonly replays: Record<ReplayOutcome, number>;
  readonly errors: Map<ErrorCode, number>;
}

/** The last request that wakala could not have answered by the provider. */
export interface LastFailure {
  readonly code: ErrorCode;
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
  counts: Counts | undefined;
  /** The last failure, unless the provider answered since. */
  failure: LastFailure | undefined;
  readonly #series = new TimeSeries();

  finished(trail: RequestRecord): void {
    const counts = (this.counts ??= newCounts());
    const durationMs = trail.endedAt - trail.startedAt;
    countStatus(counts, trail.status);
    const bucket = latencyBucketOf(durationMs);
    counts.latency[bucket] = (counts.latency[bucket] ?? 0) + 1;
    counts.latencySumMs += durationMs;
    if (trail.use !== undefined) counts.uses[trail.use] += 1;
    if (trail.use === 'replayed') counts.replays[replayOutcomeOf(trail)] += 1;
    counts.refusals += trail.refusals;
    if (trail.code === undefined) {
      if (trail.status !== 0) this.failure = undefined;
      return;
    }
    countError(counts, trail.code);
    if (trail.status < 500) return;
    const { code, detail = '', requestId, atMs } = trail;
    this.failure = { code, detail, atMs, requestId };
  }

  /** A request that was refused before it went anywhere: it says nothing of how long requests take. */
  refused(status: number, code: ErrorCode): void {
    const counts = (this.counts ??= newCounts());
    countStatus(counts, status);
    countError(counts, code);
  }

  /** Ends a step. `exchanges`: token exchanges so far. */
  tick(step: number, exchanges: number): void {
    if (this.counts !== undefined || exchanges > 0) this.#series.tick(step, this.counts, exchanges);
  }

  /** The last steps in which anything happened, oldest first. */
  points(step: number): readonly Bucket[] {
    return this.#series.points(step);
  }
}

function countStatus({ statuses }: Counts, status: number): void {
  const kind = Math.floor(status / 100);
  statuses[kind] = (statuses[kind] ?? 0) + 1;
}

function countError({ errors }: Counts, code: ErrorCode): void {
  errors.set(code, (errors.get(code) ?? 0) + 1);
}

function replayOutcomeOf({ code, refusals }: RequestRecord): ReplayOutcome {
  if (code !== undefined) return 'failed';
  return refusals > 1 ? 'refused' : 'answered';
}

function newCounts(): Counts {
  return {
    statuses: new Float64Array(6),
    latency: newLatencyBuckets(),
    latencySumMs: 0,
    refusals: 0,
    uses: { cached: 0, fetched: 0, replayed: 0, 'not-replayed': 0 },
    replays: { answered: 0, refused: 0, failed: 0 },
    errors: new Map(),
  };
}

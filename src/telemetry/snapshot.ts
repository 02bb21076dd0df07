import type { ExchangeStats, RefusedCall, TokenFailure } from '../tokens/exchange-stats.ts';
import type { StoreStatus } from '../tokens/store/store.ts';
import type { LifetimeSource } from '../tokens/token.ts';
import { type ProcessValues, type RouteCounts, sumOfCounts, type UpstreamCounts } from './metrics.ts';
import type { RecordedDetails, RecordedRequest } from './recent-requests.ts';
import type { Bucket, LastFailure } from './route-stats.ts';

/** Largest number of refused calls in a snapshot; more are only counted. */
export const MAX_REFUSED_CALLS = 20;

/** A serving process, as the admin listener sees it: this process or a worker. */
export interface ServingProcess {
  readonly pid: number;
  snapshot(): Promise<ProcessSnapshot>;
  /** Recorded requests with higher numbers than `after`, newest first. */
  records(after: number): Promise<readonly RecordedRequest[]>;
  /** One recorded request with its headers and bodies; undefined if it was replaced by newer ones. */
  details(number: number): Promise<RecordedDetails | undefined>;
  /** Requests a new token for a route's credential at once. */
  refresh(route: string): Promise<RefreshResult>;
  /** Resends a recorded request to an emulated provider; undefined if the providers are real. */
  readonly resend?: ((number: number) => Promise<ResendResult>) | undefined;
}

/** What one serving process reports. Plain data without secrets. Times are epoch milliseconds. */
export interface ProcessSnapshot extends ProcessValues {
  readonly pid: number;
  /** Undefined without a token store. */
  readonly tokenStore: StoreStatus | undefined;
  readonly upstreams: readonly UpstreamSnapshot[];
  readonly credentials: readonly CredentialSnapshot[];
  /** Requests that match no route, by error code. */
  readonly unrouted: RouteCounts['errors'];
  /** In the order of the configuration. */
  readonly routes: readonly RouteSnapshot[];
}

interface UpstreamSnapshot extends UpstreamCounts {
  readonly origin: string;
}

/** A credential and its current token. */
export interface CredentialSnapshot {
  /** Name of the first route that uses it. */
  readonly name: string;
  readonly provider: string;
  /** A fixed key: it is never requested and never expires. */
  readonly fixed: boolean;
  readonly token: TokenSnapshot | undefined;
  readonly isFetching: boolean;
  /** When the next token request may be sent after a failure; 0 if now. */
  readonly retryAtMs: number;
  readonly failure: TokenFailure | undefined;
  readonly exchanges: ExchangeStats['counts'];
  /** How far the clock of the token endpoint is ahead of this machine. */
  readonly clockSkewMs: number | undefined;
  /** The newest calls that the provider refused with a fresh token too, masked and cut; up to 20. */
  readonly refusedCalls: readonly RefusedCall[];
  /** All refused calls. Over several processes, the largest number of one process. */
  readonly refusedCallCount: number;
}

export interface TokenSnapshot {
  readonly fingerprint: string;
  readonly issuedAtMs: number;
  /** Infinity for a fixed key. */
  readonly expiresAtMs: number;
  readonly refreshAtMs: number;
  readonly lifetimeSource: LifetimeSource;
  readonly generation: number;
}

export interface RouteSnapshot {
  readonly name: string;
  /** Name of its credential. Undefined for a route without token. */
  readonly credential: string | undefined;
  readonly inFlight: number;
  /** Undefined until the first request. */
  readonly counts: RouteCounts | undefined;
  /** The last failure; undefined after a response of the provider. */
  readonly failure: LastFailure | undefined;
  readonly buckets: readonly Bucket[];
}

export type RefreshResult =
  | { readonly kind: 'refreshed'; readonly fingerprint: string; readonly expiresAtMs: number }
  /** A fixed key cannot be requested. */
  | { readonly kind: 'fixed' }
  | { readonly kind: 'no token' }
  | { readonly kind: 'no such route' }
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly detail: string;
      readonly retryAfterS: number | undefined;
    };

export type ResendResult =
  | { readonly kind: 'sent'; readonly requestId: string; readonly status: number }
  | { readonly kind: 'refused'; readonly why: string };

/** Results of configuration reloads. */
export interface Reloads {
  readonly taken: number;
  readonly refused: number;
  /** Why the configuration on disk is not in use. Wakala stays ready with the old one. */
  readonly failure: string | undefined;
}

/** Merges what all processes report about one credential. @throws Error if `all` is empty */
export function mergedCredential(all: readonly CredentialSnapshot[]): CredentialSnapshot {
  const [first, ...others] = all;
  if (first === undefined) throw new Error('no process reports this credential');
  return others.reduce(
    (one, other) => ({
      ...one,
      token: newestToken(one.token, other.token),
      isFetching: one.isFetching || other.isFetching,
      retryAtMs: Math.max(one.retryAtMs, other.retryAtMs),
      failure: latest(one.failure, other.failure),
      exchanges: sumOfCounts(one.exchanges, other.exchanges),
      clockSkewMs: largestSkew(one.clockSkewMs, other.clockSkewMs),
      refusedCalls: unionOfCalls(one.refusedCalls, other.refusedCalls),
      refusedCallCount: Math.max(one.refusedCallCount, other.refusedCallCount),
    }),
    first,
  );
}

/** Merges what all processes report about one route. @throws Error if `all` is empty */
export function mergedRoute(all: readonly RouteSnapshot[]): RouteSnapshot {
  const [first, ...others] = all;
  if (first === undefined) throw new Error('no process reports this route');
  return others.reduce(
    (one, other) => ({
      ...one,
      inFlight: one.inFlight + other.inFlight,
      counts: one.counts && other.counts ? sumOfCounts(one.counts, other.counts) : (one.counts ?? other.counts),
      failure: latest(one.failure, other.failure),
      buckets: mergedBuckets(one.buckets, other.buckets),
    }),
    first,
  );
}

/** Groups what all processes report by the name of the route or credential. */
export function groupByName<T extends { readonly name: string }>(all: readonly T[]): Map<string, [T, ...T[]]> {
  const groups = new Map<string, [T, ...T[]]>();
  for (const each of all) {
    const group = groups.get(each.name);
    if (group === undefined) groups.set(each.name, [each]);
    else group.push(each);
  }
  return groups;
}

/** The token with the higher generation, or else the one issued last. */
function newestToken(one: TokenSnapshot | undefined, other: TokenSnapshot | undefined): TokenSnapshot | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  if (one.generation !== other.generation) return one.generation > other.generation ? one : other;
  return one.issuedAtMs >= other.issuedAtMs ? one : other;
}

function latest<T extends { readonly atMs: number }>(one: T | undefined, other: T | undefined): T | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.atMs >= other.atMs ? one : other;
}

function largestSkew(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.abs(one) >= Math.abs(other) ? one : other;
}

function unionOfCalls(one: readonly RefusedCall[], other: readonly RefusedCall[]): readonly RefusedCall[] {
  const latestCalls = new Map<string, RefusedCall>();
  for (const refused of [...one, ...other]) {
    const key = JSON.stringify([refused.client, refused.call]);
    if (refused.untilMs > (latestCalls.get(key)?.untilMs ?? 0)) latestCalls.set(key, refused);
  }
  return [...latestCalls.values()];
}

/** By index, oldest first. */
function mergedBuckets(one: readonly Bucket[], other: readonly Bucket[]): readonly Bucket[] {
  const buckets = new Map(one.map((bucket) => [bucket.index, bucket]));
  for (const bucket of other) {
    const known = buckets.get(bucket.index);
    buckets.set(bucket.index, known === undefined ? bucket : { ...sumOfCounts(known, bucket), index: bucket.index });
  }
  return [...buckets.values()].sort((a, b) => a.index - b.index);
}

import type { ExchangeStats, RefusedCall, TokenFailure } from '../tokens/exchange-stats.ts';
import type { StoreStatus } from '../tokens/store/store.ts';
import type { LifetimeSource } from '../tokens/token.ts';
import type { RecordedDetails, RecordedRequest } from './recent-requests.ts';
import type { Bucket, LastFailure } from './route-stats.ts';

/** Refused calls that are shown; more are counted. */
export const MOST_REFUSED_CALLS = 20;

/** A process that serves, as the admin listener asks it: this one, or a worker. */
export interface ServingProcess {
  readonly pid: number;
  snapshot(): Promise<ProcessSnapshot>;
  /** The last requests with higher numbers than `after`, newest first. */
  records(after: number): Promise<readonly RecordedRequest[]>;
  /** One of them, with its headers and bodies; undefined if it is not kept any more. */
  details(number: number): Promise<RecordedDetails | undefined>;
  /** Gets a new token for a route's credential, at once. */
  refresh(route: string): Promise<RefreshResult>;
  /** Sends a recorded request again, to an emulated provider; undefined where providers are real. */
  readonly resend?: ((number: number) => Promise<ResendResult>) | undefined;
}

/** What one process that serves has to tell. Plain data without secrets. Times are epoch milliseconds. */
export interface ProcessSnapshot {
  readonly pid: number;
  readonly startedAtMs: number;
  readonly rssBytes: number;
  /** CPU time since the process began. */
  readonly cpuSeconds: number;
  /** Client connections. */
  readonly connections: number;
  readonly websockets: number;
  /** Requests that are not in the list of the last ones any more, or never were. */
  readonly recordsDropped: number;
  /** Undefined where there is no token store. */
  readonly tokenStore: StoreStatus | undefined;
  readonly upstreams: readonly UpstreamSnapshot[];
  readonly credentials: readonly CredentialSnapshot[];
  /** Requests that no route took, by the code of what they got. */
  readonly unrouted: Readonly<Record<string, number>>;
  /** In the order of the configuration. */
  readonly routes: readonly RouteSnapshot[];
}

/** Connections to one origin. */
interface UpstreamSnapshot {
  readonly origin: string;
  readonly busy: number;
  readonly idle: number;
  /** Requests that wait for a connection. */
  readonly waiting: number;
}

/** One credential, and the token that it has now. */
export interface CredentialSnapshot {
  /** Name of the first route that uses it. */
  readonly name: string;
  readonly provider: string;
  /** A fixed key: it is never asked for, and never expires. */
  readonly fixed: boolean;
  readonly token: TokenSnapshot | undefined;
  readonly isFetching: boolean;
  /** When the next attempt may be made after a failure; 0 if now. */
  readonly retryAtMs: number;
  readonly failure: TokenFailure | undefined;
  readonly exchanges: ExchangeStats['counts'];
  /** How far the token endpoint's clock is ahead of ours. */
  readonly clockSkewMs: number | undefined;
  /** The newest of those that the provider refuses with a fresh token as well, masked and cut; up to 20. */
  readonly refusedCalls: readonly RefusedCall[];
  /** How many there are in all. With several processes: in the one that has most. */
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
  /** Name of its credential. */
  readonly credential: string;
  readonly inFlight: number;
  /** Undefined until there was a request. */
  readonly counts: RouteCounts | undefined;
  /** The last failure, unless the provider answered since. */
  readonly failure: LastFailure | undefined;
  readonly buckets: readonly Bucket[];
}

/** Counts since the process began; see `telemetry/activity.ts`. */
export interface RouteCounts {
  /** By the first digit of the status; 0: the client left. */
  readonly statuses: readonly number[];
  readonly latency: readonly number[];
  readonly latencySumMs: number;
  readonly uses: Readonly<Record<string, number>>;
  readonly refusals: number;
  readonly replays: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
}

export type RefreshResult =
  | { readonly kind: 'refreshed'; readonly fingerprint: string; readonly expiresAtMs: number }
  /** A fixed key cannot be asked for. */
  | { readonly kind: 'fixed' }
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

/** What became of changed configurations. */
export interface Reloads {
  readonly taken: number;
  readonly refused: number;
  /** Why the configuration on disk is not the one that serves. It makes nobody unready: the old one is good. */
  readonly failure: string | undefined;
}

import type { Config, RouteConfig } from '../config/config.ts';
import { latencyAt } from '../telemetry/latency.ts';
import { sumOfCounts } from '../telemetry/metrics.ts';
import { type Bucket, BUCKET_MS, bucketIndexAt, MAX_BUCKETS } from '../telemetry/route-stats.ts';
import {
  type CredentialSnapshot,
  groupByName,
  mergedCredential,
  mergedRoute,
  type ProcessSnapshot,
  type RouteSnapshot,
  type ServingProcess,
} from '../telemetry/snapshot.ts';
import type { StoreStatus } from '../tokens/store/store.ts';
import type { AdminContext } from './context.ts';
import { type Diagnostic, type Health, reloadHealth, routeHealth, storeHealth } from './route-health.ts';

/** The snapshots of all processes that respond. */
export async function snapshotsOf(processes: readonly ServingProcess[]): Promise<ProcessSnapshot[]> {
  const results = await Promise.allSettled(processes.map((process) => process.snapshot()));
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** The traffic of a route in the last 15 minutes. */
export interface Traffic {
  /** Requests per second over the last full minute. */
  readonly perSecond: number;
  /** Over the window, or since the start if that is shorter. Milliseconds; undefined without a request. */
  readonly p50Ms: number | undefined;
  readonly p95Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly window: TrafficWindow;
  /** The buckets with traffic, oldest first. */
  readonly buckets: readonly Bucket[];
}

/** The bucket indexes of the window, from `first` to `last`, both included. `last` is the last full bucket. */
export interface TrafficWindow {
  readonly first: number;
  readonly last: number;
  /** Whether the window covers the whole uptime, so that the counters since the start describe it exactly. */
  readonly coversUptime: boolean;
}

/** Buckets of the last minute. */
const RATE_BUCKETS = 6;

/** @param startedAtMs start of the oldest process */
function windowAt(nowMs: number, startedAtMs: number): TrafficWindow {
  const last = bucketIndexAt(nowMs) - 1;
  return { first: last - MAX_BUCKETS + 1, last, coversUptime: nowMs - startedAtMs < MAX_BUCKETS * BUCKET_MS };
}

function trafficOf(route: RouteSnapshot | undefined, window: TrafficWindow): Traffic {
  const buckets = route?.buckets ?? [];
  const latency = window.coversUptime ? (route?.counts?.latency.buckets ?? []) : latencyOf(buckets);
  const recent = buckets.filter(({ index }) => index > window.last - RATE_BUCKETS);
  return {
    perSecond: recent.reduce((sum, bucket) => sum + requestsIn(bucket), 0) / ((RATE_BUCKETS * BUCKET_MS) / 1000),
    p50Ms: latencyAt(latency, 0.5),
    p95Ms: latencyAt(latency, 0.95),
    p99Ms: latencyAt(latency, 0.99),
    window,
    buckets,
  };
}

export function requestsIn({ statuses }: Bucket): number {
  return statuses.reduce((sum, n) => sum + n, 0);
}

function latencyOf(buckets: readonly Bucket[]): readonly number[] {
  return buckets.reduce<readonly number[]>((sum, { latency }) => sumOfCounts(sum, latency), []);
}

/**
 * State of the token of a route. `none`: there is none yet. `expired`: it was not used before it expired. `unused`: the
 * route has `token: none`.
 */
export type TokenState = 'none' | 'fetching' | 'valid' | 'expired' | 'fixed' | 'unused';

/** A route over all processes. */
export interface RouteView {
  readonly config: RouteConfig;
  readonly state: Health;
  readonly diagnostics: readonly Diagnostic[];
  readonly tokenState: TokenState;
  /** Undefined until a process reports it, and for a route without token. */
  readonly credential: CredentialSnapshot | undefined;
  readonly snapshot: RouteSnapshot | undefined;
  readonly traffic: Traffic;
}

/** The state of Wakala at one moment. */
export interface Overview {
  readonly atMs: number;
  readonly config: Config;
  readonly emulated: boolean;
  readonly version: string;
  readonly commit: string;
  readonly processes: readonly ProcessSnapshot[];
  /** In the order of the configuration. */
  readonly routes: readonly RouteView[];
  /** A store that is not connected, if any process has one; undefined without a token store. */
  readonly tokenStore: StoreStatus | undefined;
  /** Diagnostics of Wakala as a whole. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Merges the snapshots of all processes. */
export async function overviewOf(context: AdminContext): Promise<Overview> {
  const processes = await snapshotsOf(context.processes());
  const config = context.config();
  const atMs = context.clock.now();
  const tokenStore = worstStore(processes);
  return {
    atMs,
    config,
    emulated: context.emulated,
    version: context.version,
    commit: context.commit,
    processes,
    routes: routeViews(config.routes, processes, atMs),
    tokenStore,
    diagnostics: [reloadHealth(context.reloads()), storeHealth(tokenStore)].filter(
      (diagnostic) => diagnostic !== undefined,
    ),
  };
}

function worstStore(processes: readonly ProcessSnapshot[]): StoreStatus | undefined {
  const stores = processes.flatMap(({ tokenStore }) => tokenStore ?? []);
  return stores.find(({ connected }) => !connected) ?? stores[0];
}

/** @param nowMs epoch milliseconds */
function routeViews(
  routes: readonly RouteConfig[],
  processes: readonly ProcessSnapshot[],
  nowMs: number,
): readonly RouteView[] {
  const snapshots = groupByName(processes.flatMap((process) => process.routes));
  const credentials = groupByName(processes.flatMap((process) => process.credentials));
  const merged = new Map([...credentials].map(([name, all]) => [name, mergedCredential(all)]));
  const window = windowAt(nowMs, Math.min(...processes.map(({ startedAtMs }) => startedAtMs)));
  return routes.map((config) => {
    const all = snapshots.get(config.name);
    const snapshot = all && mergedRoute(all);
    const credential = merged.get(snapshot?.credential ?? '');
    const health = routeHealth({ route: config, credential, failure: snapshot?.failure, nowMs });
    const hasToken = snapshot === undefined || snapshot.credential !== undefined;
    const tokenState = hasToken ? tokenStateOf(credential, nowMs) : 'unused';
    return { config, ...health, tokenState, credential, snapshot, traffic: trafficOf(snapshot, window) };
  });
}

function tokenStateOf(credential: CredentialSnapshot | undefined, nowMs: number): TokenState {
  if (credential?.fixed === true) return 'fixed';
  if (credential?.token !== undefined && credential.token.expiresAtMs > nowMs) return 'valid';
  if (credential?.isFetching === true) return 'fetching';
  return credential?.token === undefined ? 'none' : 'expired';
}

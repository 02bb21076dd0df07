import type { Config, RouteConfig } from '../config/config.ts';
import { latencyAt } from '../telemetry/latency.ts';
import { sumOfCounts } from '../telemetry/metrics.ts';
import { type Bucket, BUCKET_MS, bucketAt, BUCKETS } from '../telemetry/route-stats.ts';
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

/** What every process that serves has to tell; one that gives no answer is left out. */
export async function snapshotsOf(processes: readonly ServingProcess[]): Promise<ProcessSnapshot[]> {
  const answers = await Promise.allSettled(processes.map((serving) => serving.snapshot()));
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
}

/** The last quarter of an hour of a route. */
export interface Traffic {
  /** Over the last whole minute. */
  readonly perSecond: number;
  /** In the window, or since the start where that is shorter. Milliseconds; undefined if there was no request. */
  readonly p50Ms: number | undefined;
  readonly p95Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly steps: Steps;
  /** Those steps in which anything happened, oldest first. */
  readonly points: readonly Bucket[];
}

/** The steps of the window: `first` up to and including `last`, the last one that is whole. */
export interface Steps {
  readonly first: number;
  readonly last: number;
  /** Whether counts since the start hold nothing older than the window. */
  readonly isWhole: boolean;
}

const STEPS_OF_RATE = 6;

/** @param startedAtMs of the process that runs the longest */
function stepsUntil(nowMs: number, startedAtMs: number): Steps {
  const last = bucketAt(nowMs) - 1;
  return { first: last - BUCKETS + 1, last, isWhole: nowMs - startedAtMs < BUCKETS * BUCKET_MS };
}

function trafficOf(route: RouteSnapshot | undefined, steps: Steps): Traffic {
  const points = route?.buckets ?? [];
  const latency = steps.isWhole ? (route?.counts?.latency.buckets ?? []) : latencyOf(points);
  const recent = points.filter(({ step }) => step > steps.last - STEPS_OF_RATE);
  return {
    perSecond: recent.reduce((sum, point) => sum + requestsIn(point), 0) / ((STEPS_OF_RATE * BUCKET_MS) / 1000),
    p50Ms: latencyAt(latency, 0.5),
    p95Ms: latencyAt(latency, 0.95),
    p99Ms: latencyAt(latency, 0.99),
    steps,
    points,
  };
}

export function requestsIn({ statuses }: Bucket): number {
  return statuses.reduce((sum, n) => sum + n, 0);
}

function latencyOf(points: readonly Bucket[]): readonly number[] {
  return points.reduce<readonly number[]>((sum, { latency }) => sumOfCounts(sum, latency), []);
}

/** Where a credential's token stands: `lapsed` is one that ran out while nobody used it. */
type TokenState = 'none' | 'asking' | 'valid' | 'lapsed' | 'fixed';

/** One route over all processes. */
export interface RouteView {
  readonly config: RouteConfig;
  readonly state: Health;
  readonly diagnostics: readonly Diagnostic[];
  readonly tokenState: TokenState;
  /** Undefined until a process told of it. */
  readonly credential: CredentialSnapshot | undefined;
  readonly live: RouteSnapshot | undefined;
  readonly traffic: Traffic;
}

/** All that is known at one moment. */
export interface Overview {
  readonly atMs: number;
  readonly config: Config;
  readonly emulated: boolean;
  readonly version: string;
  readonly commit: string;
  readonly processes: readonly ProcessSnapshot[];
  /** In the order of the configuration. */
  readonly routes: readonly RouteView[];
  /** Of the process that is worst off; undefined where there is no store. */
  readonly tokenStore: StoreStatus | undefined;
  /** Of wakala as a whole. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Asks every process and puts together what they tell. */
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
  const live = groupByName(processes.flatMap((told) => told.routes));
  const credentials = groupByName(processes.flatMap((told) => told.credentials));
  const merged = new Map([...credentials].map(([name, all]) => [name, mergedCredential(all)]));
  const steps = stepsUntil(nowMs, Math.min(...processes.map(({ startedAtMs }) => startedAtMs)));
  return routes.map((config) => {
    const told = live.get(config.name);
    const route = told && mergedRoute(told);
    const credential = merged.get(route?.credential ?? '');
    const health = routeHealth({ route: config, credential, failure: route?.failure, nowMs });
    const tokenState = tokenStateOf(credential, nowMs);
    return { config, ...health, tokenState, credential, live: route, traffic: trafficOf(route, steps) };
  });
}

function tokenStateOf(credential: CredentialSnapshot | undefined, nowMs: number): TokenState {
  if (credential?.fixed === true) return 'fixed';
  if (credential?.token !== undefined && credential.token.expiresAtMs > nowMs) return 'valid';
  if (credential?.isFetching === true) return 'asking';
  return credential?.token === undefined ? 'none' : 'lapsed';
}

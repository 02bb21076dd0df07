import type { Config, RouteConfig } from '../config/config.ts';
import { type Diagnostic, type Health, reloadHealth, routeHealth, storeHealth } from './route-health.ts';
import { type Bucket, BUCKET_MS, bucketAt, BUCKETS, latencyAt } from '../telemetry/route-stats.ts';
import type { RefusedCall } from '../tokens/exchange-stats.ts';
import type { StoreStatus } from '../tokens/store/store.ts';
import type { AdminContext } from './context.ts';
import type {
  CredentialSnapshot,
  ProcessSnapshot,
  RouteCounts,
  RouteSnapshot,
  ServingProcess,
  TokenSnapshot,
} from '../telemetry/snapshot.ts';

/** What every process that serves has to tell; one that gives no answer is left out. */
export async function snapshotsOf(processes: readonly ServingProcess[]): Promise<ProcessSnapshot[]> {
  const answers = await Promise.allSettled(processes.map((serving) => serving.snapshot()));
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
}

type Exchanges = CredentialSnapshot['exchanges'];

/** One credential as all processes know it; at least one does. */
export function mergedCredential(all: readonly CredentialSnapshot[]): CredentialSnapshot {
  const [first, ...others] = all;
  if (first === undefined) throw new Error('no process knows this credential');
  return others.reduce(
    (one, other) => ({
      ...one,
      token: newestToken(one.token, other.token),
      isFetching: one.isFetching || other.isFetching,
      retryAtMs: Math.max(one.retryAtMs, other.retryAtMs),
      failure: latest(one.failure, other.failure),
      exchanges: sumOfExchanges(one.exchanges, other.exchanges),
      clockSkewMs: other.clockSkewMs ?? one.clockSkewMs,
      refusedCalls: unionOfCalls(one.refusedCalls, other.refusedCalls),
      refusedCallCount: Math.max(one.refusedCallCount, other.refusedCallCount),
    }),
    first,
  );
}

/** One route as all processes know it; at least one does. */
export function mergedRoute(all: readonly RouteSnapshot[]): RouteSnapshot {
  const [first, ...others] = all;
  if (first === undefined) throw new Error('no process knows this route');
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

/** The highest number among those that all share; else the one issued last. */
function newestToken(one: TokenSnapshot | undefined, other: TokenSnapshot | undefined): TokenSnapshot | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  if (one.generation !== other.generation) return one.generation > other.generation ? one : other;
  return one.issuedAtMs >= other.issuedAtMs ? one : other;
}

function latest<T extends { readonly atMs: number }>(one: T | undefined, other: T | undefined): T | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.atMs >= other.atMs ? one : other;
}

function unionOfCalls(one: readonly RefusedCall[], other: readonly RefusedCall[]): readonly RefusedCall[] {
  const latest = new Map<string, RefusedCall>();
  for (const refused of [...one, ...other]) {
    const key = JSON.stringify([refused.client, refused.call]);
    if (refused.untilMs > (latest.get(key)?.untilMs ?? 0)) latest.set(key, refused);
  }
  return [...latest.values()];
}

export function sumOfExchanges(one: Exchanges, other: Exchanges): Exchanges {
  return { credentials: sums(one.credentials, other.credentials), refresh: sums(one.refresh, other.refresh) };
}

export function sumOfCounts(one: RouteCounts, other: RouteCounts): RouteCounts {
  return {
    statuses: sumsOf(one.statuses, other.statuses),
    latency: sumsOf(one.latency, other.latency),
    latencySumMs: one.latencySumMs + other.latencySumMs,
    uses: sums(one.uses, other.uses),
    refusals: one.refusals + other.refusals,
    replays: sums(one.replays, other.replays),
    errors: sums(one.errors, other.errors),
  };
}

/** By step, oldest first. */
function mergedBuckets(one: readonly Bucket[], other: readonly Bucket[]): readonly Bucket[] {
  const points = new Map(one.map((point) => [point.step, point]));
  for (const point of other) {
    const known = points.get(point.step);
    points.set(point.step, known === undefined ? point : mergedBucket(known, point));
  }
  return [...points.values()].sort((a, b) => a.step - b.step);
}

function mergedBucket(one: Bucket, other: Bucket): Bucket {
  return {
    step: one.step,
    statuses: sumsOf(one.statuses, other.statuses),
    latency: sumsOf(one.latency, other.latency),
    refusals: one.refusals + other.refusals,
    exchanges: one.exchanges + other.exchanges,
  };
}

/** Element by element. */
function sumsOf(one: readonly number[], other: readonly number[]): number[] {
  const [long, short] = one.length >= other.length ? [one, other] : [other, one];
  return long.map((n, i) => n + (short[i] ?? 0));
}

/** Name by name. */
export function sums<Name extends string>(
  one: Readonly<Record<Name, number>>,
  other: Readonly<Record<Name, number>>,
): Record<Name, number> {
  const all: Record<string, number> = { ...one };
  for (const [name, n] of Object.entries<number>(other)) all[name] = (all[name] ?? 0) + n;
  return all;
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
  const latency = steps.isWhole ? (route?.counts?.latency ?? []) : latencyOf(points);
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

function latencyOf(points: readonly Bucket[]): number[] {
  return points.reduce<number[]>((sum, { latency }) => sumsOf(sum, latency), []);
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
  const live = grouped(processes.flatMap((told) => told.routes));
  const credentials = grouped(processes.flatMap((told) => told.credentials));
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

function grouped<T extends { readonly name: string }>(all: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) {
    const group = groups.get(each.name);
    if (group === undefined) groups.set(each.name, [each]);
    else group.push(each);
  }
  return groups;
}

function tokenStateOf(credential: CredentialSnapshot | undefined, nowMs: number): TokenState {
  if (credential?.fixed === true) return 'fixed';
  if (credential?.token !== undefined && credential.token.expiresAtMs > nowMs) return 'valid';
  if (credential?.isFetching === true) return 'asking';
  return credential?.token === undefined ? 'none' : 'lapsed';
}

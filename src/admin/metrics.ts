import { Counter, Gauge, type Metric, Registry } from 'prom-client';
import type { RouteConfig } from '../config/config.ts';
import { LATENCY_BOUNDS_MS } from '../telemetry/route-stats.ts';
import type { ExchangeStats } from '../tokens/exchange-stats.ts';
import type { AdminContext } from './context.ts';
import type { CredentialSnapshot, ProcessSnapshot, RouteCounts, TokenSnapshot } from '../telemetry/snapshot.ts';
import { sumOfCounts, sumOfExchanges, sums } from './view.ts';

/** Metrics that are made for one scrape: whoever counts knows nothing of Prometheus. */
class Exposition {
  readonly #registry = new Registry();

  /** Empty, or 0 if it has no labels; `name` ends in `_total`. */
  counter<T extends string>(name: string, help: string, labelNames: readonly T[] = []): Counter<T> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  /** Empty, or 0 if it has no labels. */
  gauge<T extends string>(name: string, help: string, labelNames: readonly T[] = []): Gauge<T> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  histogram(histogram: CountedHistogram): void {
    // All that the registry asks of a metric is its name and what `get` gives.
    this.#registry.registerMetric(histogram as unknown as Metric);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A histogram of what was counted already: prom-client's own takes one observation after the other. */
class CountedHistogram {
  readonly name: string;
  readonly help: string;
  readonly #samples: Sample[] = [];

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  /** `upTo`: how many were at most as large as each bound, in the unit of the metric. */
  add(labels: Sample['labels'], upTo: ReadonlyMap<number, number>, count: number, sum: number): void {
    const { name } = this;
    const bucket = (le: string | number, value: number) =>
      this.#samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value });
    for (const [bound, value] of upTo) bucket(bound, value);
    bucket('+Inf', count);
    this.#samples.push({ metricName: `${name}_sum`, labels, value: sum });
    this.#samples.push({ metricName: `${name}_count`, labels, value: count });
  }

  async get() {
    return { name: this.name, help: this.help, type: 'histogram', values: this.#samples };
  }
}

type Exchanges = ExchangeStats['counts'];

/** What one or several processes have counted: none of it ever falls. */
interface Totals {
  /** By the name of the route; those that had requests. */
  readonly routes: ReadonlyMap<string, RouteCounts>;
  /** By the name of the credential. */
  readonly exchanges: ReadonlyMap<string, Exchanges>;
  /** Requests that no route took, by the code of what they got. */
  readonly unrouted: Readonly<Record<string, number>>;
  readonly recordsDropped: number;
  readonly cpuSeconds: number;
}

const NOTHING: Totals = {
  routes: new Map(),
  exchanges: new Map(),
  unrouted: {},
  recordsDropped: 0,
  cpuSeconds: 0,
};

function totalsOf({ routes, credentials, unrouted, recordsDropped, cpuSeconds }: ProcessSnapshot): Totals {
  return {
    routes: new Map(routes.flatMap(({ name, counts }) => (counts === undefined ? [] : [[name, counts] as const]))),
    exchanges: new Map(credentials.map(({ name, exchanges }) => [name, exchanges])),
    unrouted,
    recordsDropped,
    cpuSeconds,
  };
}

function sumOf(one: Totals, other: Totals): Totals {
  return {
    routes: sumOfMaps(one.routes, other.routes, sumOfCounts),
    exchanges: sumOfMaps(one.exchanges, other.exchanges, sumOfExchanges),
    unrouted: sums(one.unrouted, other.unrouted),
    recordsDropped: one.recordsDropped + other.recordsDropped,
    cpuSeconds: one.cpuSeconds + other.cpuSeconds,
  };
}

function sumOfMaps<T>(
  one: ReadonlyMap<string, T>,
  other: ReadonlyMap<string, T>,
  sum: (a: T, b: T) => T,
): ReadonlyMap<string, T> {
  const all = new Map(one);
  for (const [name, value] of other) {
    const known = all.get(name);
    all.set(name, known === undefined ? value : sum(known, value));
  }
  return all;
}

interface Entry {
  readonly startedAtMs: number;
  readonly totals: Totals;
}

/**
 * Adds up what the processes have counted, so that the sum never falls: of a process that did not answer or is gone, it
 * takes what that said last. Prometheus would take a sum that falls for a counter that began anew, and what is left of
 * it for that many new requests.
 */
class CounterAccumulator {
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

/** Which wakala this is, and whether it serves what lies on the disk. */
function configMetrics(exposition: Exposition, { version, commit, reloads }: AdminContext): void {
  const build = 'The version of wakala that runs, and the commit it was built from. Always 1.';
  exposition.gauge('wakala_build_info', build, ['version', 'commit']).set({ version, commit }, 1);
  const { taken, refused, failure } = reloads();
  const help = 'Changed configurations, by whether they were taken over or refused.';
  const total = exposition.counter('wakala_config_reloads_total', help, ['outcome']);
  total.inc({ outcome: 'taken' }, taken);
  total.inc({ outcome: 'refused' }, refused);
  const stale = '1 if the configuration on the disk was refused, so that the one before it still serves; else 0.';
  exposition.gauge('wakala_config_stale', stale).set(failure === undefined ? 0 : 1);
}

function connectionMetrics(exposition: Exposition, snapshots: readonly ProcessSnapshot[]): void {
  const sum = (of: (snapshot: ProcessSnapshot) => number) => snapshots.reduce((total, one) => total + of(one), 0);
  exposition.gauge('wakala_client_connections', 'Open connections of clients.').set(sum((one) => one.connections));
  exposition.gauge('wakala_websockets', 'Open WebSockets.').set(sum((one) => one.websockets));
  upstreamMetrics(exposition, snapshots);
  const stores = snapshots.flatMap(({ tokenStore }) => tokenStore ?? []);
  if (stores.length === 0) return;
  const help = '1 if every process is connected to the token store, else 0. Absent where there is no store.';
  const connected = stores.every((store) => store.connected);
  exposition.gauge('wakala_token_store_connected', help).set(connected ? 1 : 0);
}

function upstreamMetrics(exposition: Exposition, snapshots: readonly ProcessSnapshot[]): void {
  const connections = exposition.gauge(
    'wakala_upstream_connections',
    'Connections to the provider: busy with a request, or idle and ready for one.',
    ['upstream', 'state'],
  );
  const waiting = exposition.gauge(
    'wakala_upstream_requests_waiting',
    'Requests that wait for a connection to the provider.',
    ['upstream'],
  );
  for (const upstream of snapshots.flatMap(({ upstreams }) => upstreams)) {
    const { origin } = upstream;
    connections.inc({ upstream: origin, state: 'busy' }, upstream.busy);
    connections.inc({ upstream: origin, state: 'idle' }, upstream.idle);
    waiting.inc({ upstream: origin }, upstream.waiting);
  }
}

/** Of the processes that serve. A primary, which only looks after them, is not among them. */
function processMetrics(
  exposition: Exposition,
  snapshots: readonly ProcessSnapshot[],
  { recordsDropped, cpuSeconds }: Totals,
): void {
  exposition
    .gauge('wakala_workers', 'Processes that serve and answered this scrape; 1 without workers.')
    .set(snapshots.length);
  exposition
    .counter(
      'wakala_recorder_dropped_total',
      'Requests that are not in the list of the last requests: newer ones pushed them out, or so many went well at once.',
    )
    .inc(recordsDropped);
  exposition
    .gauge('process_resident_memory_bytes', 'Memory that the serving processes hold, in bytes.')
    .set(snapshots.reduce((total, { rssBytes }) => total + rssBytes, 0));
  exposition
    .counter('process_cpu_seconds_total', 'Seconds of CPU time that the serving processes have used.')
    .inc(cpuSeconds);
  if (snapshots.length === 0) return;
  exposition
    .gauge('process_start_time_seconds', 'When the first of the serving processes started, in Unix time.')
    .set(Math.min(...snapshots.map(({ startedAtMs }) => startedAtMs)) / 1000);
}

/** Seconds. Each is one of the bounds that durations are counted by, so nothing is guessed. */
const DURATION_BOUNDS: readonly number[] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];

/** By the index in `RouteCounts.statuses`. */
const STATUSES = ['left', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

/** What the routes of the configuration are and did. A route that had no request yet has nothing but its `info`. */
function routeMetrics(
  exposition: Exposition,
  routes: readonly RouteConfig[],
  snapshots: readonly ProcessSnapshot[],
  totals: Totals,
): void {
  routeInfo(exposition, routes, snapshots);
  inFlight(exposition, snapshots);
  const failures = errors(exposition);
  const record = [answers(exposition), durations(exposition), failures, tokens(exposition)];
  for (const { name } of routes) {
    const counts = totals.routes.get(name);
    if (counts !== undefined) for (const add of record) add(name, counts);
  }
  failures('', { errors: totals.unrouted });
}

type Add = (route: string, counts: RouteCounts) => void;

function routeInfo(
  exposition: Exposition,
  routes: readonly RouteConfig[],
  snapshots: readonly ProcessSnapshot[],
): void {
  const labels = ['route', 'provider', 'environment', 'upstream_host', 'credential'] as const;
  const help = 'A route of the configuration: where it leads, and the credential whose token it uses. Always 1.';
  const info = exposition.gauge('wakala_route_info', help, labels);
  const credentials = new Map(snapshots[0]?.routes.map(({ name, credential }) => [name, credential]));
  for (const { name, provider, environment, upstream } of routes) {
    const credential = credentials.get(name) ?? '';
    const { host } = new URL(upstream);
    info.set({ route: name, provider: provider.name, environment, upstream_host: host, credential }, 1);
  }
}

function inFlight(exposition: Exposition, snapshots: readonly ProcessSnapshot[]): void {
  const help = 'Requests that wait for an answer now.';
  const gauge = exposition.gauge('wakala_requests_in_flight', help, ['route']);
  for (const { routes } of snapshots) {
    for (const { name, inFlight: count, counts } of routes) {
      if (count > 0 || counts !== undefined) gauge.inc({ route: name }, count);
    }
  }
}

function answers(exposition: Exposition): Add {
  const help = 'Requests by the status that the client got; left: the client had gone before there was one.';
  const requests = exposition.counter('wakala_requests_total', help, ['route', 'status']);
  return (route, { statuses }) => {
    for (const [i, status] of STATUSES.entries()) requests.inc({ route, status }, statuses[i] ?? 0);
  };
}

function durations(exposition: Exposition): Add {
  const help = 'Seconds from the head of a request to the end of its answer, or until the client left.';
  const histogram = new CountedHistogram('wakala_request_duration_seconds', help);
  exposition.histogram(histogram);
  return (route, { latency, latencySumMs }) => {
    const { upTo, count } = cumulated(latency);
    histogram.add({ route }, upTo, count, latencySumMs / 1000);
  };
}

function cumulated(latency: readonly number[]): { upTo: ReadonlyMap<number, number>; count: number } {
  const upTo = new Map<number, number>();
  let count = 0;
  for (const [i, inBucket] of latency.entries()) {
    count += inBucket;
    const bound = (LATENCY_BOUNDS_MS[i] ?? Infinity) / 1000;
    if (DURATION_BOUNDS.includes(bound)) upTo.set(bound, count);
  }
  return { upTo, count };
}

function errors(exposition: Exposition): (route: string, counts: Pick<RouteCounts, 'errors'>) => void {
  const help =
    'Requests that wakala refused or failed, or whose answer broke off, by the code of the error; no route took those without one.';
  const counter = exposition.counter('wakala_errors_total', help, ['route', 'code']);
  return (route, counts) => {
    for (const [code, count] of Object.entries(counts.errors)) counter.inc({ route, code }, count);
  };
}

function tokens(exposition: Exposition): Add {
  const uses = exposition.counter(
    'wakala_token_uses_total',
    'Requests that had a token, by where it came from, in the words of the wakala-token header.',
    ['route', 'use'],
  );
  const refusals = exposition.counter(
    'wakala_token_refusals_total',
    'How often the provider called the token dead, second attempts included.',
    ['route'],
  );
  const replays = exposition.counter(
    'wakala_replays_total',
    'Requests that were sent a second time with a new token, by what came of it: answered, refused again, or failed.',
    ['route', 'outcome'],
  );
  return (route, counts) => {
    for (const [use, count] of Object.entries(counts.uses)) uses.inc({ route, use }, count);
    refusals.inc({ route }, counts.refusals);
    for (const [outcome, count] of Object.entries(counts.replays)) replays.inc({ route, outcome }, count);
  };
}

const LABELS = ['credential', 'provider'] as const;

/** How the credentials' tokens are doing, and what their token endpoints were asked. */
function tokenMetrics(
  exposition: Exposition,
  snapshots: readonly ProcessSnapshot[],
  totals: Totals,
  nowMs: number,
): void {
  const exchanges = exposition.counter(
    'wakala_token_exchanges_total',
    'Requests to the token endpoint by what came of them: ok, denied (it refused the credentials), unavailable.',
    [...LABELS, 'grant', 'outcome'],
  );
  const state = stateMetrics(exposition, nowMs);
  for (const [credential, one] of byName(snapshots)) {
    const { provider, fixed } = one[0];
    state({ credential, provider }, one);
    for (const [grant, outcomes] of Object.entries(totals.exchanges.get(credential) ?? {})) {
      // Most providers give no refresh token, and no one asks for a fixed key.
      const isUnused = Object.values(outcomes).every((count) => count === 0);
      if (isUnused && (fixed || grant === 'refresh')) continue;
      for (const [outcome, count] of Object.entries(outcomes)) {
        exchanges.inc({ credential, provider, grant, outcome }, count);
      }
    }
  }
}

type OfOne = readonly [CredentialSnapshot, ...CredentialSnapshot[]];

/** What each process says of one credential. */
function byName(snapshots: readonly ProcessSnapshot[]): ReadonlyMap<string, OfOne> {
  const all = new Map<string, [CredentialSnapshot, ...CredentialSnapshot[]]>();
  for (const credential of snapshots.flatMap(({ credentials }) => credentials)) {
    const known = all.get(credential.name);
    if (known === undefined) all.set(credential.name, [credential]);
    else known.push(credential);
  }
  return all;
}

/** Processes share one token: of that, the newest that any of them has is told. */
function stateMetrics(exposition: Exposition, nowMs: number) {
  const expiry = exposition.gauge(
    'wakala_token_expiry_timestamp_seconds',
    'When the newest token expires, in Unix time. Absent without a token and for a fixed key, which never does.',
    LABELS,
  );
  const valid = exposition.gauge(
    'wakala_token_valid',
    '1 if there is a token that is valid now, else 0. One that nobody uses is left to lapse.',
    LABELS,
  );
  const retry = exposition.gauge(
    'wakala_token_retry_seconds',
    'Seconds until the token endpoint may be asked again after a failure; 0 if it may be now.',
    LABELS,
  );
  const skew = exposition.gauge(
    'wakala_token_clock_skew_seconds',
    "Seconds that the token endpoint's clock is ahead of this machine's; negative if it is behind.",
    LABELS,
  );
  return (labels: { credential: string; provider: string }, one: OfOne) => {
    const token = newestOf(one);
    valid.set(labels, token !== undefined && token.expiresAtMs > nowMs ? 1 : 0);
    if (one[0].fixed) return;
    if (token !== undefined) expiry.set(labels, token.expiresAtMs / 1000);
    retry.set(labels, Math.max(0, ...one.map(({ retryAtMs }) => retryAtMs - nowMs)) / 1000);
    const skewMs = worstSkewOf(one);
    if (skewMs !== undefined) skew.set(labels, skewMs / 1000);
  };
}

function newestOf(one: OfOne): TokenSnapshot | undefined {
  const [newest] = one
    .flatMap(({ token }) => token ?? [])
    .sort((a, b) => b.generation - a.generation || b.issuedAtMs - a.issuedAtMs);
  return newest;
}

/** All processes have one clock, but not all of them have asked. */
function worstSkewOf(one: OfOne): number | undefined {
  const [worst] = one.flatMap(({ clockSkewMs }) => clockSkewMs ?? []).sort((a, b) => Math.abs(b) - Math.abs(a));
  return worst;
}

/** The metrics of all processes together, as Prometheus reads them. */
export class Metrics {
  readonly #context: AdminContext;
  readonly #ledger = new CounterAccumulator();

  constructor(context: AdminContext) {
    this.#context = context;
  }

  async render(
    snapshots: readonly ProcessSnapshot[],
  ): Promise<{ readonly contentType: string; readonly text: string }> {
    const context = this.#context;
    const pids = context.processes().map(({ pid }) => pid);
    const totals = this.#ledger.totals(snapshots, new Set(pids));
    const exposition = new Exposition();
    configMetrics(exposition, context);
    routeMetrics(exposition, context.config().routes, snapshots, totals);
    tokenMetrics(exposition, snapshots, totals, context.clock.now());
    connectionMetrics(exposition, snapshots);
    processMetrics(exposition, snapshots, totals);
    return { contentType: exposition.contentType, text: await exposition.text() };
  }
}

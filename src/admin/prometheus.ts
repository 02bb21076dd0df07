import type { RouteConfig } from '../config/config.ts';
import {
  CREDENTIAL_METRICS,
  type CredentialSource,
  type Metric,
  PROCESS_METRIC_ENTRIES,
  type ProcessMetricKey,
  ROUTE_METRICS,
  type RouteCounts,
  type RouteSource,
  SERVER_METRICS,
  sumOfCounts,
  UPSTREAM_METRICS,
  type UpstreamCounts,
} from '../telemetry/metrics.ts';
import { groupByName, mergedCredential, type ProcessSnapshot } from '../telemetry/snapshot.ts';
import type { ExchangeStats } from '../tokens/exchange-stats.ts';
import type { AdminContext } from './context.ts';

/** https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md#text-based-format */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Writes the metrics of all processes as Prometheus text. */
export class Metrics {
  readonly #context: AdminContext;
  readonly #accumulator = new CounterAccumulator();

  constructor(context: AdminContext) {
    this.#context = context;
  }

  /** `snapshots`: those of the processes that responded. */
  render(snapshots: readonly ProcessSnapshot[]): { readonly contentType: string; readonly text: string } {
    const { version, commit, reloads, clock, config, processes } = this.#context;
    const pids = new Set(processes().map(({ pid }) => pid));
    const totals = this.#accumulator.totals(snapshots, pids);
    const stores = snapshots.flatMap(({ tokenStore }) => tokenStore ?? []);
    const server = {
      version,
      commit,
      reloads: reloads(),
      workers: snapshots.length,
      isTokenStoreConnected: stores.length === 0 ? undefined : stores.every(({ connected }) => connected),
      processes: mergedProcesses(snapshots, totals),
    };
    const text = [
      ...families(SERVER_METRICS, [[{}, server]]),
      ...families(ROUTE_METRICS, routeSources(config().routes, snapshots, totals)),
      ...families(CREDENTIAL_METRICS, credentialSources(snapshots, totals, clock.now())),
      ...families(UPSTREAM_METRICS, upstreamSources(snapshots)),
    ].join('\n');
    return { contentType: CONTENT_TYPE, text: `${text}\n` };
  }
}

type Labels = Readonly<Record<string, string>>;

/** What samples are read from, with the labels that all of them have. */
type Labelled<Source> = readonly [Labels, Source];

/** The text of each metric that has a sample. */
function families<Source>(metrics: readonly Metric<Source>[], sources: readonly Labelled<Source>[]): string[] {
  return metrics.flatMap(({ name, help, type, samples }) => {
    const lines = sources.flatMap(([common, source]) =>
      samples(source).map(
        ({ suffix = '', labels, value }) =>
          `${name}${suffix}${labelText({ ...common, ...labels })} ${numberText(value)}`,
      ),
    );
    return lines.length === 0 ? [] : [`# HELP ${name} ${escaped(help)}`, `# TYPE ${name} ${type}`, ...lines];
  });
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function numberText(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}

/** Routes of the configuration, and the requests that match none. */
function routeSources(
  routes: readonly RouteConfig[],
  snapshots: readonly ProcessSnapshot[],
  totals: Totals,
): Labelled<RouteSource>[] {
  const inFlight = new Map<string, number>();
  for (const { name, inFlight: requests, counts } of snapshots.flatMap((snapshot) => snapshot.routes)) {
    if (requests > 0 || counts !== undefined) inFlight.set(name, (inFlight.get(name) ?? 0) + requests);
  }
  const credentials = new Map(snapshots[0]?.routes.map(({ name, credential }) => [name, credential]));
  const configured = routes.map(({ name, provider, environment, upstream }): Labelled<RouteSource> => {
    const credential = credentials.get(name) ?? '';
    const info = { provider: provider.name, environment, upstream_host: new URL(upstream).host, credential };
    return [{ route: name }, { info, inFlight: inFlight.get(name), counts: totals.routes[name] }];
  });
  return [...configured, [{ route: '' }, { counts: { errors: totals.unrouted } }]];
}

function credentialSources(
  snapshots: readonly ProcessSnapshot[],
  totals: Totals,
  nowMs: number,
): Labelled<CredentialSource>[] {
  const groups = groupByName(snapshots.flatMap(({ credentials }) => credentials));
  return [...groups].map(([name, all]) => {
    const credential = mergedCredential(all);
    const exchanges = totals.exchanges[name] ?? credential.exchanges;
    return [
      { credential: name, provider: credential.provider },
      { ...credential, exchanges, nowMs },
    ];
  });
}

function upstreamSources(snapshots: readonly ProcessSnapshot[]): Labelled<UpstreamCounts>[] {
  const origins = new Map<string, UpstreamCounts>();
  for (const { origin, ...counts } of snapshots.flatMap(({ upstreams }) => upstreams)) {
    const known = origins.get(origin);
    origins.set(origin, known === undefined ? counts : sumOfCounts(known, counts));
  }
  return [...origins].map(([upstream, counts]) => [{ upstream }, counts]);
}

function mergedProcesses(
  snapshots: readonly ProcessSnapshot[],
  totals: Totals,
): Record<ProcessMetricKey, number | undefined> {
  const merged = PROCESS_METRIC_ENTRIES.map(([key, { type, merge }]) => {
    if (type === 'counter') return [key, totals.processes[key] ?? 0];
    const values = snapshots.map((snapshot) => snapshot[key]);
    if (merge === 'sum') return [key, values.reduce((sum, value) => sum + value, 0)];
    return [key, values.length === 0 ? undefined : Math.min(...values)];
  });
  return Object.fromEntries(merged) as Record<ProcessMetricKey, number | undefined>;
}

/** Sums of everything that processes have counted. None of it ever falls. */
interface Totals {
  /** By the name of the route; only routes that had requests. */
  readonly routes: Readonly<Record<string, RouteCounts>>;
  /** By the name of the credential. */
  readonly exchanges: Readonly<Record<string, ExchangeStats['counts']>>;
  readonly unrouted: Readonly<Record<string, number>>;
  readonly processes: Partial<Record<ProcessMetricKey, number>>;
}

function totalsOf(snapshot: ProcessSnapshot): Totals {
  const counters = PROCESS_METRIC_ENTRIES.filter(([, { type }]) => type === 'counter');
  return {
    routes: Object.fromEntries(
      snapshot.routes.flatMap(({ name, counts }) => (counts === undefined ? [] : [[name, counts]])),
    ),
    exchanges: Object.fromEntries(snapshot.credentials.map(({ name, exchanges }) => [name, exchanges])),
    unrouted: snapshot.unrouted,
    processes: Object.fromEntries(counters.map(([key]) => [key, snapshot[key]])),
  };
}

interface Entry {
  readonly startedAtMs: number;
  readonly totals: Totals;
}

/**
 * Adds up the counters of all processes so that no sum falls, because Prometheus takes a falling counter for a restart.
 * A process that did not respond, or that exited, counts with its last snapshot.
 */
class CounterAccumulator {
  /** The last snapshot of each process, by pid. */
  readonly #entries = new Map<number, Entry>();
  /** Sum over all processes that exited. */
  #exitedTotals: Totals = { routes: {}, exchanges: {}, unrouted: {}, processes: {} };

  /** `alive`: pids of all running processes, whether they responded or not. */
  totals(snapshots: readonly ProcessSnapshot[], alive: ReadonlySet<number>): Totals {
    const responded = new Map(snapshots.map((snapshot) => [snapshot.pid, snapshot]));
    for (const [pid, { startedAtMs, totals }] of this.#entries) {
      const now = responded.get(pid);
      if (now === undefined ? alive.has(pid) : now.startedAtMs === startedAtMs) continue;
      this.#exitedTotals = sumOfCounts(this.#exitedTotals, totals);
      this.#entries.delete(pid);
    }
    for (const [pid, snapshot] of responded) {
      this.#entries.set(pid, { startedAtMs: snapshot.startedAtMs, totals: totalsOf(snapshot) });
    }
    return [...this.#entries.values()].reduce((sum, { totals }) => sumOfCounts(sum, totals), this.#exitedTotals);
  }
}

/**
 * The metrics of `/metrics`. This file is the only one that names them: the counters, the merging over workers, the
 * Prometheus text, the JSON API and the tables of docs/metrics.md are derived from it. To add a counter, add its
 * descriptor here and the line that counts, then run `npm run docs:metrics`.
 */
import type { ExchangeStats } from '../tokens/exchange-stats.ts';
import { LATENCY_BOUNDS_MS, newLatencyBuckets } from './latency.ts';
import { TOKEN_USES, type TokenUse } from './request-record.ts';

/** A heading of docs/metrics.md. */
type Section = 'Requests' | 'Tokens' | 'Connections' | 'Wakala itself';

interface Description {
  readonly name: string;
  /** One or more sentences without markup, for `# HELP` and docs/metrics.md. */
  readonly help: string;
  readonly section: Section;
}

interface Sample {
  readonly suffix?: '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** @typeParam Source what one set of samples is read from: a route, a credential, an upstream, or Wakala as a whole */
export interface Metric<Source> extends Description {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Names of the labels, in order, without `le`. */
  readonly labels: readonly string[];
  readonly samples: (source: Source) => readonly Sample[];
}

const NO_LABELS = {};
const sampleOf = (value: number): readonly Sample[] => [{ labels: NO_LABELS, value }];

// --- Counters of a route ---------------------------------------------------------------------------------------------

/** Copies of counters: plain data, as it is sent from a worker to the primary. */
export type Counts<T> = T extends number
  ? number
  : T extends Float64Array
    ? readonly number[]
    : { readonly [Key in keyof T]: Counts<T[Key]> };

/** How a counter is kept while it counts, and what is read from a copy of it. */
interface CounterKind<T> {
  readonly type: 'counter' | 'histogram';
  readonly labels: readonly string[];
  readonly zero: () => T;
  readonly samples: (counts: Counts<T>) => readonly Sample[];
}

const plainCounter: CounterKind<number> = { type: 'counter', labels: [], zero: () => 0, samples: sampleOf };

/** A counter for each of `values`, kept in an array in that order. */
function counterArray(label: string, values: readonly string[]): CounterKind<Float64Array> {
  return {
    type: 'counter',
    labels: [label],
    zero: () => new Float64Array(values.length),
    samples: (counts) => values.map((value, i) => ({ labels: { [label]: value }, value: counts[i] ?? 0 })),
  };
}

/** A counter for each value of a label, kept in an object. Values that are not in `values` begin when they are counted. */
function counterMap<Value extends string>(label: string, values: readonly Value[]): CounterKind<Record<Value, number>> {
  return {
    type: 'counter',
    labels: [label],
    zero: () => Object.fromEntries(values.map((value) => [value, 0])) as Record<Value, number>,
    samples: (counts) =>
      Object.entries(counts as Record<string, number>).map(([text, value]) => ({ labels: { [label]: text }, value })),
  };
}

/** Durations in the buckets of `latency.ts`. */
interface LatencyCounters {
  readonly buckets: Float64Array;
  sumMs: number;
}

/** Exported bounds, in seconds. Each is one of `LATENCY_BOUNDS_MS`, so that its count is exact. */
const EXPORTED_BOUNDS: ReadonlySet<number> = new Set([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60]);

const latencyHistogram: CounterKind<LatencyCounters> = {
  type: 'histogram',
  labels: [],
  zero: () => ({ buckets: newLatencyBuckets(), sumMs: 0 }),
  samples: ({ buckets, sumMs }) => {
    const samples: Sample[] = [];
    let count = 0;
    for (const [i, inBucket] of buckets.entries()) {
      count += inBucket;
      const seconds = (LATENCY_BOUNDS_MS[i] ?? Infinity) / 1000;
      if (EXPORTED_BOUNDS.has(seconds))
        samples.push({ suffix: '_bucket', labels: { le: String(seconds) }, value: count });
    }
    return [
      ...samples,
      { suffix: '_bucket', labels: { le: '+Inf' }, value: count },
      { suffix: '_sum', labels: NO_LABELS, value: sumMs / 1000 },
      { suffix: '_count', labels: NO_LABELS, value: count },
    ];
  },
};

interface RouteCounter<T> extends Description, CounterKind<T> {
  /** Its field in `requests` of a route in the JSON API. `statuses` and `latency` have another form there. */
  readonly json?: string;
}

function routeCounter<T>(kind: CounterKind<T>, description: Description & { readonly json?: string }): RouteCounter<T> {
  return { ...kind, ...description };
}

/** What came of a request that was sent again with a new token. */
export type ReplayOutcome = 'answered' | 'refused' | 'failed';

/** Counters of a route. `RouteStats` counts `counters.<key>`; those of all workers are added up. */
const ROUTE_COUNTERS = {
  /** The index is the first digit of the status. */
  statuses: routeCounter(counterArray('status', ['left', '1xx', '2xx', '3xx', '4xx', '5xx']), {
    name: 'wakala_requests_total',
    help: 'Requests by the status of the response, 1xx to 5xx. left: the client disconnected before the response.',
    section: 'Requests',
  }),
  latency: routeCounter(latencyHistogram, {
    name: 'wakala_request_duration_seconds',
    help: 'From the head of the request to the end of its response, or until the client disconnected. For a WebSocket, the handshake.',
    section: 'Requests',
  }),
  uses: routeCounter(counterMap<TokenUse>('use', TOKEN_USES), {
    name: 'wakala_token_uses_total',
    help: 'Requests by the source of their token, as in the wakala-token header: cached, fetched, replayed, not-replayed.',
    section: 'Tokens',
    json: 'by_token',
  }),
  refusals: routeCounter(plainCounter, {
    name: 'wakala_token_refusals_total',
    help: 'Responses in which the provider refused the token, second attempts included.',
    section: 'Tokens',
    json: 'token_refusals',
  }),
  replays: routeCounter(counterMap<ReplayOutcome>('outcome', ['answered', 'refused', 'failed']), {
    name: 'wakala_replays_total',
    help: 'Requests that were sent again with a new token: answered, refused again, or failed.',
    section: 'Tokens',
    json: 'replays',
  }),
  errors: routeCounter(counterMap<string>('code', []), {
    name: 'wakala_errors_total',
    help: 'Requests that Wakala refused or failed, or whose response ended early, by error code. A code appears with its first error. route is empty for requests that match no route.',
    section: 'Requests',
    json: 'errors',
  }),
};

type RouteCounterKey = keyof typeof ROUTE_COUNTERS;

export const ROUTE_COUNTER_ENTRIES = Object.entries(ROUTE_COUNTERS) as readonly (readonly [
  RouteCounterKey,
  RouteCounter<unknown>,
])[];

/** Counters of a route since the process started. */
export type RouteCounters = {
  -readonly [Key in RouteCounterKey]: ReturnType<(typeof ROUTE_COUNTERS)[Key]['zero']>;
};

export type RouteCounts = Counts<RouteCounters>;

export function newRouteCounters(): RouteCounters {
  const counters = ROUTE_COUNTER_ENTRIES.map(([key, { zero }]) => [key, zero()]);
  return Object.fromEntries(counters) as RouteCounters;
}

// --- Everything of a route -------------------------------------------------------------------------------------------

/** A route over all processes. */
export interface RouteSource {
  /** Undefined for requests that match no route. */
  readonly info?: Readonly<Record<'provider' | 'environment' | 'upstream_host' | 'credential', string>>;
  /** Undefined until there was a request. */
  readonly inFlight?: number | undefined;
  readonly counts?: Partial<RouteCounts> | undefined;
}

export const ROUTE_METRICS: readonly Metric<RouteSource>[] = [
  ...ROUTE_COUNTER_ENTRIES.map(([key, { labels, samples, ...counter }]): Metric<RouteSource> => ({
    ...counter,
    labels: ['route', ...labels],
    samples: ({ counts }) => (counts?.[key] === undefined ? [] : samples(counts[key])),
  })),
  {
    name: 'wakala_requests_in_flight',
    type: 'gauge',
    help: 'Requests that wait for a response now. Open WebSockets are in wakala_websockets.',
    labels: ['route'],
    section: 'Requests',
    samples: ({ inFlight }) => (inFlight === undefined ? [] : sampleOf(inFlight)),
  },
  {
    name: 'wakala_route_info',
    type: 'gauge',
    help: 'Always 1. The upstream of a route and the credential whose token it uses, to join with other metrics.',
    labels: ['route', 'provider', 'environment', 'upstream_host', 'credential'],
    section: 'Requests',
    samples: ({ info }) => (info === undefined ? [] : [{ labels: info, value: 1 }]),
  },
];

// --- Credentials -----------------------------------------------------------------------------------------------------

/** A credential over all processes. Times are epoch milliseconds. */
export interface CredentialSource {
  readonly fixed: boolean;
  readonly token: { readonly expiresAtMs: number } | undefined;
  readonly retryAtMs: number;
  readonly clockSkewMs: number | undefined;
  readonly exchanges: ExchangeStats['counts'];
  readonly nowMs: number;
}

const CREDENTIAL_LABELS = ['credential', 'provider'] as const;

export const CREDENTIAL_METRICS: readonly Metric<CredentialSource>[] = [
  {
    name: 'wakala_token_exchanges_total',
    type: 'counter',
    help: 'Token requests by grant, credentials or refresh, and by outcome: ok, denied (the provider refused the credentials), unavailable.',
    labels: [...CREDENTIAL_LABELS, 'grant', 'outcome'],
    section: 'Tokens',
    samples: ({ exchanges, fixed }) =>
      Object.entries(exchanges).flatMap(([grant, outcomes]) => {
        // Most providers have no refresh tokens, and a fixed key is never requested.
        const isUnused = Object.values(outcomes).every((count) => count === 0);
        if (isUnused && (fixed || grant === 'refresh')) return [];
        return Object.entries(outcomes).map(([outcome, value]) => ({ labels: { grant, outcome }, value }));
      }),
  },
  {
    name: 'wakala_token_valid',
    type: 'gauge',
    help: '1 if there is a valid token, else 0. 0 alone is no fault: a token that is not used is not renewed.',
    labels: CREDENTIAL_LABELS,
    section: 'Tokens',
    samples: ({ token, nowMs }) => sampleOf(token !== undefined && token.expiresAtMs > nowMs ? 1 : 0),
  },
  {
    name: 'wakala_token_expiry_timestamp_seconds',
    type: 'gauge',
    help: 'When the token expires, in Unix time. Absent without a token and for a fixed key.',
    labels: CREDENTIAL_LABELS,
    section: 'Tokens',
    samples: ({ token, fixed }) => (fixed || token === undefined ? [] : sampleOf(token.expiresAtMs / 1000)),
  },
  {
    name: 'wakala_token_retry_seconds',
    type: 'gauge',
    help: 'After a failure, the time until the next token request. Otherwise 0.',
    labels: CREDENTIAL_LABELS,
    section: 'Tokens',
    samples: ({ fixed, retryAtMs, nowMs }) => (fixed ? [] : sampleOf(Math.max(0, retryAtMs - nowMs) / 1000)),
  },
  {
    name: 'wakala_token_clock_skew_seconds',
    type: 'gauge',
    help: 'How far the clock of the token endpoint is ahead of this machine, to a second or two. Negative if it is behind. Absent if its responses have no Date.',
    labels: CREDENTIAL_LABELS,
    section: 'Tokens',
    samples: ({ fixed, clockSkewMs }) => (fixed || clockSkewMs === undefined ? [] : sampleOf(clockSkewMs / 1000)),
  },
];

// --- Upstreams -------------------------------------------------------------------------------------------------------

/** Connections to one origin. */
export interface UpstreamCounts {
  readonly busy: number;
  readonly idle: number;
  /** Requests that wait for a connection. */
  readonly waiting: number;
}

export const UPSTREAM_METRICS: readonly Metric<UpstreamCounts>[] = [
  {
    name: 'wakala_upstream_connections',
    type: 'gauge',
    help: 'Connections to the origin of a provider: busy with a request, or idle.',
    labels: ['upstream', 'state'],
    section: 'Connections',
    samples: ({ busy, idle }) => [
      { labels: { state: 'busy' }, value: busy },
      { labels: { state: 'idle' }, value: idle },
    ],
  },
  {
    name: 'wakala_upstream_requests_waiting',
    type: 'gauge',
    help: 'Requests that wait for such a connection.',
    labels: ['upstream'],
    section: 'Connections',
    samples: ({ waiting }) => sampleOf(waiting),
  },
];

// --- Processes -------------------------------------------------------------------------------------------------------

interface ProcessMetric extends Description {
  readonly type: 'counter' | 'gauge';
  /** How the values of several processes become one. A counter is always added up. */
  readonly merge: 'sum' | 'min';
  /** The exported value, if its unit differs from that of the field. */
  readonly convert?: (value: number) => number;
  /** Its field in `processes` of the JSON API. */
  readonly json?: string;
}

/** One number for each process: the field `<key>` of `ProcessSnapshot`. */
const PROCESS_METRICS = {
  rssBytes: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    merge: 'sum',
    help: 'Memory of the serving processes.',
    section: 'Wakala itself',
    json: 'rss_bytes',
  },
  cpuSeconds: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    merge: 'sum',
    help: 'CPU time of the serving processes.',
    section: 'Wakala itself',
    json: 'cpu_seconds',
  },
  connections: {
    name: 'wakala_client_connections',
    type: 'gauge',
    merge: 'sum',
    help: 'Open connections of clients.',
    section: 'Connections',
    json: 'connections',
  },
  websockets: {
    name: 'wakala_websockets',
    type: 'gauge',
    merge: 'sum',
    help: 'Open WebSockets.',
    section: 'Connections',
    json: 'websockets',
  },
  recordsDropped: {
    name: 'wakala_recorder_dropped_total',
    type: 'counter',
    merge: 'sum',
    help: 'Requests that are not in the list of the request inspector: newer ones replaced them, or more than 100 in a second succeeded.',
    section: 'Wakala itself',
    json: 'records_dropped',
  },
  logLinesDropped: {
    name: 'wakala_log_lines_dropped_total',
    type: 'counter',
    merge: 'sum',
    help: 'Log lines that the serving processes could not write: the reader of standard error is gone or too slow, or the disk is full.',
    section: 'Wakala itself',
    json: 'log_lines_dropped',
  },
  startedAtMs: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    merge: 'min',
    convert: (ms: number) => ms / 1000,
    help: 'When the first of the serving processes started, in Unix time.',
    section: 'Wakala itself',
  },
} satisfies Readonly<Record<string, ProcessMetric>>;

export type ProcessMetricKey = keyof typeof PROCESS_METRICS;

export type ProcessValues = { readonly [Key in ProcessMetricKey]: number };

export const PROCESS_METRIC_ENTRIES = Object.entries(PROCESS_METRICS) as readonly (readonly [
  ProcessMetricKey,
  ProcessMetric,
])[];

/** Wakala as a whole. */
interface ServerSource {
  readonly version: string;
  /** Empty if it is not known. */
  readonly commit: string;
  readonly reloads: { readonly taken: number; readonly refused: number; readonly failure: string | undefined };
  /** How many processes responded to this scrape. */
  readonly workers: number;
  /** Undefined without a token store. */
  readonly isTokenStoreConnected: boolean | undefined;
  /** Merged over the processes; without a process, some have no value. */
  readonly processes: { readonly [Key in ProcessMetricKey]: number | undefined };
}

export const SERVER_METRICS: readonly Metric<ServerSource>[] = [
  {
    name: 'wakala_build_info',
    type: 'gauge',
    help: 'Always 1. The version that runs, and the commit it was built from. commit is empty if the build did not know it.',
    labels: ['version', 'commit'],
    section: 'Wakala itself',
    samples: ({ version, commit }) => [{ labels: { version, commit }, value: 1 }],
  },
  {
    name: 'wakala_workers',
    type: 'gauge',
    help: 'Serving processes that responded to this scrape. 1 without workers.',
    labels: [],
    section: 'Wakala itself',
    samples: ({ workers }) => sampleOf(workers),
  },
  {
    name: 'wakala_config_reloads_total',
    type: 'counter',
    help: 'Changed configurations: taken or refused.',
    labels: ['outcome'],
    section: 'Wakala itself',
    samples: ({ reloads: { taken, refused } }) => [
      { labels: { outcome: 'taken' }, value: taken },
      { labels: { outcome: 'refused' }, value: refused },
    ],
  },
  {
    name: 'wakala_config_stale',
    type: 'gauge',
    help: '1 if the configuration on disk was refused and the old one is still in use, else 0.',
    labels: [],
    section: 'Wakala itself',
    samples: ({ reloads }) => sampleOf(reloads.failure === undefined ? 0 : 1),
  },
  {
    name: 'wakala_token_store_connected',
    type: 'gauge',
    help: '1 if every process is connected to the token store, else 0. Absent without a token store.',
    labels: [],
    section: 'Tokens',
    samples: ({ isTokenStoreConnected: connected }) => (connected === undefined ? [] : sampleOf(connected ? 1 : 0)),
  },
  ...PROCESS_METRIC_ENTRIES.map(([key, { convert, ...metric }]): Metric<ServerSource> => ({
    ...metric,
    labels: [],
    samples: ({ processes }) => {
      const value = processes[key];
      return value === undefined ? [] : sampleOf(convert?.(value) ?? value);
    },
  })),
];

// --- Copying and merging ---------------------------------------------------------------------------------------------

type CountTree = number | readonly number[] | { readonly [name: string]: CountTree };

/** Copies counters that go on counting. */
export function copyCounts<T>(counters: T): Counts<T> {
  const copy = (counts: unknown): unknown => {
    if (typeof counts === 'number') return counts;
    if (counts instanceof Float64Array) return [...counts];
    return Object.fromEntries(Object.entries(counts as object).map(([name, value]) => [name, copy(value)]));
  };
  return copy(counters) as Counts<T>;
}

/** Adds counts of the same form: numbers, arrays element by element, objects name by name. */
export function sumOfCounts<T>(one: T, other: T): T {
  const sum = (a: CountTree | undefined, b: CountTree | undefined): CountTree => {
    if (a === undefined || b === undefined) return a ?? b ?? 0;
    if (typeof a === 'number') return a + Number(b);
    if (isList(a) && isList(b)) {
      return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => (a[i] ?? 0) + (b[i] ?? 0));
    }
    const [left, right] = [a, b] as [Record<string, CountTree>, Record<string, CountTree>];
    return Object.fromEntries(Object.keys({ ...left, ...right }).map((name) => [name, sum(left[name], right[name])]));
  };
  return sum(one as CountTree, other as CountTree) as T;
}

function isList(counts: CountTree): counts is readonly number[] {
  return Array.isArray(counts);
}

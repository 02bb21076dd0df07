import type { RouteConfig } from '../../config/config.ts';
import { LATENCY_BOUNDS_MS } from '../../telemetry/latency.ts';
import type { ProcessSnapshot, RouteCounts } from '../snapshot.ts';
import { CountedHistogram, type Exposition } from './exposition.ts';
import type { Totals } from './totals.ts';

/** Seconds. Each is one of the bounds that durations are counted by, so nothing is guessed. */
export const DURATION_BOUNDS: readonly number[] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];

/** By the index in `RouteCounts.statuses`. */
const STATUSES = ['left', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

/** What the routes of the configuration are and did. A route that had no request yet has nothing but its `info`. */
export function routeMetrics(
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

import type { Bucket } from '../telemetry/series.ts';
import type { RefusedCall } from '../tokens/tally.ts';
import type { CredentialSnapshot, RouteCounts, RouteSnapshot, TokenSnapshot } from './snapshot.ts';

type Exchanges = CredentialSnapshot['exchanges'];

/** One credential as all processes know it; at least one does. */
export function mergedCredential(all: readonly CredentialSnapshot[]): CredentialSnapshot {
  const [first, ...others] = all;
  if (first === undefined) throw new Error('no process knows this credential');
  return others.reduce(
    (one, other) => ({
      ...one,
      token: newestToken(one.token, other.token),
      asking: one.asking || other.asking,
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
      points: mergedPoints(one.points, other.points),
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
function mergedPoints(one: readonly Bucket[], other: readonly Bucket[]): readonly Bucket[] {
  const points = new Map(one.map((point) => [point.step, point]));
  for (const point of other) {
    const known = points.get(point.step);
    points.set(point.step, known === undefined ? point : mergedPoint(known, point));
  }
  return [...points.values()].sort((a, b) => a.step - b.step);
}

function mergedPoint(one: Bucket, other: Bucket): Bucket {
  return {
    step: one.step,
    statuses: sumsOf(one.statuses, other.statuses),
    latency: sumsOf(one.latency, other.latency),
    refusals: one.refusals + other.refusals,
    exchanges: one.exchanges + other.exchanges,
  };
}

/** Element by element. */
export function sumsOf(one: readonly number[], other: readonly number[]): number[] {
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

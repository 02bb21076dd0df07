import type { ExchangeStats } from '../../tokens/tally.ts';
import { sumOfCounts, sumOfExchanges, sums } from '../merge.ts';
import type { ProcessSnapshot, RouteCounts } from '../snapshot.ts';

type Exchanges = ExchangeStats['counts'];

/** What one or several processes have counted: none of it ever falls. */
export interface Totals {
  /** By the name of the route; those that had requests. */
  readonly routes: ReadonlyMap<string, RouteCounts>;
  /** By the name of the credential. */
  readonly exchanges: ReadonlyMap<string, Exchanges>;
  /** Requests that no route took, by the code of what they got. */
  readonly unrouted: Readonly<Record<string, number>>;
  readonly recordsDropped: number;
  readonly cpuSeconds: number;
}

export const NOTHING: Totals = {
  routes: new Map(),
  exchanges: new Map(),
  unrouted: {},
  recordsDropped: 0,
  cpuSeconds: 0,
};

export function totalsOf({ routes, credentials, unrouted, recordsDropped, cpuSeconds }: ProcessSnapshot): Totals {
  return {
    routes: new Map(routes.flatMap(({ name, counts }) => (counts === undefined ? [] : [[name, counts] as const]))),
    exchanges: new Map(credentials.map(({ name, exchanges }) => [name, exchanges])),
    unrouted,
    recordsDropped,
    cpuSeconds,
  };
}

export function sumOf(one: Totals, other: Totals): Totals {
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

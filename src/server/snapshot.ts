import {
  type CredentialSnapshot,
  MOST_REFUSED_CALLS,
  type ProcessSnapshot,
  type RouteCounts,
  type RouteSnapshot,
  type TokenSnapshot,
} from '../admin/snapshot.ts';
import { isFixed } from '../providers/provider.ts';
import type { Route } from '../proxy/live-route.ts';
import type { Counts } from '../telemetry/activity.ts';
import { maskedCall } from '../telemetry/mask.ts';
import type { Token, TokenSource } from '../tokens/token.ts';

/** What the routes of a process have to tell. `step`: the current one. */
export function routesSnapshot(
  routes: readonly Route[],
  step: number,
): Pick<ProcessSnapshot, 'credentials' | 'routes'> {
  const names = new Map<TokenSource, string>();
  for (const { tokens, config } of routes) if (!names.has(tokens)) names.set(tokens, config.name);
  const named = routes.filter(({ tokens, config }) => names.get(tokens) === config.name);
  return {
    credentials: named.map(credentialSnapshot),
    routes: routes.map((route) => routeSnapshot(route, names.get(route.tokens) ?? '', step)),
  };
}

function credentialSnapshot({ config, tokens }: Route): CredentialSnapshot {
  const { token, tally, refusedCalls, ...status } = tokens.status();
  return {
    name: config.name,
    provider: config.provider.name,
    fixed: isFixed(config.provider.token),
    token: token && tokenSnapshot(token),
    exchanges: tally.counts,
    clockSkewMs: tally.clockSkewMs,
    refusedCalls: refusedCalls
      .slice(0, MOST_REFUSED_CALLS)
      .map((refused) => ({ ...refused, call: maskedCall(refused.call) })),
    refusedCallCount: refusedCalls.length,
    ...status,
  };
}

function tokenSnapshot(token: Token): TokenSnapshot {
  const { fingerprint, issuedAtMs, expiresAtMs, refreshAtMs, lifetimeSource, generation } = token;
  return { fingerprint, issuedAtMs, expiresAtMs, refreshAtMs, lifetimeSource, generation };
}

function routeSnapshot({ config, activity }: Route, credential: string, step: number): RouteSnapshot {
  const { inFlight, counts, failure } = activity;
  return {
    name: config.name,
    credential,
    inFlight,
    counts: counts && countsSnapshot(counts),
    failure,
    points: activity.points(step),
  };
}

function countsSnapshot({ statuses, latency, errors, ...counts }: Counts): RouteCounts {
  return { ...counts, statuses: [...statuses], latency: [...latency], errors: Object.fromEntries(errors) };
}

import { copyCounts, newRouteCounters, type RouteCounts } from '../../src/telemetry/metrics.ts';
import type { CredentialSnapshot, TokenSnapshot } from '../../src/telemetry/snapshot.ts';

/** The route that all of these are about. */
export const ROUTE = '/mpesa/*';

/** Of a credential without a token request. */
export function credentialSnapshot(changes: Partial<CredentialSnapshot> = {}): CredentialSnapshot {
  const none = { ok: 0, denied: 0, unavailable: 0 };
  return {
    name: ROUTE,
    provider: 'mpesa',
    fixed: false,
    token: undefined,
    isFetching: false,
    retryAtMs: 0,
    failure: undefined,
    exchanges: { credentials: none, refresh: none },
    clockSkewMs: undefined,
    refusedCalls: [],
    refusedCallCount: 0,
    ...changes,
  };
}

/** Of a token that was issued a second before `nowMs`, and lives an hour from then on. */
export function tokenSnapshot(nowMs: number, changes: Partial<TokenSnapshot> = {}): TokenSnapshot {
  return {
    fingerprint: '01234567',
    issuedAtMs: nowMs - 1000,
    expiresAtMs: nowMs + 3_600_000,
    refreshAtMs: nowMs + 3_570_000,
    lifetimeSource: 'expires_in',
    generation: 0,
    ...changes,
  };
}

type Changes = Partial<Omit<RouteCounts, 'uses' | 'replays'>> & {
  readonly uses?: Partial<RouteCounts['uses']>;
  readonly replays?: Partial<RouteCounts['replays']>;
};

/** Counts of a route that was not called yet. */
export function routeCounts({ uses, replays, ...changes }: Changes = {}): RouteCounts {
  const none = copyCounts(newRouteCounters());
  return { ...none, uses: { ...none.uses, ...uses }, replays: { ...none.replays, ...replays }, ...changes };
}

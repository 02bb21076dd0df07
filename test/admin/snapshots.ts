import type { CredentialSnapshot, RouteCounts, TokenSnapshot } from '../../src/telemetry/snapshot.ts';
import { newLatencyBuckets } from '../../src/telemetry/route-stats.ts';

/** The route that all of these are about. */
export const ROUTE = '/mpesa/*';

/** Of a credential that nobody asked a token for yet. */
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

/** Of a route that nobody called yet. */
export function routeCounts(changes: Partial<RouteCounts> = {}): RouteCounts {
  return {
    statuses: [0, 0, 0, 0, 0, 0],
    latency: [...newLatencyBuckets()],
    latencySumMs: 0,
    uses: { cached: 0, fetched: 0, replayed: 0, 'not-replayed': 0 },
    refusals: 0,
    replays: { answered: 0, refused: 0, failed: 0 },
    errors: {},
    ...changes,
  };
}

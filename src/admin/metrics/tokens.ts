import type { CredentialSnapshot, ProcessSnapshot, TokenSnapshot } from '../snapshot.ts';
import type { Exposition } from './exposition.ts';
import type { Totals } from './totals.ts';

const LABELS = ['credential', 'provider'] as const;

/** How the credentials' tokens are doing, and what their token endpoints were asked. */
export function tokenMetrics(
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

import type { Secret } from '../secret.ts';
import { ExchangeStats } from './tally.ts';
import { makeToken, type Token, type TokenSource, type TokenStatus } from './token.ts';

/** A bearer key that never expires and cannot be asked for anew. */
export function fixedTokenSource(key: Secret, nowMs: number): TokenSource {
  const token: Token = makeToken(key.reveal(), undefined, { lifetimeMs: Infinity, source: 'fixed' }, nowMs);
  const status: TokenStatus = {
    token,
    asking: false,
    retryAtMs: 0,
    failure: undefined,
    tally: new ExchangeStats(),
    refusedCalls: [],
  };
  return {
    current: () => token,
    token: () => Promise.resolve(token),
    reject: () => Promise.resolve(undefined),
    refusedAgain() {},
    served() {},
    renew: () => Promise.resolve(undefined),
    status: () => status,
    close() {},
  };
}

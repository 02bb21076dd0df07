import type { Secret } from '../secret.ts';
import { makeToken, type Token, type TokenSource } from './token.ts';

/** A bearer key that never expires and cannot be asked for anew. */
export function fixedTokenSource(key: Secret, nowMs: number): TokenSource {
  const token: Token = makeToken(key.reveal(), undefined, { lifetimeMs: Infinity, source: 'fixed' }, nowMs);
  return {
    current: () => token,
    token: () => Promise.resolve(token),
    reject: () => Promise.resolve(undefined),
    refusedAgain() {},
    served() {},
    close() {},
  };
}

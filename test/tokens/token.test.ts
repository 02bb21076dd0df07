import { describe, expect, it } from 'vitest';
import { makeToken } from '../../src/tokens/token.ts';
import { expectNoSecret } from '../support/token-fakes.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 9);

const made = (lifetimeMs: number) => makeToken('t-1', 'r-1', { lifetimeMs, source: 'expires_in' }, NOW_MS);

describe('a token', () => {
  it.each([
    [3_599_000, 30_000],
    [900_000, 30_000],
    [151_000, 30_000],
    [150_001, 30_000],
    [150_000, 30_000],
    [149_000, 29_800],
    [20_000, 4000],
    [1000, 200],
    [5, 1],
  ])('that lives %d ms is refreshed %d ms before it expires', (lifetimeMs, marginMs) => {
    expect(made(lifetimeMs).refreshAtMs).toBe(NOW_MS + lifetimeMs - marginMs);
    expect(made(lifetimeMs)).toMatchObject({ issuedAtMs: NOW_MS, expiresAtMs: NOW_MS + lifetimeMs });
  });

  it('that never expires is never refreshed', () => {
    expect(made(Infinity)).toMatchObject({ expiresAtMs: Infinity, refreshAtMs: Infinity });
  });

  it('has a refresh token only if there is one', () => {
    expect(made(1000).refreshToken?.reveal()).toBe('r-1');
    expect(makeToken('t', undefined, { lifetimeMs: 1, source: 'jwt' }, NOW_MS).refreshToken).toBeUndefined();
  });

  it('is printed as its fingerprint only', () => {
    expect(made(1000).fingerprint).toBe(made(1000).accessToken.fingerprint());
    const token = makeToken('access-of-token', 'refresh-of-token', { lifetimeMs: 1, source: 'jwt' }, NOW_MS);
    expectNoSecret(token, 'access-of-token', 'refresh-of-token');
  });
});

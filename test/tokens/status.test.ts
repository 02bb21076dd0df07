import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { Secret } from '../../src/secret.ts';
import type { TokenTransport } from '../../src/tokens/exchange.ts';
import type { TokenResponse } from '../../src/tokens/token-response.ts';
import { fixedTokenSource } from '../../src/tokens/token-source.ts';
import { createFetcher } from '../support/token-exchange.ts';
import { cached, callOf, expectNoSecret, refusalOf, tokenOf } from '../support/token-fakes.ts';

describe('the status of a credential', () => {
  it('has the token, and nothing before the first exchange', async () => {
    const { clock, source } = cached((_, { clock }) => tokenOf(clock, 'first'));
    expect(source.status()).toMatchObject({ token: undefined, isFetching: false, retryAtMs: 0, failure: undefined });
    const token = await source.token();
    await clock.advance(1000);
    expect(source.status()).toMatchObject({ token, isFetching: false, retryAtMs: 0, failure: undefined });
  });

  it('shows that an exchange is under way', async () => {
    const { fetcher, clock, source } = cached();
    const waiting = source.token();
    expect(source.status().isFetching).toBe(true);
    fetcher.resolve(tokenOf(clock, 'first'));
    await waiting;
    expect(source.status().isFetching).toBe(false);
  });

  it('has no token while the refused one is suspended', async () => {
    const { fetcher, clock, source } = cached((_, { clock }) => tokenOf(clock, 'first'));
    const first = await source.token();
    fetcher.script = undefined;
    const rejected = source.reject(first, callOf('GET', '/x'));
    expect(source.status()).toMatchObject({ token: undefined, isFetching: true });
    const second = tokenOf(clock, 'second');
    fetcher.resolve(second);
    await rejected;
    expect(source.status()).toMatchObject({ token: second, isFetching: false });
  });

  it('has the last failure with its reason until an exchange succeeds, and the time of the next attempt', async () => {
    const reason = { kind: 'network', code: 'ENOTFOUND', host: 'auth.example.com' } as const;
    const error = new ProxyError('token_unavailable', 'It failed.', { reason });
    const { clock, source } = cached((n, { clock }) => (n === 1 ? error : tokenOf(clock, 'second')));
    const startMs = clock.now();
    await refusalOf(source.token());
    const failure = { code: 'token_unavailable', detail: 'It failed.', reason, atMs: startMs };
    expect(source.status()).toMatchObject({ failure, retryAtMs: startMs + 1000 });
    await clock.advance(1000);
    expect(source.status()).toMatchObject({ failure, retryAtMs: 0 });
    await source.token();
    expect(source.status()).toMatchObject({ failure: undefined, retryAtMs: 0 });
  });

  it('lists the suppressed calls while they are suppressed', async () => {
    const { clock, source } = cached((n, { clock }) => tokenOf(clock, `token ${n}`));
    const token = await source.token();
    source.refusedAgain(token, callOf('POST', '/mpesa/b2c', 0, 'shop'));
    expect(source.status().refusedCalls).toEqual([
      { client: 'shop', call: 'POST /mpesa/b2c', untilMs: clock.now() + 30_000 },
    ]);
    await clock.advance(30_000);
    expect(source.status().refusedCalls).toEqual([]);
  });

  it('of a fixed key never changes', async () => {
    const source = fixedTokenSource(new Secret('fixed'), 0);
    expect(source.status()).toMatchObject({ token: { expiresAtMs: Infinity }, isFetching: false, failure: undefined });
    expect(await source.renew()).toBeUndefined();
  });
});

describe('a manual refresh', () => {
  it('starts an exchange at once, while the old token stays in use', async () => {
    const { fetcher, clock, source } = cached();
    const first = source.token();
    fetcher.resolve(tokenOf(clock, 'first'));
    await first;
    const renewal = source.renew();
    expect(source.current()?.accessToken.reveal()).toBe('first');
    fetcher.resolve(tokenOf(clock, 'second'));
    expect((await renewal).accessToken.reveal()).toBe('second');
    expect(source.current()?.accessToken.reveal()).toBe('second');
  });

  it('joins the exchange under way, and respects the backoff', async () => {
    const { fetcher, source } = cached();
    const waiting = [refusalOf(source.token()), refusalOf(source.renew()), refusalOf(source.renew())];
    fetcher.reject(new ProxyError('token_denied', 'Wrong.'));
    await Promise.all(waiting);
    expect((await refusalOf(source.renew())).retryAfterS).toBe(1);
    expect(fetcher.count).toBe(1);
  });
});

describe('the statistics of a credential', () => {
  const respondingWith = (...responses: Partial<TokenResponse>[]): TokenTransport => {
    const left = [...responses];
    return async () => ({ status: 200, headers: {}, body: '', ...left.shift() });
  };
  const good = { body: JSON.stringify({ access: 'a-1', refresh: 'r-2' }) };

  it('count each exchange by grant and outcome', async () => {
    const transport = respondingWith(good, { status: 401 }, good, { status: 401 }, { status: 503 });
    const { fetcher, stats } = createFetcher(jpay, { transport });
    await fetcher.fetch(undefined);
    await fetcher.fetch(new Secret('r-1'));
    await refusalOf(fetcher.fetch(undefined));
    await refusalOf(fetcher.fetch(undefined));
    expect(stats.counts).toEqual({
      credentials: { ok: 2, denied: 1, unavailable: 1 },
      refresh: { ok: 0, denied: 1, unavailable: 0 },
    });
    expect(stats.total).toBe(5);
  });

  it('have the difference of the clocks, from the last Date header', async () => {
    const { fetcher, clock, stats } = createFetcher(jpay, {
      transport: async () => ({
        status: 200,
        headers: { date: new Date(clock.now() + 90_000).toUTCString() },
        ...good,
      }),
    });
    const { clockSkewMs } = await fetcher.fetch(undefined);
    expect(clockSkewMs).toBeGreaterThan(88_000);
    expect(clockSkewMs).toBeLessThanOrEqual(90_000);
    expect(stats.clockSkewMs).toBe(clockSkewMs);
  });

  it('count network errors, of which only the code is kept', async () => {
    const secretCause = Object.assign(new Error('connect to canary-secret'), { code: 'ECONNREFUSED' });
    const { fetcher, stats } = createFetcher(jpay, { transport: () => Promise.reject(secretCause) });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.cause).toEqual({ code: 'ECONNREFUSED' });
    expectNoSecret(refusal, 'canary-secret');
    expect([stats.counts.credentials.unavailable, stats.clockSkewMs]).toEqual([1, undefined]);
  });
});

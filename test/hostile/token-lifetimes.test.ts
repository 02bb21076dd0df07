import { describe, expect, it } from 'vitest';
import { jwtShaped } from '../../src/providers/sample-response.ts';
import { json } from '../support/upstream-raw.ts';
import {
  authorizations,
  call,
  HOUR_MS,
  startTokenBench,
  summary,
  TOKEN,
  type TokenBench,
  tokenNamed,
  tokenOf,
} from './support/token-endpoint.ts';

describe('a lifetime', () => {
  it.each<[string, object, number]>([
    ['of a year', { expires_in: 31_536_000 }, 31_536_000],
    ['of a thousand years', { expires_in: 31_536_000_000 }, 366 * 86_400],
    ['as text', { expires_in: '3599' }, 3599],
    ['with a fraction', { expires_in: 3599.5 }, 3599],
    ['that is no number, which is passed over', { expires_in: 'abc' }, 900],
    ['that is null, which is passed over', { expires_in: null }, 900],
    ['that is an object, which is passed over', { expires_in: {} }, 900],
    ['as 1e999, which is passed over', { expires_in: '1e999' }, 900],
    ['that is missing', {}, 900],
  ])('%s is used up to its end and not longer', async (_, fields, seconds) => {
    const bench = await startTokenBench(
      (__, ___, number) => json(200, { access_token: tokenNamed(number), ...fields }),
      {
        token: {
          request: { path: '/issue/token' },
          response: { access_token: 'access_token', expires_in: 'expires_in', expires_at: 'expires_at' },
          default_lifetime: '900s',
        },
        credentials: {},
      },
    );
    await call(bench);
    bench.clock.shiftMs += seconds * 500;
    expect(summary(await call(bench))).toBe('200 cached');
    expect(bench.endpoint.exchanges).toBe(1);
    bench.clock.shiftMs += seconds * 500 + 1000;
    expect(summary(await call(bench))).toBe('200 fetched');
    expect(authorizations(bench.upstream)).toEqual([1, 1, 2].map((number) => `Bearer ${tokenNamed(number)}`));
  });

  it.each([
    ['an hour ahead', HOUR_MS],
    ['an hour behind', -HOUR_MS],
    ['right', 0],
  ])('that is absolute counts from the Date of a server whose clock is %s', async (_, offMs) => {
    const bench: TokenBench = await startTokenBench((__, ___, number) => {
      const serverMs = bench.clock.now() + offMs;
      const date = `date: ${new Date(serverMs).toUTCString()}`;
      return json(200, { access_token: tokenNamed(number), expires_at: Math.floor(serverMs / 1000) + 900 }, date);
    });
    expect(summary(await call(bench))).toBe('200 fetched');
    bench.clock.shiftMs += 800_000;
    expect(summary(await call(bench))).toBe('200 cached');
    expect(bench.endpoint.exchanges).toBe(1);
    bench.clock.shiftMs += 110_000;
    expect(summary(await call(bench))).toBe('200 fetched');
    expect(bench.endpoint.exchanges).toBe(2);
  });

  it.each<[string, (nowS: number) => object]>([
    ['that has passed on the clock of the server', (nowS) => ({ expires_at: nowS - 1 })],
    ['of 0 seconds', () => ({ expires_in: 0 })],
    ['of "0" seconds', () => ({ expires_in: '0' })],
    ['of "-1" seconds', () => ({ expires_in: '-1' })],
    ['of -3600 seconds', () => ({ expires_in: -3600 })],
    ['until the epoch', () => ({ expires_at: 0 })],
    ['until 2020', () => ({ expires_at: '2020-01-01T00:00:00Z' })],
    ['with a JWT that has expired', (nowS) => ({ access_token: jwtShaped({ exp: nowS - 60 }) })],
  ])('%s is replaced by the default, with one warning', async (_, fieldsAt) => {
    const bench: TokenBench = await startTokenBench(() => {
      const date = `date: ${new Date(bench.clock.now()).toUTCString()}`;
      return json(200, { ...TOKEN, ...fieldsAt(Math.floor(bench.clock.now() / 1000)) }, date);
    });
    const calls: string[] = [];
    for (let i = 0; i < 20; i++) calls.push(summary(await call(bench)));
    expect(calls).toEqual(['200 fetched', ...Array.from({ length: 19 }, () => '200 cached')]);
    expect([bench.endpoint.exchanges, bench.upstream.requests.length]).toEqual([1, 20]);
    // The default lifetime is 5 minutes, and the token endpoint returns the same token again.
    bench.clock.shiftMs += 301_000;
    expect(summary(await call(bench))).toBe('200 fetched');
    expect(bench.endpoint.exchanges).toBe(2);
    expect(bench.proxy.log.filter(({ event }) => event === 'token_lifetime_ignored')).toHaveLength(1);
  });

  it('of one second costs no more than one exchange per second', async () => {
    const bench = await startTokenBench((_, __, number) =>
      json(200, { access_token: tokenNamed(number), expires_in: 1 }),
    );
    for (let i = 0; i < 10; i++) {
      const responses = await Promise.all(Array.from({ length: 10 }, () => call(bench)));
      expect(responses.every(({ status }) => status === 200)).toBe(true);
      bench.clock.shiftMs += 1001;
    }
    expect(bench.endpoint.exchanges).toBeLessThanOrEqual(20);
  });
});

describe('a token endpoint that returns the same expiring token again', () => {
  it('is not called in a loop while the token is valid', async () => {
    const bench: TokenBench = await startTokenBench(() => tokenOf({ ...TOKEN, expires_in: 20 }));
    for (let i = 0; i < 30; i++) {
      expect((await call(bench)).status).toBe(200);
      bench.clock.shiftMs += 1000;
    }
    expect(bench.endpoint.exchanges).toBeLessThanOrEqual(4);
  });

  it.each([3600, 0])(
    'in %d s is called once after the API refused the token, and the refusal is relayed',
    async (expires_in) => {
      const refusing = () => json(401, { error: 'dead' });
      const bench = await startTokenBench(() => tokenOf({ ...TOKEN, expires_in }), {}, refusing);
      for (let i = 0; i < 20; i++) expect(summary(await call(bench))).toBe('401 not-replayed');
      expect([bench.endpoint.exchanges, bench.upstream.requests.length]).toEqual([2, 20]);
    },
  );
});

import { describe, expect, it } from 'vitest';
import type { Token } from '../../src/tokens/token.ts';
import { cached, DOWN, expectNoSecret, refusalOf, tokenOf } from '../support/token-fakes.ts';

const QUIET_MS = 30_000;

/** Every question gets another token. */
const fresh = () => cached((n, { clock }) => tokenOf(clock, `t-${n}`));

/** Every question gets the very same token string. */
const stuck = () => cached((_, { clock }) => tokenOf(clock, 't-same'));

const valueOf = (token: Token | undefined) => token?.accessToken.reveal();

describe('a refused token', () => {
  it('is replaced, and the new one is given for the second attempt', async () => {
    const { asker, source } = fresh();
    const dead = await source.token();
    source.served(dead, 'GET', '/x');
    const next = await source.reject(dead, 'GET', '/x');
    expect(valueOf(next)).toBe('t-2');
    expect(source.current()).toBe(next);
    expect(asker.count).toBe(2);
  });

  it('that 500 requests were refused with costs one exchange', async () => {
    const { asker, clock, source } = cached();
    const waiting = source.token();
    asker.answer(tokenOf(clock, 't-1'));
    const dead = await waiting;
    const rejected = Array.from({ length: 500 }, (_, n) => source.reject(dead, 'POST', `/pay/${n % 7}`));
    const next = tokenOf(clock, 't-2');
    asker.answer(next);
    expect(new Set(await Promise.all(rejected))).toEqual(new Set([next]));
    expect(asker.count).toBe(2);
  });

  it('serves nobody from then on', async () => {
    const { asker, source } = fresh();
    const dead = await source.token();
    asker.script = undefined;
    void source.reject(dead, 'GET', '/x');
    expect(source.current()).toBeUndefined();
  });

  it('that was replaced meanwhile gives the newer one, and nobody is asked', async () => {
    const { asker, source } = fresh();
    const dead = await source.token();
    const next = await source.reject(dead, 'GET', '/x');
    for (let n = 0; n < 10; n++) expect(await source.reject(dead, 'GET', '/y')).toBe(next);
    expect(asker.count).toBe(2);
    expect(source.current()).toBe(next);
  });

  it('whose refresh is under way already waits for that one', async () => {
    const { asker, clock, source } = cached((n, { clock: now }) => tokenOf(now, `t-${n}`, { lifetimeMs: 100_000 }));
    const dead = await source.token();
    source.current();
    asker.script = undefined;
    await clock.advance(80_000);
    const next = source.reject(dead, 'GET', '/x');
    asker.answer(tokenOf(clock, 't-ahead'));
    expect(valueOf(await next)).toBe('t-ahead');
    expect(asker.count).toBe(2);
  });

  it('is replaced at once each time, where each token served before it died', async () => {
    const { asker, source } = fresh();
    let token: Token | undefined = await source.token();
    for (let n = 1; n <= 10; n++) {
      source.served(token!, 'POST', '/pay');
      token = await source.reject(token!, 'POST', '/pay');
      expect(valueOf(token)).toBe(`t-${n + 1}`);
    }
    expect(asker.count).toBe(11);
  });

  it('shows in the log by its fingerprint alone', async () => {
    const { log, source } = fresh();
    const dead = await source.token();
    await source.reject(dead, 'GET', '/x');
    expect(log.lines[1]).toEqual({
      level: 'info',
      message: 'provider refused the token; asking for another',
      fields: { provider: 'mpesa', token: dead.fingerprint, method: 'GET' },
    });
    expectNoSecret(log.lines, 't-1', 't-2');
  });

  it('whose replacement cannot be had gives none, and the next caller is refused', async () => {
    const { asker, clock, source } = cached((n, { clock: now }) => (n === 1 ? tokenOf(now, 't-1') : DOWN));
    const dead = await source.token();
    expect(await source.reject(dead, 'GET', '/x')).toBeUndefined();
    expect(await refusalOf(source.token())).toMatchObject({ code: 'token_unavailable', retryAfterS: 1 });
    expect(asker.count).toBe(2);
    asker.script = () => tokenOf(clock, 't-2');
    await clock.advance(1000);
    expect(valueOf(await source.token())).toBe('t-2');
  });

  it('is kept while the endpoint is backed off from, for it may be the call that is refused', async () => {
    const { asker, clock, source } = cached((n, { clock: now }) =>
      n === 1 ? tokenOf(now, 't-1', { lifetimeMs: 100_000 }) : DOWN,
    );
    const dead = await source.token();
    source.current();
    await clock.advance(80_000);
    expect(asker.count).toBe(2);
    expect(await source.reject(dead, 'GET', '/x')).toBeUndefined();
    expect(await source.token()).toBe(dead);
    expect(asker.count).toBe(2);
  });
});

describe('a token endpoint that gives the refused token again', () => {
  it('gives no ground for a second attempt', async () => {
    const { asker, log, source } = stuck();
    const dead = await source.token();
    expect(await source.reject(dead, 'GET', '/x')).toBeUndefined();
    expect(asker.count).toBe(2);
    expect(log.messages).toContain('token endpoint gave the refused token again');
    expectNoSecret(log.lines, 't-same');
  });

  it('leaves the token serving other calls', async () => {
    const { source } = stuck();
    await source.reject(await source.token(), 'GET', '/x');
    expect(valueOf(source.current())).toBe('t-same');
  });

  it('is not asked again for the same call for 30 s', async () => {
    const { asker, clock, source } = stuck();
    await source.reject(await source.token(), 'GET', '/x');
    const refuse = () => source.reject(source.current()!, 'GET', '/x');
    for (let n = 0; n < 100; n++) expect(await refuse()).toBeUndefined();
    await clock.advance(QUIET_MS - 1);
    await refuse();
    expect(asker.count).toBe(2);
    await clock.advance(1);
    await refuse();
    expect(asker.count).toBe(3);
  });

  it('is not stormed by many calls: once more, and then once in 30 s', async () => {
    const { asker, clock, source } = stuck();
    await source.token();
    const refuseMany = async () => {
      for (let n = 0; n < 100; n++) await source.reject(source.current()!, 'GET', `/x/${n}`);
    };
    await refuseMany();
    expect(asker.count).toBe(3);
    await clock.advance(QUIET_MS - 1);
    await refuseMany();
    expect(asker.count).toBe(3);
    await clock.advance(1);
    await refuseMany();
    expect(asker.count).toBe(4);
  });

  it('is asked once for 500 requests refused at once', async () => {
    const { asker, source } = stuck();
    const dead = await source.token();
    const results = await Promise.all(Array.from({ length: 500 }, () => source.reject(dead, 'GET', '/x')));
    expect(new Set(results)).toEqual(new Set([undefined]));
    expect(asker.count).toBe(2);
  });

  it('is complained about once for 500 requests refused at once', async () => {
    const { log, source } = stuck();
    const dead = await source.token();
    await Promise.all(Array.from({ length: 500 }, () => source.reject(dead, 'GET', '/x')));
    expect(log.messages.filter((message) => message.includes('again'))).toHaveLength(1);
  });
});

describe('a call whose fresh token was refused as well', () => {
  /** `POST /bad` was refused with `t-1` and with `t-2`. */
  async function refusedTwice() {
    const bench = fresh();
    const first = await bench.source.token();
    bench.source.served(first, 'GET', '/good');
    const token = await bench.source.reject(first, 'POST', '/bad');
    bench.source.refusedAgain(token!, 'POST', '/bad');
    expect(bench.asker.count).toBe(2);
    return { ...bench, token: token! };
  }

  it('forces no refresh for 30 s, and its token goes on serving', async () => {
    const { asker, clock, source, token } = await refusedTwice();
    expect(await source.reject(token, 'POST', '/bad')).toBeUndefined();
    await clock.advance(QUIET_MS - 1);
    expect(await source.reject(token, 'POST', '/bad')).toBeUndefined();
    expect(source.current()).toBe(token);
    expect(asker.count).toBe(2);
    await clock.advance(1);
    expect(valueOf(await source.reject(token, 'POST', '/bad'))).toBe('t-3');
  });

  it.each([
    ['POST', '/other'],
    ['GET', '/bad'],
    ['POST', '/bad/more'],
    ['post', '/bad'],
  ])('does not keep %s %s from forcing one', async (method, path) => {
    const { source, token } = await refusedTwice();
    expect(valueOf(await source.reject(token, method, path))).toBe('t-3');
  });

  it('may force one again once it was served', async () => {
    const { source, token } = await refusedTwice();
    source.served(token, 'POST', '/bad');
    expect(valueOf(await source.reject(token, 'POST', '/bad'))).toBe('t-3');
  });

  it('stays quiet when another call is served', async () => {
    const { source, token } = await refusedTwice();
    source.served(token, 'POST', '/other');
    expect(await source.reject(token, 'POST', '/bad')).toBeUndefined();
  });

  it('stays quiet when it was served with a token of before', async () => {
    const { source, token } = await refusedTwice();
    const next = await source.reject(token, 'GET', '/else');
    source.served(token, 'POST', '/bad');
    expect(await source.reject(next!, 'POST', '/bad')).toBeUndefined();
  });

  it('is not made quiet by a token that was replaced meanwhile', async () => {
    const { source } = fresh();
    const first = await source.token();
    source.served(first, 'GET', '/good');
    const second = await source.reject(first, 'POST', '/bad');
    source.refusedAgain(first, 'POST', '/bad');
    expect(valueOf(await source.reject(second!, 'POST', '/bad'))).toBe('t-3');
  });
});

describe('forced refreshes', () => {
  /** A served token died, and the two that came after it were refused before they served anyone. */
  async function twoUnserved() {
    const bench = fresh();
    const first = await bench.source.token();
    bench.source.served(first, 'GET', '/a');
    const second = await bench.source.reject(first, 'GET', '/a');
    const third = await bench.source.reject(second!, 'GET', '/b');
    expect(valueOf(third)).toBe('t-3');
    return { ...bench, second: second!, third: third! };
  }

  it('are rationed once two fresh tokens in a row were refused unserved', async () => {
    const { asker, source, third } = await twoUnserved();
    for (let n = 0; n < 100; n++) expect(await source.reject(third, 'GET', `/c/${n}`)).toBeUndefined();
    expect(source.current()).toBe(third);
    expect(asker.count).toBe(3);
  });

  it('come once in 30 s then, and not a millisecond before', async () => {
    const { asker, clock, source, third } = await twoUnserved();
    await clock.advance(QUIET_MS - 1);
    expect(await source.reject(third, 'GET', '/c')).toBeUndefined();
    expect(asker.count).toBe(3);
    await clock.advance(1);
    const fourth = await source.reject(third, 'GET', '/c');
    expect(valueOf(fourth)).toBe('t-4');
    expect(await source.reject(fourth!, 'GET', '/d')).toBeUndefined();
    await clock.advance(QUIET_MS - 1);
    expect(await source.reject(fourth!, 'GET', '/d')).toBeUndefined();
    await clock.advance(1);
    expect(valueOf(await source.reject(fourth!, 'GET', '/d'))).toBe('t-5');
  });

  it('come at once again when a token serves', async () => {
    const { source, third } = await twoUnserved();
    source.served(third, 'GET', '/ok');
    const fourth = await source.reject(third, 'GET', '/c');
    expect(valueOf(fourth)).toBe('t-4');
    expect(valueOf(await source.reject(fourth!, 'GET', '/d'))).toBe('t-5');
    expect(await source.reject(await source.token(), 'GET', '/e')).toBeUndefined();
  });

  it('stay rationed when a token of before serves late', async () => {
    const { source, second, third } = await twoUnserved();
    source.served(second, 'GET', '/ok');
    expect(await source.reject(third, 'GET', '/c')).toBeUndefined();
  });

  it('do not keep a token from being refreshed ahead of its expiry', async () => {
    const { asker, clock, source, third } = await twoUnserved();
    source.current();
    await clock.advance(third.refreshAtMs - clock.now());
    expect(asker.count).toBe(4);
  });
});

import { describe, expect, it } from 'vitest';
import type { Token } from '../../src/tokens/token.ts';
import { settled } from '../support/manual-clock.ts';
import { cached, callOf, DOWN, expectNoSecret, refusalOf, tokenOf } from '../support/token-fakes.ts';

const QUIET_MS = 30_000;

/** Each exchange returns another token. */
const fresh = () => cached((n, { clock }) => tokenOf(clock, `t-${n}`));

/** Each exchange returns the same token. */
const stuck = () => cached((_, { clock }) => tokenOf(clock, 't-same'));

const valueOf = (token: Token | undefined) => token?.accessToken.reveal();

describe('a refused token', () => {
  it('is replaced, and the second attempt gets the new one', async () => {
    const { fetcher, source } = fresh();
    const dead = await source.token();
    source.accepted(dead, callOf('GET', '/x'));
    const next = await source.reject(dead, callOf('GET', '/x'));
    expect(valueOf(next)).toBe('t-2');
    expect(source.current()).toBe(next);
    expect(fetcher.count).toBe(2);
  });

  it('causes one exchange for 500 refused requests', async () => {
    const { fetcher, clock, source } = cached();
    const waiting = source.token();
    fetcher.resolve(tokenOf(clock, 't-1'));
    const dead = await waiting;
    const rejected = Array.from({ length: 500 }, (_, n) => source.reject(dead, callOf('POST', `/pay/${n % 7}`)));
    const next = tokenOf(clock, 't-2');
    fetcher.resolve(next);
    expect(new Set(await Promise.all(rejected))).toEqual(new Set([next]));
    expect(fetcher.count).toBe(2);
  });

  it('that has been replaced causes no exchange: the call gets the newer one', async () => {
    const { fetcher, source } = fresh();
    const dead = await source.token();
    const next = await source.reject(dead, callOf('GET', '/x'));
    for (let n = 0; n < 10; n++) expect(await source.reject(dead, callOf('GET', '/y'))).toBe(next);
    expect(fetcher.count).toBe(2);
    expect(source.current()).toBe(next);
  });

  it('that has been replaced gives a suppressed call the newer one too', async () => {
    const { fetcher, source } = fresh();
    const dead = await source.token();
    const next = await source.reject(dead, callOf('GET', '/x'));
    source.refusedAgain(next!, callOf('GET', '/x'));
    expect(await source.reject(dead, callOf('GET', '/x'))).toBe(next);
    expect(fetcher.count).toBe(2);
  });

  it('whose refresh is under way is replaced by that refresh', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) => tokenOf(now, `t-${n}`, { lifetimeMs: 100_000 }));
    const dead = await source.token();
    source.current();
    fetcher.script = undefined;
    await clock.advance(80_000);
    const next = source.reject(dead, callOf('GET', '/x'));
    fetcher.resolve(tokenOf(clock, 't-ahead'));
    expect(valueOf(await next)).toBe('t-ahead');
    expect(fetcher.count).toBe(2);
  });

  it('is replaced at once each time if each call that forced an exchange was then accepted', async () => {
    const { fetcher, source } = fresh();
    let token: Token | undefined = await source.token();
    for (let n = 1; n <= 10; n++) {
      const call = callOf('POST', '/pay', n);
      token = await source.reject(token!, call);
      expect(valueOf(token)).toBe(`t-${n + 1}`);
      source.accepted(token!, call);
    }
    expect(fetcher.count).toBe(11);
  });

  it('is in the log with its fingerprint only', async () => {
    const { log, source } = fresh();
    const dead = await source.token();
    await source.reject(dead, callOf('GET', '/x'));
    expect(log.lines[1]).toEqual({
      level: 'info',
      event: 'token_refused',
      fields: { provider: 'mpesa', token: dead.fingerprint, method: 'GET' },
    });
    expectNoSecret(log.lines, 't-1', 't-2');
  });
});

describe('while a forced exchange runs, the refused token', () => {
  async function forcing() {
    const bench = fresh();
    const first = await bench.source.token();
    bench.fetcher.script = undefined;
    const rejected = bench.source.reject(first, callOf('GET', '/x', 100));
    return { ...bench, first, rejected };
  }

  it('is suspended, and requests wait for the next token', async () => {
    const { fetcher, clock, source, rejected } = await forcing();
    expect(source.current()).toBeUndefined();
    const waiting = source.token();
    fetcher.resolve(tokenOf(clock, 't-2'));
    expect([valueOf(await waiting), valueOf(await rejected)]).toEqual(['t-2', 't-2']);
    expect(fetcher.count).toBe(2);
  });

  it('stays current if a later call was accepted already', async () => {
    const { fetcher, source } = fresh();
    const first = await source.token();
    source.accepted(first, callOf('GET', '/ok', 101));
    fetcher.script = undefined;
    void source.reject(first, callOf('GET', '/x', 100));
    expect(source.current()).toBe(first);
    expect(fetcher.count).toBe(2);
  });

  it('is current again as soon as a later call is accepted', async () => {
    const { first, source } = await forcing();
    source.accepted(first, callOf('GET', '/ok', 100));
    expect(source.current()).toBeUndefined();
    source.accepted(first, callOf('GET', '/ok', 101));
    expect(source.current()).toBe(first);
  });

  it('is current again if the exchange fails, also for the requests that waited', async () => {
    const { fetcher, first, source, rejected } = await forcing();
    const waiting = [source.token(), source.token()];
    fetcher.reject(DOWN);
    expect(await Promise.all(waiting)).toEqual([first, first]);
    expect(await rejected).toBeUndefined();
    expect(source.current()).toBe(first);
  });

  it('is not current again if it has expired', async () => {
    const { fetcher, clock, source, rejected } = await forcing();
    const waiting = refusalOf(source.token());
    await clock.advance(3_600_000);
    fetcher.reject(DOWN);
    expect((await waiting).code).toBe('token_unavailable');
    expect(await rejected).toBeUndefined();
    expect(source.current()).toBeUndefined();
  });

  it('stays current if the previous exchange failed', async () => {
    const { fetcher, clock, first, source, rejected } = await forcing();
    fetcher.reject(DOWN);
    await rejected;
    await clock.advance(1000);
    void source.reject(first, callOf('GET', '/x', 200));
    expect(fetcher.count).toBe(3);
    expect(source.current()).toBe(first);
  });
});

describe('a token endpoint that fails', () => {
  it('gets no request before the backoff ends', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) => (n === 2 ? DOWN : tokenOf(now, `t-${n}`)));
    const first = await source.token();
    expect(await source.reject(first, callOf('GET', '/x'))).toBeUndefined();
    await clock.advance(999);
    expect(await source.reject(first, callOf('GET', '/x'))).toBeUndefined();
    expect(fetcher.count).toBe(2);
    await clock.advance(1);
    expect(valueOf(await source.reject(first, callOf('GET', '/x')))).toBe('t-3');
  });

  it('does not restrict forced exchanges: the first exchange that works replaces a dead token', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) => (n === 1 ? tokenOf(now, 't-1') : DOWN));
    const first = await source.token();
    for (let n = 0; n < 6; n++) {
      expect(await source.reject(first, callOf('GET', '/x'))).toBeUndefined();
      await clock.advance(QUIET_MS);
    }
    expect(fetcher.count).toBe(7);
    fetcher.script = () => tokenOf(clock, 't-8');
    expect(valueOf(await source.reject(first, callOf('GET', '/x')))).toBe('t-8');
  });

  it('does not set a token aside whose early refresh failed', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) =>
      n === 1 ? tokenOf(now, 't-1', { lifetimeMs: 100_000 }) : DOWN,
    );
    const first = await source.token();
    source.current();
    await clock.advance(80_000);
    expect(fetcher.count).toBe(2);
    expect(await source.reject(first, callOf('GET', '/x'))).toBeUndefined();
    expect(await source.token()).toBe(first);
    expect(fetcher.count).toBe(2);
  });
});

describe('a token endpoint that returns the refused token again', () => {
  it('causes no second attempt', async () => {
    const { fetcher, log, source } = stuck();
    const dead = await source.token();
    expect(await source.reject(dead, callOf('GET', '/x'))).toBeUndefined();
    expect(fetcher.count).toBe(2);
    expect(log.events).toContain('token_unchanged');
    expectNoSecret(log.lines, 't-same');
  });

  it('leaves the token in use for other calls', async () => {
    const { source } = stuck();
    await source.reject(await source.token(), callOf('GET', '/x'));
    expect(valueOf(source.current())).toBe('t-same');
  });

  it('gets no request for the same call for 30 s', async () => {
    const { fetcher, clock, source } = stuck();
    await source.reject(await source.token(), callOf('GET', '/x'));
    const refuse = () => source.reject(source.current()!, callOf('GET', '/x'));
    for (let n = 0; n < 100; n++) expect(await refuse()).toBeUndefined();
    await clock.advance(QUIET_MS - 1);
    await refuse();
    expect(fetcher.count).toBe(2);
    await clock.advance(1);
    await refuse();
    expect(fetcher.count).toBe(3);
  });

  it('gets two requests for many calls, and then one per 5 s', async () => {
    const { fetcher, clock, source } = stuck();
    await source.token();
    const refuseMany = async () => {
      const all = Array.from({ length: 100 }, (_, n) => `/x/${n}`);
      const refused = Promise.all(all.map((path) => source.reject(source.current()!, callOf('GET', path))));
      await clock.advance(1000);
      await refused;
    };
    for (const path of ['/a', '/b']) await source.reject(source.current()!, callOf('GET', path));
    expect(fetcher.count).toBe(3);
    await clock.advance(4000);
    await refuseMany();
    expect(fetcher.count).toBe(3);
    await refuseMany();
    expect(fetcher.count).toBe(4);
  });

  it('gets one request and causes one log line for 500 requests that are refused at once', async () => {
    const { fetcher, log, source } = stuck();
    const dead = await source.token();
    const refused = Array.from({ length: 500 }, (_, n) => source.reject(dead, callOf('GET', `/x/${n}`)));
    expect(new Set(await Promise.all(refused))).toEqual(new Set([undefined]));
    expect(fetcher.count).toBe(2);
    expect(log.events.filter((event) => event === 'token_unchanged')).toHaveLength(1);
  });
});

describe('a call that was refused with a fresh token too', () => {
  it('forces no exchange, and the token stays current', async () => {
    const { fetcher, source } = fresh();
    const token = await source.reject(await source.token(), callOf('POST', '/bad'));
    source.refusedAgain(token!, callOf('POST', '/bad'));
    expect(await source.reject(token!, callOf('POST', '/bad'))).toBeUndefined();
    expect(source.current()).toBe(token);
    expect(fetcher.count).toBe(2);
  });

  it('does not become suppressed by a token that has been replaced', async () => {
    const { source } = fresh();
    const first = await source.token();
    const second = await source.reject(first, callOf('POST', '/bad'));
    source.refusedAgain(first, callOf('POST', '/bad'));
    expect(valueOf(await source.reject(second!, callOf('POST', '/bad')))).toBe('t-3');
  });

  it('stays suppressed if it is accepted with a token that has been replaced', async () => {
    const { source } = fresh();
    const first = await source.token();
    const second = await source.reject(first, callOf('POST', '/bad'));
    source.refusedAgain(second!, callOf('POST', '/bad'));
    source.accepted(first, callOf('POST', '/bad'));
    expect(await source.reject(second!, callOf('POST', '/bad'))).toBeUndefined();
  });
});

describe('after two unconfirmed exchanges', () => {
  /** Two calls forced an exchange each and were not accepted. The 5 s between exchanges are over. */
  async function restricted() {
    const bench = fresh();
    let token: Token | undefined = await bench.source.token();
    for (const path of ['/a', '/b']) token = await bench.source.reject(token!, callOf('GET', path));
    await bench.clock.advance(5000);
    expect(valueOf(token)).toBe('t-3');
    return { ...bench, token: token! };
  }

  it('a refused call waits a second, and forces one if no later call is accepted', async () => {
    const { fetcher, clock, source, token } = await restricted();
    const refused = source.reject(token, callOf('POST', '/pay', 100));
    source.accepted(token, callOf('GET', '/ok', 100));
    await clock.advance(999);
    expect([fetcher.count, source.current()]).toEqual([3, token]);
    await clock.advance(1);
    expect(valueOf(await refused)).toBe('t-4');
  });

  it('a refusal goes to the client if a later call is accepted with the same token', async () => {
    const { fetcher, source, token } = await restricted();
    const refused = source.reject(token, callOf('POST', '/pay', 100));
    await settled();
    source.accepted(token, callOf('GET', '/ok', 101));
    expect(await refused).toBeUndefined();
    expect([fetcher.count, source.current()]).toEqual([3, token]);
  });

  it('500 refused calls wait together, and cause one exchange', async () => {
    const { fetcher, clock, source, token } = await restricted();
    const refused = Array.from({ length: 500 }, (_, n) => source.reject(token, callOf('POST', `/pay/${n}`, 100)));
    await clock.advance(1000);
    expect(new Set((await Promise.all(refused)).map(valueOf))).toEqual(new Set(['t-4']));
    expect(fetcher.count).toBe(4);
  });

  it('a refused call that waits gets a token that arrives in that time', async () => {
    const { fetcher, source, token } = await restricted();
    const refused = source.reject(token, callOf('POST', '/pay', 100));
    const renewed = await source.renew();
    expect(await refused).toBe(renewed);
    expect(fetcher.count).toBe(4);
  });

  it('refusals go to the client within 5 s after the last exchange, whatever the path', async () => {
    const { fetcher, clock, source, token } = await restricted();
    const refused = source.reject(token, callOf('GET', '/c'));
    await clock.advance(1000);
    const next = await refused;
    for (let n = 0; n < 100; n++) expect(await source.reject(next!, callOf('GET', `/d/${n}`))).toBeUndefined();
    expect(fetcher.count).toBe(4);
  });

  it('the next exchange starts at once again if the last was proven', async () => {
    const { clock, source, token } = await restricted();
    const call = callOf('POST', '/pay', 100);
    const refused = source.reject(token, call);
    await clock.advance(1000);
    const next = await refused;
    source.accepted(next!, call);
    expect(valueOf(await source.reject(next!, callOf('POST', '/pay', 200)))).toBe('t-5');
  });

  it('a token is still refreshed before it expires', async () => {
    const { fetcher, clock, source, token } = await restricted();
    source.current();
    await clock.advance(token.refreshAtMs - clock.now());
    expect(fetcher.count).toBe(4);
  });
});

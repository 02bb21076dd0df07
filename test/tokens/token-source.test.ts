import { describe, expect, it } from 'vitest';
import { MAX_TIMER_MS } from '../../src/clock.ts';
import { cached, callOf, DOWN, expectNoSecret, tokenOf } from '../support/token-fakes.ts';

const DAY_MS = 86_400_000;

/** Each exchange returns another token of this lifetime, with a refresh token. */
const living = (lifetimeMs: number) =>
  cached((n, { clock }) => tokenOf(clock, `t-${n}`, { lifetimeMs, refreshToken: `r-${n}` }));

describe('a cached token', () => {
  it('is available without a promise after it was fetched', async () => {
    const { fetcher, source } = living(100_000);
    expect(source.current()).toBeUndefined();
    const token = await source.token();
    expect(source.current()).toBe(token);
    expect(await source.token()).toBe(token);
    expect(fetcher.count).toBe(1);
  });

  it('is not fetched before it is needed', async () => {
    const { fetcher, clock, source } = living(100_000);
    expect(source.current()).toBeUndefined();
    await clock.advance(DAY_MS);
    expect(fetcher.count).toBe(0);
    expect(clock.timers).toBe(0);
  });

  it.each([50, 500])('is fetched once for %d waiting callers', async (callers) => {
    const { fetcher, clock, source } = cached();
    const waiting = Array.from({ length: callers }, () => source.token());
    expect(fetcher.count).toBe(1);
    const token = tokenOf(clock, 't-1');
    fetcher.resolve(token);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([token]));
    expect(fetcher.count).toBe(1);
  });

  it('is shared with a caller that arrives with the response', async () => {
    const { fetcher, clock, source } = cached();
    const first = source.token();
    fetcher.resolve(tokenOf(clock, 't-1'));
    await Promise.resolve();
    const second = source.token();
    expect(await second).toBe(await first);
    expect(fetcher.count).toBe(1);
  });

  it('is used until the last millisecond before it expires', async () => {
    const { fetcher, clock, source } = living(100_000);
    const token = await source.token();
    fetcher.script = undefined;
    await clock.advance(99_999);
    expect(source.current()).toBe(token);
    await clock.advance(1);
    expect(source.current()).toBeUndefined();
  });

  it('is fetched again by the first caller after it expired, once for all', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    await clock.advance(100_000);
    const [one, two] = await Promise.all([source.token(), source.token()]);
    expect(one).toBe(two);
    expect(one.accessToken.reveal()).toBe('t-2');
    expect(fetcher.count).toBe(2);
  });

  it('is logged with its fingerprint, its lifetime and where that comes from', async () => {
    const { clock, log, source } = living(100_000);
    const token = await source.token();
    await clock.advance(100_000);
    await source.token();
    expect(log.lines[0]).toEqual({
      level: 'info',
      event: 'token_fetched',
      fields: { provider: 'mpesa', token: token.fingerprint, lifetime_s: 100, lifetime_source: 'expires_in' },
    });
    expectNoSecret([log.lines, source], 't-1', 't-2', 'r-1', 'r-2');
  });
});

describe('a refresh before expiry', () => {
  it('starts by itself for a token in use, when its margin begins and not before', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    source.current();
    await clock.advance(79_999);
    expect(fetcher.count).toBe(1);
    await clock.advance(1);
    expect(fetcher.count).toBe(2);
    expect(source.current()?.accessToken.reveal()).toBe('t-2');
  });

  it('leaves the old token in use until the new one is there', async () => {
    const { fetcher, clock, source } = cached();
    const waiting = source.token();
    fetcher.resolve(tokenOf(clock, 't-1', { lifetimeMs: 100_000 }));
    const old = await waiting;
    source.current();
    await clock.advance(80_000);
    expect(fetcher.count).toBe(2);
    expect(source.current()).toBe(old);
    expect(await source.token()).toBe(old);
    fetcher.resolve(tokenOf(clock, 't-2'));
    await clock.advance(0);
    expect(source.current()?.accessToken.reveal()).toBe('t-2');
    expect(fetcher.count).toBe(2);
  });

  it('does not start for an unused token, which expires', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    source.current();
    await clock.advance(80_000);
    expect(fetcher.count).toBe(2);
    await clock.advance(DAY_MS);
    expect(fetcher.count).toBe(2);
    expect(clock.timers).toBe(0);
  });

  it('is started by a caller in the margin, who gets the old token at once', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    source.current();
    await clock.advance(80_000);
    await clock.advance(79_999);
    const second = source.current();
    expect(second?.accessToken.reveal()).toBe('t-2');
    fetcher.script = undefined;
    await clock.advance(1);
    expect(fetcher.count).toBe(3);
    expect(source.current()).toBe(second);
  });

  it('is started by the first use of a token if that is in its margin', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    source.current();
    await clock.advance(80_000 + 85_000);
    expect(fetcher.count).toBe(2);
    expect(source.current()?.accessToken.reveal()).toBe('t-2');
    expect(fetcher.count).toBe(3);
    await clock.advance(0);
    expect(source.current()?.accessToken.reveal()).toBe('t-3');
  });

  it('is one for any number of callers in the margin', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    source.current();
    fetcher.script = undefined;
    await clock.advance(80_000);
    for (let n = 0; n < 500; n++) {
      source.current();
      void source.token();
    }
    expect(fetcher.count).toBe(2);
  });

  it('starts at the right time for a token that lives longer than the longest timer', async () => {
    const lifetimeMs = 60 * DAY_MS;
    const { fetcher, clock, source } = living(lifetimeMs);
    await source.token();
    source.current();
    await clock.advance(MAX_TIMER_MS + 1);
    await clock.advance(lifetimeMs - 30_000 - MAX_TIMER_MS - 2);
    expect(fetcher.count).toBe(1);
    await clock.advance(1);
    expect(fetcher.count).toBe(2);
    expect(Math.max(...clock.delaysMs)).toBeLessThanOrEqual(MAX_TIMER_MS);
  });

  it('starts for a token that is first used after the longest timer', async () => {
    const lifetimeMs = 60 * DAY_MS;
    const { fetcher, clock, source } = living(lifetimeMs);
    await source.token();
    await clock.advance(lifetimeMs / 2);
    source.current();
    await clock.advance(lifetimeMs / 2 - 30_000);
    expect(fetcher.count).toBe(2);
  });

  it('does not start before its time if a timer fires early', async () => {
    const { fetcher, clock, source } = living(100_000);
    const after = clock.after.bind(clock);
    clock.after = (delayMs, callback) => after(Math.max(1, delayMs - 1), callback);
    await source.token();
    source.current();
    await clock.advance(79_999);
    expect(fetcher.count).toBe(1);
    await clock.advance(1);
    expect(fetcher.count).toBe(2);
  });

  it('does not start after the source is closed', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    source.current();
    expect(clock.timers).toBe(1);
    source.close();
    expect(clock.timers).toBe(0);
    await clock.advance(DAY_MS);
    expect(fetcher.count).toBe(1);
  });

  it('is not scheduled for a token that arrives after the source was closed', async () => {
    const { fetcher, clock, source } = cached();
    const waiting = source.token();
    source.close();
    fetcher.resolve(tokenOf(clock, 't-1'));
    expect((await waiting).accessToken.reveal()).toBe('t-1');
    expect(clock.timers).toBe(0);
  });

  it('is not scheduled after a failure that arrives after the source was closed', async () => {
    const { fetcher, clock, source } = cached();
    const waiting = source.token();
    source.close();
    fetcher.reject(DOWN);
    await expect(waiting).rejects.toThrow(DOWN.message);
    expect(clock.timers).toBe(0);
  });
});

describe('a refresh token', () => {
  it('is the newest one each time, and is used once', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    for (let n = 0; n < 4; n++) {
      source.current();
      await clock.advance(80_000);
    }
    expect(fetcher.requests).toEqual([undefined, 'r-1', 'r-2', 'r-3', 'r-4']);
  });

  it('stays valid after its access token expired', async () => {
    const { fetcher, clock, source } = living(100_000);
    await source.token();
    await clock.advance(DAY_MS);
    await source.token();
    expect(fetcher.requests).toEqual([undefined, 'r-1', 'r-2']);
  });

  it('is used if the access token dies early', async () => {
    const { fetcher, source } = living(100_000);
    const token = await source.token();
    await source.reject(token, callOf('GET', '/x'));
    expect(fetcher.requests).toEqual([undefined, 'r-1']);
  });

  it('is handed to the fetcher again after an exchange that failed', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) =>
      n === 2 ? DOWN : tokenOf(now, `t-${n}`, { lifetimeMs: 100_000, refreshToken: `r-${n}` }),
    );
    await source.token();
    source.current();
    await clock.advance(80_000);
    await clock.advance(1000);
    expect(fetcher.requests).toEqual([undefined, 'r-1', 'r-1']);
  });

  it('is dropped if a response has none', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) =>
      tokenOf(now, `t-${n}`, n === 1 ? { lifetimeMs: 100_000, refreshToken: 'r-1' } : { lifetimeMs: 100_000 }),
    );
    for (let n = 0; n < 2; n++) {
      await source.token();
      await clock.advance(100_000);
    }
    expect(fetcher.requests).toEqual([undefined, 'r-1', undefined]);
  });
});

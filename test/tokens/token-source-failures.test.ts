import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { Backoff } from '../../src/tokens/token-source.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { cached, DOWN, refusalOf, tokenOf } from '../support/token-fakes.ts';

const LADDER_MS = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
const ALMOST_ONE = 1 - Number.EPSILON;

const down = (retryAfterS: number) => new ProxyError('token_unavailable', 'The token request failed.', { retryAfterS });

describe('a failed exchange', () => {
  it('fails for everyone who waits, with the same error and the time to wait', async () => {
    const { fetcher, source } = cached();
    const waiting = Array.from({ length: 50 }, () => refusalOf(source.token()));
    fetcher.reject(DOWN);
    const refusals = new Set(await Promise.all(waiting));
    expect(refusals.size).toBe(1);
    expect([...refusals][0]).toMatchObject({ code: 'token_unavailable', message: DOWN.message, retryAfterS: 1 });
    expect(fetcher.count).toBe(1);
  });

  it('keeps its code, message and cause until the next exchange may start', async () => {
    const cause = new Error('ECONNREFUSED');
    const { clock, source } = cached(() => new ProxyError('token_denied', 'Wrong credentials.', { cause }));
    await refusalOf(source.token());
    await clock.advance(500);
    const refusal = await refusalOf(source.token());
    expect(refusal).toMatchObject({ code: 'token_denied', message: 'Wrong credentials.', cause, retryAfterS: 1 });
  });

  it('with an unexpected error counts as an unavailable token', async () => {
    const { fetcher, clock, source } = cached(() => new TypeError('surprise'));
    const refusal = await refusalOf(source.token());
    expect(refusal).toMatchObject({ code: 'token_unavailable', retryAfterS: 1 });
    expect(refusal.message).not.toContain('surprise');
    await clock.advance(999);
    await refusalOf(source.token());
    expect(fetcher.count).toBe(1);
  });

  it('has a time to wait in whole seconds, rounded up', async () => {
    const { clock, source } = cached(() => down(10));
    const after = async (ms: number) => {
      await clock.advance(ms);
      return (await refusalOf(source.token())).retryAfterS;
    };
    expect(await after(0)).toBe(10);
    expect(await after(1)).toBe(10);
    expect(await after(999)).toBe(9);
    expect(await after(8999)).toBe(1);
  });

  it('is not repeated before the time, however many requests arrive', async () => {
    const { fetcher, clock, source } = cached(() => DOWN);
    for (let n = 0; n < 100; n++) {
      await refusalOf(source.token());
      await clock.advance(9);
    }
    expect(fetcher.count).toBe(1);
  });

  it.each<[string, number, number]>([
    ['without luck', 0, 1],
    ['with half the luck', 0.5, 0.75],
    ['with all the luck', ALMOST_ONE, 0.5],
  ])('is followed by the next exchange after 1 s, doubling to 30 s, %s', async (_, chance, share) => {
    const bench = cached(() => DOWN);
    bench.chance.value = chance;
    const { fetcher, clock, source } = bench;
    await refusalOf(source.token());
    for (const [failures, wholeMs] of LADDER_MS.entries()) {
      const delayMs = Math.ceil(wholeMs * share);
      await clock.advance(delayMs - 1);
      await refusalOf(source.token());
      expect(fetcher.count).toBe(failures + 1);
      await clock.advance(1);
      await refusalOf(source.token());
      expect(fetcher.count).toBe(failures + 2);
    }
  });

  it('starts with 1 s again after a success', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) => (n === 4 ? tokenOf(now, 't') : DOWN));
    for (const delayMs of [1000, 2000, 4000]) {
      await refusalOf(source.token());
      await clock.advance(delayMs);
    }
    const { refreshAtMs } = await source.token();
    await clock.advance(refreshAtMs - clock.now());
    expect(fetcher.count).toBe(5);
    await clock.advance(999);
    expect(fetcher.count).toBe(5);
    await clock.advance(1);
    expect(fetcher.count).toBe(6);
  });

  it('is not repeated without a request if there is no token', async () => {
    const { fetcher, clock, source } = cached(() => DOWN);
    await refusalOf(source.token());
    await clock.advance(86_400_000);
    expect(fetcher.count).toBe(1);
  });

  it('with a Retry-After beyond the backoff is not repeated before that', async () => {
    const { fetcher, clock, source } = cached(() => down(120));
    expect((await refusalOf(source.token())).retryAfterS).toBe(120);
    await clock.advance(119_999);
    expect((await refusalOf(source.token())).retryAfterS).toBe(1);
    expect(fetcher.count).toBe(1);
    await clock.advance(1);
    await refusalOf(source.token());
    expect(fetcher.count).toBe(2);
  });

  it.each([
    [NaN, 1],
    [-5, 1],
    [0, 1],
    [Infinity, 3600],
    [1e9, 3600],
    [3601, 3600],
    [3600, 3600],
  ])('with a Retry-After of %d s is repeated after %i s', async (retryAfterS, waitS) => {
    const { fetcher, clock, source } = cached(() => down(retryAfterS));
    expect((await refusalOf(source.token())).retryAfterS).toBe(waitS);
    await clock.advance(waitS * 1000 - 1);
    await refusalOf(source.token());
    expect(fetcher.count).toBe(1);
    await clock.advance(1);
    await refusalOf(source.token());
    expect(fetcher.count).toBe(2);
  });

  it('with a Retry-After within the backoff is not repeated before the backoff ends', async () => {
    const { fetcher, clock, source } = cached((n) => (n < 4 ? DOWN : down(3)));
    for (const delayMs of [1000, 2000, 4000]) {
      await refusalOf(source.token());
      await clock.advance(delayMs);
    }
    await refusalOf(source.token());
    await clock.advance(7999);
    await refusalOf(source.token());
    expect(fetcher.count).toBe(4);
    await clock.advance(1);
    await refusalOf(source.token());
    expect(fetcher.count).toBe(5);
  });
});

describe('a token that is still valid', () => {
  /** A token of 100 s in use, whose refresh at 80 s fails. */
  async function failing() {
    const bench = cached((n, { clock }) => (n === 1 ? tokenOf(clock, 't-1', { lifetimeMs: 100_000 }) : DOWN));
    const token = await bench.source.token();
    bench.source.current();
    await bench.clock.advance(80_000);
    expect(bench.fetcher.count).toBe(2);
    return { ...bench, token };
  }

  it('is used until it expires while the token endpoint fails', async () => {
    const { clock, source, token } = await failing();
    expect(source.current()).toBe(token);
    expect(await source.token()).toBe(token);
    await clock.advance(19_999);
    expect(source.current()).toBe(token);
    await clock.advance(1);
    expect(source.current()).toBeUndefined();
  });

  it('is refreshed again after 1, 2, 4, 8 s, until it expires', async () => {
    const { fetcher, clock } = await failing();
    const counts: number[] = [];
    for (const ms of [999, 1, 1999, 1, 3999, 1, 7999, 1]) {
      await clock.advance(ms);
      counts.push(fetcher.count);
    }
    expect(counts).toEqual([2, 3, 3, 4, 4, 5, 5, 6]);
    await clock.advance(86_400_000);
    expect(fetcher.count).toBe(6);
    expect(clock.timers).toBe(0);
  });

  it('causes no exchange during the backoff', async () => {
    const { fetcher, clock, source } = await failing();
    await clock.advance(500);
    for (let n = 0; n < 100; n++) source.current();
    expect(fetcher.count).toBe(2);
  });

  it('is replaced as soon as the endpoint works again', async () => {
    const { fetcher, clock, source } = await failing();
    fetcher.script = () => tokenOf(clock, 't-2', { lifetimeMs: 100_000 });
    await clock.advance(1000);
    expect(fetcher.count).toBe(3);
    expect(source.current()?.accessToken.reveal()).toBe('t-2');
  });

  it('is refreshed again though the timer of the backoff fires early', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) =>
      n === 1 ? tokenOf(now, 't-1', { lifetimeMs: 100_000 }) : DOWN,
    );
    const after = clock.after.bind(clock);
    clock.after = (delayMs, callback) => after(Math.max(1, delayMs - 1), callback);
    await source.token();
    source.current();
    await clock.advance(80_000);
    expect(fetcher.count).toBe(2);
    await clock.advance(1001);
    expect(fetcher.count).toBe(3);
  });

  it('expires without another exchange if no request uses it', async () => {
    const { fetcher, clock, source } = cached((n, { clock: now }) =>
      n < 3 ? tokenOf(now, `t-${n}`, { lifetimeMs: 100_000 }) : DOWN,
    );
    await source.token();
    source.current();
    await clock.advance(80_000);
    await clock.advance(86_400_000);
    expect(fetcher.count).toBe(2);
  });
});

describe('the backoff', () => {
  it('does not apply before the first failure', () => {
    const backoff = new Backoff(new ManualClock(), () => 0);
    expect(backoff.pendingError()).toBeUndefined();
    expect(backoff.remainingMs()).toBe(0);
  });

  it('lasts at least half of its time, and at most all of it', () => {
    for (const [failures, wholeMs] of LADDER_MS.entries()) {
      for (const chance of [0, 0.3, ALMOST_ONE]) {
        const backoff = new Backoff(new ManualClock(), () => chance);
        for (let n = 0; n <= failures; n++) backoff.failed(DOWN);
        expect(backoff.remainingMs()).toBeGreaterThanOrEqual(wholeMs / 2);
        expect(backoff.remainingMs()).toBeLessThanOrEqual(wholeMs);
      }
    }
  });

  it('lasts 30 s after any number of failures', () => {
    const backoff = new Backoff(new ManualClock(), () => 0);
    for (let n = 0; n < 5000; n++) backoff.failed(DOWN);
    expect(backoff.remainingMs()).toBe(30_000);
  });

  it('ends if the clock is set back', async () => {
    const clock = new ManualClock();
    const backoff = new Backoff(clock, () => 0);
    backoff.failed(DOWN);
    await clock.advance(-86_400_000);
    expect([backoff.remainingMs(), backoff.retryAtMs, backoff.pendingError()]).toEqual([0, 0, undefined]);
    backoff.failed(DOWN);
    expect(backoff.remainingMs()).toBe(2000);
  });
});

import { describe, expect, it } from 'vitest';
import { ForcedRefreshes } from '../../src/tokens/token-source.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';
import { callOf } from '../support/token-fakes.ts';

function start() {
  const clock = new ManualClock();
  return { clock, refusals: new ForcedRefreshes(clock) };
}

/** The policy after one unconfirmed exchange of each of these clients, in this order and at the same time. */
function afterUnconfirmed(...clients: (string | undefined)[]) {
  const { clock, refusals } = start();
  for (const client of clients) refusals.onForcedExchange(callOf('GET', '/forced', 0, client));
  return { clock, refusals };
}

describe('a refused call forces an exchange', () => {
  const ANYONE = undefined;

  it.each([
    // Unconfirmed exchanges by, time since then, client of the refused call, whether it forces one.
    [[], 0, ANYONE, true],
    [[ANYONE], 0, ANYONE, true],
    [['shop'], 0, 'shop', true],
    [[ANYONE, ANYONE], 0, ANYONE, false],
    [[ANYONE, ANYONE], 4999, ANYONE, false],
    [[ANYONE, ANYONE], 5000, ANYONE, true],
    [['till', 'till'], 4999, 'shop', false],
    [['till', 'till'], 5000, 'shop', true],
    [['till', 'till'], 29_999, 'till', false],
    [['till', 'till'], 29_999, ANYONE, true],
    [['till', 'till'], 30_000, 'till', true],
    [['till', 'shop'], 5000, 'shop', false],
    [['till', 'shop', 'shop'], 5000, 'till', false],
  ])('after unconfirmed exchanges by %j, %i ms later, from client %s: %s', async (clients, laterMs, client, forces) => {
    const { clock, refusals } = afterUnconfirmed(...clients);
    await clock.advance(laterMs);
    expect(refusals.mayForce(callOf('POST', '/pay', 0, client))).toBe(forces);
  });

  it('at once when the clock was set back since the last exchange', () => {
    let nowMs = 1_000_000;
    const refusals = new ForcedRefreshes({ now: () => nowMs, after: () => () => {} });
    refusals.onForcedExchange(callOf('GET', '/a'));
    refusals.onForcedExchange(callOf('GET', '/b'));
    refusals.onRefusedAgain(callOf('GET', '/c'));
    nowMs = 0;
    expect(refusals.mayForce(callOf('GET', '/c'))).toBe(true);
  });
});

describe('the policy', () => {
  it.each([
    [0, false],
    [1, false],
    [2, true],
    [3, true],
  ])('with %i unconfirmed exchanges is restricted: %s', (count, isRestricted) => {
    expect(afterUnconfirmed(...Array<undefined>(count)).refusals.isRestricted()).toBe(isRestricted);
  });

  it('is not restricted 30 s after the last unconfirmed exchange, and is restricted again with the next', async () => {
    const { clock, refusals } = afterUnconfirmed(undefined, undefined);
    await clock.advance(29_999);
    expect(refusals.isRestricted()).toBe(true);
    await clock.advance(1);
    expect(refusals.isRestricted()).toBe(false);
    refusals.onForcedExchange(callOf('GET', '/x'));
    expect(refusals.isRestricted()).toBe(true);
  });

  it.each([
    [599_999, true],
    [600_000, false],
  ])('counts an unconfirmed exchange with one of %i ms before: %s', async (laterMs, isRestricted) => {
    const { clock, refusals } = afterUnconfirmed(undefined);
    await clock.advance(laterMs);
    refusals.onForcedExchange(callOf('GET', '/x'));
    expect(refusals.isRestricted()).toBe(isRestricted);
  });

  it('is not restricted after the call that forced the last exchange is accepted', () => {
    const { refusals } = afterUnconfirmed('shop');
    const call = callOf('POST', '/pay', 0, 'shop');
    refusals.onForcedExchange(call);
    refusals.confirm(call);
    expect(refusals.isRestricted()).toBe(false);
    refusals.onForcedExchange(callOf('GET', '/a', 0, 'till'));
    expect(refusals.isRestricted()).toBe(false);
    refusals.onForcedExchange(callOf('GET', '/b', 0, 'till'));
    expect(refusals.isRestricted()).toBe(true);
  });

  it.each([
    ['another call', callOf('GET', '/other')],
    ['another call of the same client, method and path', callOf('GET', '/forced')],
  ])('stays restricted when %s is accepted', (_, call) => {
    const { refusals } = afterUnconfirmed(undefined, undefined);
    refusals.confirm(call);
    refusals.onAccepted(call);
    expect(refusals.isRestricted()).toBe(true);
  });
});

describe('a token', () => {
  it.each([
    ['before', 99, false],
    ['at the same time as', 100, false],
    ['after', 101, true],
  ])('that is accepted on a call %s the refused one is alive: %s', (_, sentAtMs, alive) => {
    const { refusals } = start();
    refusals.onAccepted(callOf('GET', '/ok', sentAtMs));
    expect(refusals.isAcceptedAfter(callOf('POST', '/pay', 100))).toBe(alive);
  });

  it('is not alive because the previous token was accepted', () => {
    const { refusals } = start();
    refusals.onAccepted(callOf('GET', '/ok', 101));
    refusals.onNewToken();
    expect(refusals.isAcceptedAfter(callOf('POST', '/pay', 100))).toBe(false);
  });
});

describe('a refused call that waits', () => {
  async function waiting() {
    const { clock, refusals } = start();
    const results: boolean[] = [];
    void refusals.waitForAcceptance(callOf('POST', '/pay', 100)).then((accepted) => results.push(accepted));
    await settled();
    return { clock, refusals, results };
  }

  it('does not wait if a later call was accepted already', async () => {
    const { clock, refusals } = start();
    refusals.onAccepted(callOf('GET', '/ok', 101));
    expect(await refusals.waitForAcceptance(callOf('POST', '/pay', 100))).toBe(true);
    expect(clock.timers).toBe(0);
  });

  it('continues as soon as a later call is accepted', async () => {
    const { clock, refusals, results } = await waiting();
    refusals.onAccepted(callOf('GET', '/ok', 100));
    await settled();
    expect(results).toEqual([]);
    refusals.onAccepted(callOf('GET', '/ok', 101));
    await settled();
    expect([results, clock.timers]).toEqual([[true], 0]);
  });

  it('continues after a second without one', async () => {
    const { clock, results } = await waiting();
    await clock.advance(999);
    expect(results).toEqual([]);
    await clock.advance(1);
    expect(results).toEqual([false]);
  });

  it('continues when the token is replaced', async () => {
    const { clock, refusals, results } = await waiting();
    refusals.onNewToken();
    await settled();
    expect([results, clock.timers]).toEqual([[false], 0]);
  });
});

describe('a call that was refused with a fresh token too', () => {
  const BAD = callOf('POST', '/bad', 0, 'shop');

  function suppressed() {
    const { clock, refusals } = start();
    refusals.onRefusedAgain(BAD);
    return { clock, refusals };
  }

  it('forces no exchange for 30 s', async () => {
    const { clock, refusals } = suppressed();
    await clock.advance(29_999);
    expect(refusals.mayForce(BAD)).toBe(false);
    await clock.advance(1);
    expect(refusals.mayForce(BAD)).toBe(true);
  });

  it.each([
    ['POST', '/other', 'shop'],
    ['GET', '/bad', 'shop'],
    ['post', '/bad', 'shop'],
    ['POST', '/bad/more', 'shop'],
    ['POST', '/bad', 'till'],
    ['POST', '/bad', undefined],
  ])('does not prevent %s %s of client %s from forcing one', (method, path, client) => {
    expect(suppressed().refusals.mayForce(callOf(method, path, 0, client))).toBe(true);
  });

  it('may force one again after it is accepted', () => {
    const { refusals } = suppressed();
    refusals.onAccepted(callOf('POST', '/other', 0, 'shop'));
    expect(refusals.mayForce(BAD)).toBe(false);
    refusals.onAccepted(callOf('POST', '/bad', 0, 'shop'));
    expect(refusals.mayForce(BAD)).toBe(true);
  });

  it('is one of up to 1,000 calls and 256 Ki characters', () => {
    const { refusals } = start();
    for (let n = 0; n < 1500; n++) refusals.onRefusedAgain(callOf('GET', `/${n}`));
    expect(refusals.refusedCalls()).toHaveLength(1000);
    for (let n = 0; n < 1500; n++) refusals.onRefusedAgain(callOf('GET', `/${n}/${'x'.repeat(15_000)}`));
    const characters = refusals.refusedCalls().reduce((sum, { call }) => sum + call.length, 0);
    expect(characters).toBeLessThanOrEqual(256 * 1024);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../src/logger.ts';
import { RedisStores } from '../../../src/tokens/store/redis.ts';
import { type StoredToken, StoreUnavailable, type TokenStore } from '../../../src/tokens/store/store.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { PATIENT } from './provider.ts';

const NAME = 'a-credential';
const LONG_MS = 60_000;
const SHORT_MS = 150;
/** An encrypted event, which a store does not read. */
const EVENT = 'encrypted "event"';

async function connect(redis: RedisServer): Promise<RedisStores> {
  const context = { clock: PATIENT, log: silentLog, random: Math.random };
  const stores = await RedisStores.open({ servers: redis.servers, ...context });
  onTestFinished(() => stores.close());
  return stores;
}

async function connectStore(redis: RedisServer): Promise<TokenStore> {
  return (await connect(redis)).storeOf(NAME);
}

const start = async () => await connectStore(await RedisServer.start());

const token = (generation: number, encrypted: string, remainingMs = LONG_MS): StoredToken => ({
  generation,
  encrypted,
  remainingMs,
});

/** @returns the number of the lease. @throws Error if another owner holds it */
async function acquire(store: TokenStore, owner: string, durationMs = LONG_MS): Promise<number> {
  const { fencingNumber } = await store.acquire(owner, durationMs, 0);
  if (fencingNumber === undefined) throw new Error(`${owner} did not get the lease`);
  return fencingNumber;
}

/** The events that a store receives from now on. Resolves when Redis has its subscription. */
async function eventsOf(store: TokenStore, redis: RedisServer): Promise<string[]> {
  const events: string[] = [];
  onTestFinished(store.subscribe((event) => events.push(event)));
  await subscribed(redis);
  return events;
}

async function subscribed(redis: RedisServer): Promise<void> {
  await vi.waitFor(async () => expect(await redis.ask('PUBSUB CHANNELS')).toContain('news'), 10_000);
}

describe.runIf(hasTool('redis-server'))('a store in Redis', { timeout: 60_000 }, () => {
  it('is empty at first', async () => {
    const store = await start();
    expect(await store.read()).toBeUndefined();
  });

  it('returns the token that was saved, and how long it still lives', async () => {
    const store = await start();
    const fencingNumber = await acquire(store, 'one');
    expect(await store.save('one', token(fencingNumber, 'encrypted text'), EVENT)).toBe(true);
    const read = await store.read();
    expect(read).toMatchObject({ generation: fencingNumber, encrypted: 'encrypted text' });
    expect(read?.remainingMs).toBeGreaterThan(0);
    expect(read?.remainingMs).toBeLessThanOrEqual(LONG_MS);
  });

  it('keeps credentials apart', async () => {
    const redis = await RedisServer.start();
    const stores = await connect(redis);
    const fencingNumber = await acquire(stores.storeOf('first'), 'one');
    await stores.storeOf('first').save('one', token(fencingNumber, 'encrypted'), EVENT);
    expect(await stores.storeOf('second').read()).toBeUndefined();
    expect((await stores.storeOf('second').acquire('two', LONG_MS, 0)).fencingNumber).toBeDefined();
  });

  it('grants the lease to one owner only', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await connectStore(redis), await connectStore(redis)];
    expect((await first.acquire('one', LONG_MS, 0)).fencingNumber).toBeGreaterThan(0);
    expect((await second.acquire('two', LONG_MS, 0)).fencingNumber).toBeUndefined();
  });

  it('grants the lease to one of many owners who request it at the same time', async () => {
    const redis = await RedisServer.start();
    const stores = await Promise.all(Array.from({ length: 5 }, () => connectStore(redis)));
    const leases = await Promise.all(stores.map((store, i) => store.acquire(`owner-${i}`, LONG_MS, 0)));
    expect(leases.filter(({ fencingNumber }) => fencingNumber !== undefined)).toHaveLength(1);
  });

  it('returns the stored token with the lease, also if another owner holds the lease', async () => {
    const store = await start();
    const fencingNumber = await acquire(store, 'one');
    await store.save('one', token(fencingNumber, 'encrypted'), EVENT);
    expect((await store.acquire('two', LONG_MS, 0)).stored).toMatchObject({
      generation: fencingNumber,
      encrypted: 'encrypted',
    });
    expect(await store.acquire('three', LONG_MS, 0)).toMatchObject({
      fencingNumber: undefined,
      stored: { generation: fencingNumber, encrypted: 'encrypted' },
    });
  });

  it('numbers the leases upwards, however quickly they follow', async () => {
    const store = await start();
    const numbers: number[] = [];
    for (let i = 0; i < 50; i++) {
      numbers.push(await acquire(store, 'one'));
      await store.release('one', undefined);
    }
    expect(numbers.every((fencingNumber, i) => i === 0 || fencingNumber > numbers[i - 1]!)).toBe(true);
  });

  it('numbers the leases upwards after it lost everything', async () => {
    const redis = await RedisServer.start();
    const store = await connectStore(redis);
    const before = await acquire(store, 'one');
    await redis.ask('FLUSHALL');
    expect(await acquire(store, 'two')).toBeGreaterThan(before);
  });

  it('numbers a lease higher than all that its owner knows', async () => {
    const store = await start();
    const known = Date.now() * 1000 + 3_600_000_000;
    expect((await store.acquire('one', LONG_MS, known)).fencingNumber).toBe(known + 1);
    await store.release('one', undefined);
    expect(await acquire(store, 'two')).toBe(known + 2);
  });

  it('lets only the holder of a lease renew it', async () => {
    const store = await start();
    await acquire(store, 'one', 1000);
    expect(await store.renew('two', LONG_MS)).toBe(false);
    expect(await store.renew('one', LONG_MS)).toBe(true);
    await sleep(1100);
    expect((await store.acquire('two', LONG_MS, 0)).fencingNumber).toBeUndefined();
  });

  it('grants an expired lease to the next owner, with a higher number', async () => {
    const store = await start();
    const first = await acquire(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    expect(await store.renew('one', LONG_MS)).toBe(false);
    expect(await acquire(store, 'two')).toBeGreaterThan(first);
    expect(await store.renew('one', LONG_MS)).toBe(false);
  });

  it('refuses the token of an earlier lease after that of a later one', async () => {
    const redis = await RedisServer.start();
    const store = await connectStore(redis);
    const early = await acquire(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await acquire(store, 'two');
    await store.save('two', token(late, 'newer'), EVENT);
    const events = await eventsOf(store, redis);
    expect(await store.save('one', token(early, 'older'), EVENT)).toBe(false);
    expect(await store.read()).toMatchObject({ generation: late, encrypted: 'newer' });
    expect(events).toEqual([]);
  });

  it('accepts the token of an earlier lease before that of a later one, and keeps the later lease', async () => {
    const store = await start();
    const early = await acquire(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await acquire(store, 'two');
    expect(await store.save('one', token(early, 'older'), EVENT)).toBe(true);
    expect(await store.renew('two', LONG_MS)).toBe(true);
    expect(await store.save('two', token(late, 'newer'), EVENT)).toBe(true);
    expect(await store.read()).toMatchObject({ generation: late, encrypted: 'newer' });
  });

  it('releases the lease when a token is saved, and sends the event to the others', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await connectStore(redis), await connectStore(redis)];
    const events = await eventsOf(second, redis);
    const fencingNumber = await acquire(first, 'one');
    await first.save('one', token(fencingNumber, 'encrypted'), EVENT);
    await vi.waitFor(() => expect(events).toEqual([EVENT]), 10_000);
    expect(await acquire(second, 'two')).toBeGreaterThan(fencingNumber);
  });

  it('releases a lease without a token, and sends the event to the others', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await connectStore(redis), await connectStore(redis)];
    const events = await eventsOf(second, redis);
    await acquire(first, 'one');
    await first.release('one', EVENT);
    await vi.waitFor(() => expect(events).toEqual([EVENT]), 10_000);
    expect((await second.acquire('two', LONG_MS, 0)).fencingNumber).toBeDefined();
  });

  it('does not release the lease of another owner', async () => {
    const redis = await RedisServer.start();
    const store = await connectStore(redis);
    const events = await eventsOf(store, redis);
    await acquire(store, 'one');
    await store.release('two', EVENT);
    expect((await store.acquire('two', LONG_MS, 0)).fencingNumber).toBeUndefined();
    expect(await store.renew('one', LONG_MS)).toBe(true);
    expect(events).toEqual([]);
  });

  it('deletes a token when it expires, and still refuses an earlier one', async () => {
    const store = await start();
    const early = await acquire(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await acquire(store, 'two');
    await store.save('two', token(late, 'encrypted', 1000), EVENT);
    expect(await store.read()).toMatchObject({ encrypted: 'encrypted' });
    await sleep(1100);
    expect(await store.read()).toBeUndefined();
    expect(await store.save('one', token(early, 'older'), EVENT)).toBe(false);
    expect(await store.read()).toBeUndefined();
  });

  it('sends no events to a listener that unsubscribed', async () => {
    const redis = await RedisServer.start();
    const store = await connectStore(redis);
    const ignored: string[] = [];
    const unsubscribe = store.subscribe((event) => ignored.push(event));
    const events = await eventsOf(store, redis);
    unsubscribe();
    await acquire(store, 'one');
    await store.release('one', EVENT);
    await vi.waitFor(() => expect(events).toHaveLength(1), 10_000);
    expect(ignored).toEqual([]);
  });

  it('sends each event once, also after Redis was away several times', async () => {
    const redis = await RedisServer.start();
    const store = await connectStore(redis);
    const events = await eventsOf(store, redis);
    for (let i = 0; i < 2; i++) {
      await redis.kill();
      await redis.run();
      await subscribed(redis);
      await vi.waitFor(() => store.read(), 10_000);
    }
    await acquire(store, 'one');
    await store.release('one', EVENT);
    await vi.waitFor(() => expect(events).not.toEqual([]), 10_000);
    await sleep(SHORT_MS);
    expect(events).toHaveLength(1);
  });

  it('is unavailable while Redis is away, and works when it is back', async () => {
    const redis = await RedisServer.absent();
    const store = await connectStore(redis);
    await expect(store.read()).rejects.toBeInstanceOf(StoreUnavailable);
    await expect(store.acquire('one', LONG_MS, 0)).rejects.toBeInstanceOf(StoreUnavailable);
    await redis.run();
    await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), 10_000);
  });

  it('receives events if Redis starts after the subscription', async () => {
    const redis = await RedisServer.absent();
    const store = await connectStore(redis);
    const events: string[] = [];
    onTestFinished(store.subscribe((event) => events.push(event)));
    await redis.run();
    await subscribed(redis);
    const fencingNumber = await vi.waitFor(() => acquire(store, 'one'), 10_000);
    await store.save('one', token(fencingNumber, 'encrypted'), EVENT);
    await vi.waitFor(() => expect(events).not.toEqual([]), 10_000);
  });

  it('is unavailable while Redis does not respond, and works when it does', async () => {
    const redis = await RedisServer.start();
    const store = await connectStore(redis);
    redis.pause();
    await expect(store.read()).rejects.toBeInstanceOf(StoreUnavailable);
    redis.resume();
    await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), 10_000);
  });
});

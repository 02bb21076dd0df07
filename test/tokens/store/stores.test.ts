import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../src/logger.ts';
import { Secret } from '../../../src/secret.ts';
import { RedisStores } from '../../../src/tokens/store/redis.ts';
import { type StoredToken, StoreUnavailable, type TokenStore } from '../../../src/tokens/store/store.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { PATIENT } from './provider.ts';

const NAME = 'a-credential';
const LONG_MS = 60_000;
const SHORT_MS = 150;
/** What a replica tells the others: sealed, and nothing that a store reads. */
const NEWS = 'sealed "news"';

async function boardsOf(redis: RedisServer): Promise<RedisStores> {
  const context = { clock: PATIENT, log: silentLog, random: Math.random };
  const stores = await RedisStores.open({ url: new Secret(redis.url), ...context });
  onTestFinished(() => stores.close());
  return stores;
}

async function boardOf(redis: RedisServer): Promise<TokenStore> {
  return (await boardsOf(redis)).storeOf(NAME);
}

const start = async () => await boardOf(await RedisServer.start());

const posted = (generation: number, sealed: string, remainingMs = LONG_MS): StoredToken => ({
  generation,
  encrypted: sealed,
  remainingMs,
});

/** @throws if the turn is someone else's */
async function turn(store: TokenStore, owner: string, lockMs = LONG_MS): Promise<number> {
  const { fencingNumber: fencingNumber } = await store.acquire(owner, lockMs, 0);
  if (fencingNumber === undefined) throw new Error(`${owner} did not get the turn`);
  return fencingNumber;
}

/** The news that a store hears from here on, once Redis knows that it listens. */
async function heardBy(store: TokenStore, redis: RedisServer): Promise<string[]> {
  const heard: string[] = [];
  onTestFinished(store.subscribe((news) => heard.push(news)));
  await listening(redis);
  return heard;
}

async function listening(redis: RedisServer): Promise<void> {
  await vi.waitFor(async () => expect(await redis.ask('PUBSUB CHANNELS')).toContain('news'), 10_000);
}

describe.runIf(hasTool('redis-server'))('a store in Redis', { timeout: 60_000 }, () => {
  it('has nothing to read at first', async () => {
    const store = await start();
    expect(await store.read()).toBeUndefined();
  });

  it('shows what was posted, and how long it still lives', async () => {
    const store = await start();
    const fencingNumber = await turn(store, 'one');
    expect(await store.save('one', posted(fencingNumber, 'sealed text'), NEWS)).toBe(true);
    const read = await store.read();
    expect(read).toMatchObject({ generation: fencingNumber, encrypted: 'sealed text' });
    expect(read?.remainingMs).toBeGreaterThan(0);
    expect(read?.remainingMs).toBeLessThanOrEqual(LONG_MS);
  });

  it('keeps credentials apart', async () => {
    const redis = await RedisServer.start();
    const stores = await boardsOf(redis);
    const fencingNumber = await turn(stores.storeOf('first'), 'one');
    await stores.storeOf('first').save('one', posted(fencingNumber, 'sealed'), NEWS);
    expect(await stores.storeOf('second').read()).toBeUndefined();
    expect((await stores.storeOf('second').acquire('two', LONG_MS, 0)).fencingNumber).toBeDefined();
  });

  it('gives the turn to one owner only', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await boardOf(redis), await boardOf(redis)];
    expect((await first.acquire('one', LONG_MS, 0)).fencingNumber).toBeGreaterThan(0);
    expect((await second.acquire('two', LONG_MS, 0)).fencingNumber).toBeUndefined();
  });

  it('gives the turn to one of many who want it at the same time', async () => {
    const redis = await RedisServer.start();
    const stores = await Promise.all(Array.from({ length: 5 }, () => boardOf(redis)));
    const turns = await Promise.all(stores.map((store, i) => store.acquire(`owner-${i}`, LONG_MS, 0)));
    expect(turns.filter(({ fencingNumber: fencingNumber }) => fencingNumber !== undefined)).toHaveLength(1);
  });

  it('tells whoever wants the turn what is posted, also when someone else has it', async () => {
    const store = await start();
    const fencingNumber = await turn(store, 'one');
    await store.save('one', posted(fencingNumber, 'sealed'), NEWS);
    expect((await store.acquire('two', LONG_MS, 0)).stored).toMatchObject({
      generation: fencingNumber,
      encrypted: 'sealed',
    });
    expect(await store.acquire('three', LONG_MS, 0)).toMatchObject({
      fencingNumber: undefined,
      stored: { generation: fencingNumber, encrypted: 'sealed' },
    });
  });

  it('numbers the turns upward, however quickly they follow', async () => {
    const store = await start();
    const fences: number[] = [];
    for (let i = 0; i < 50; i++) {
      fences.push(await turn(store, 'one'));
      await store.release('one', undefined);
    }
    expect(fences.every((fencingNumber, i) => i === 0 || fencingNumber > fences[i - 1]!)).toBe(true);
  });

  it('numbers the turns upward after it lost everything', async () => {
    const redis = await RedisServer.start();
    const store = await boardOf(redis);
    const before = await turn(store, 'one');
    await redis.ask('FLUSHALL');
    expect(await turn(store, 'two')).toBeGreaterThan(before);
  });

  it('numbers a turn above all that its owner knows of', async () => {
    const store = await start();
    const known = Date.now() * 1000 + 3_600_000_000;
    expect((await store.acquire('one', LONG_MS, known)).fencingNumber).toBe(known + 1);
    await store.release('one', undefined);
    expect(await turn(store, 'two')).toBe(known + 2);
  });

  it('lets the owner of a turn keep it, and nobody else', async () => {
    const store = await start();
    await turn(store, 'one', 1000);
    expect(await store.renew('two', LONG_MS)).toBe(false);
    expect(await store.renew('one', LONG_MS)).toBe(true);
    await sleep(1100);
    expect((await store.acquire('two', LONG_MS, 0)).fencingNumber).toBeUndefined();
  });

  it('gives a turn that ran out to the next, with a higher number', async () => {
    const store = await start();
    const first = await turn(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    expect(await store.renew('one', LONG_MS)).toBe(false);
    expect(await turn(store, 'two')).toBeGreaterThan(first);
    expect(await store.renew('one', LONG_MS)).toBe(false);
  });

  it('refuses what an earlier turn posts after a later one', async () => {
    const redis = await RedisServer.start();
    const store = await boardOf(redis);
    const early = await turn(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await turn(store, 'two');
    await store.save('two', posted(late, 'newer'), NEWS);
    const heard = await heardBy(store, redis);
    expect(await store.save('one', posted(early, 'older'), NEWS)).toBe(false);
    expect(await store.read()).toMatchObject({ generation: late, encrypted: 'newer' });
    expect(heard).toEqual([]);
  });

  it('takes what an earlier turn posts before a later one, and leaves that one its turn', async () => {
    const store = await start();
    const early = await turn(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await turn(store, 'two');
    expect(await store.save('one', posted(early, 'older'), NEWS)).toBe(true);
    expect(await store.renew('two', LONG_MS)).toBe(true);
    expect(await store.save('two', posted(late, 'newer'), NEWS)).toBe(true);
    expect(await store.read()).toMatchObject({ generation: late, encrypted: 'newer' });
  });

  it('ends the turn with a post, and tells the others', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await boardOf(redis), await boardOf(redis)];
    const heard = await heardBy(second, redis);
    const fencingNumber = await turn(first, 'one');
    await first.save('one', posted(fencingNumber, 'sealed'), NEWS);
    await vi.waitFor(() => expect(heard).toEqual([NEWS]), 10_000);
    expect(await turn(second, 'two')).toBeGreaterThan(fencingNumber);
  });

  it('ends the turn without a token, and tells the others why', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await boardOf(redis), await boardOf(redis)];
    const heard = await heardBy(second, redis);
    await turn(first, 'one');
    await first.release('one', NEWS);
    await vi.waitFor(() => expect(heard).toEqual([NEWS]), 10_000);
    expect((await second.acquire('two', LONG_MS, 0)).fencingNumber).toBeDefined();
  });

  it('does nothing when someone ends a turn of another', async () => {
    const redis = await RedisServer.start();
    const store = await boardOf(redis);
    const heard = await heardBy(store, redis);
    await turn(store, 'one');
    await store.release('two', NEWS);
    expect((await store.acquire('two', LONG_MS, 0)).fencingNumber).toBeUndefined();
    expect(await store.renew('one', LONG_MS)).toBe(true);
    expect(heard).toEqual([]);
  });

  it('drops a token when its life ends, and still refuses an earlier one', async () => {
    const store = await start();
    const early = await turn(store, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await turn(store, 'two');
    await store.save('two', posted(late, 'sealed', 1000), NEWS);
    expect(await store.read()).toMatchObject({ encrypted: 'sealed' });
    await sleep(1100);
    expect(await store.read()).toBeUndefined();
    expect(await store.save('one', posted(early, 'older'), NEWS)).toBe(false);
    expect(await store.read()).toBeUndefined();
  });

  it('stops telling a listener that ended', async () => {
    const redis = await RedisServer.start();
    const store = await boardOf(redis);
    const ended: string[] = [];
    const end = store.subscribe((news) => ended.push(news));
    const heard = await heardBy(store, redis);
    end();
    await turn(store, 'one');
    await store.release('one', NEWS);
    await vi.waitFor(() => expect(heard).toHaveLength(1), 10_000);
    expect(ended).toEqual([]);
  });

  it('tells each news once, also after Redis was away several times', async () => {
    const redis = await RedisServer.start();
    const store = await boardOf(redis);
    const heard = await heardBy(store, redis);
    for (let i = 0; i < 2; i++) {
      await redis.kill();
      await redis.run();
      await listening(redis);
      await vi.waitFor(() => store.read(), 10_000);
    }
    await turn(store, 'one');
    await store.release('one', NEWS);
    await vi.waitFor(() => expect(heard).not.toEqual([]), 10_000);
    await sleep(SHORT_MS);
    expect(heard).toHaveLength(1);
  });

  it('says that it is down while Redis is away, and works when it is there', async () => {
    const redis = await RedisServer.absent();
    const store = await boardOf(redis);
    await expect(store.read()).rejects.toBeInstanceOf(StoreUnavailable);
    await expect(store.acquire('one', LONG_MS, 0)).rejects.toBeInstanceOf(StoreUnavailable);
    await redis.run();
    await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), 10_000);
  });

  it('hears the news when Redis came only after it began to listen', async () => {
    const redis = await RedisServer.absent();
    const store = await boardOf(redis);
    const heard: string[] = [];
    onTestFinished(store.subscribe((news) => heard.push(news)));
    await redis.run();
    await listening(redis);
    const fencingNumber = await vi.waitFor(() => turn(store, 'one'), 10_000);
    await store.save('one', posted(fencingNumber, 'sealed'), NEWS);
    await vi.waitFor(() => expect(heard).not.toEqual([]), 10_000);
  });

  it('says that it is down while Redis does not answer, and works when it does', async () => {
    const redis = await RedisServer.start();
    const store = await boardOf(redis);
    redis.pause();
    await expect(store.read()).rejects.toBeInstanceOf(StoreUnavailable);
    redis.resume();
    await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), 10_000);
  });
});

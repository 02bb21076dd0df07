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
/** What a replica tells the others: sealed, and nothing that a board reads. */
const NEWS = 'sealed "news"';

async function boardsOf(redis: RedisServer): Promise<RedisStores> {
  const context = { clock: PATIENT, log: silentLog, random: Math.random };
  const boards = await RedisStores.open({ url: new Secret(redis.url), ...context });
  onTestFinished(() => boards.close());
  return boards;
}

async function boardOf(redis: RedisServer): Promise<TokenStore> {
  return (await boardsOf(redis)).board(NAME);
}

const start = async () => await boardOf(await RedisServer.start());

const posted = (generation: number, sealed: string, remainingMs = LONG_MS): StoredToken => ({
  generation,
  sealed,
  remainingMs,
});

/** @throws if the turn is someone else's */
async function turn(board: TokenStore, owner: string, lockMs = LONG_MS): Promise<number> {
  const { fence } = await board.acquire(owner, lockMs, 0);
  if (fence === undefined) throw new Error(`${owner} did not get the turn`);
  return fence;
}

/** The news that a board hears from here on, once Redis knows that it listens. */
async function heardBy(board: TokenStore, redis: RedisServer): Promise<string[]> {
  const heard: string[] = [];
  onTestFinished(board.subscribe((news) => heard.push(news)));
  await listening(redis);
  return heard;
}

async function listening(redis: RedisServer): Promise<void> {
  await vi.waitFor(async () => expect(await redis.ask('PUBSUB CHANNELS')).toContain('news'), 10_000);
}

describe.runIf(hasTool('redis-server'))('a board in Redis', { timeout: 60_000 }, () => {
  it('has nothing to read at first', async () => {
    const board = await start();
    expect(await board.read()).toBeUndefined();
  });

  it('shows what was posted, and how long it still lives', async () => {
    const board = await start();
    const fence = await turn(board, 'one');
    expect(await board.post('one', posted(fence, 'sealed text'), NEWS)).toBe(true);
    const read = await board.read();
    expect(read).toMatchObject({ generation: fence, sealed: 'sealed text' });
    expect(read?.remainingMs).toBeGreaterThan(0);
    expect(read?.remainingMs).toBeLessThanOrEqual(LONG_MS);
  });

  it('keeps credentials apart', async () => {
    const redis = await RedisServer.start();
    const boards = await boardsOf(redis);
    const fence = await turn(boards.board('first'), 'one');
    await boards.board('first').post('one', posted(fence, 'sealed'), NEWS);
    expect(await boards.board('second').read()).toBeUndefined();
    expect((await boards.board('second').acquire('two', LONG_MS, 0)).fence).toBeDefined();
  });

  it('gives the turn to one owner only', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await boardOf(redis), await boardOf(redis)];
    expect((await first.acquire('one', LONG_MS, 0)).fence).toBeGreaterThan(0);
    expect((await second.acquire('two', LONG_MS, 0)).fence).toBeUndefined();
  });

  it('gives the turn to one of many who want it at the same time', async () => {
    const redis = await RedisServer.start();
    const boards = await Promise.all(Array.from({ length: 5 }, () => boardOf(redis)));
    const turns = await Promise.all(boards.map((board, i) => board.acquire(`owner-${i}`, LONG_MS, 0)));
    expect(turns.filter(({ fence }) => fence !== undefined)).toHaveLength(1);
  });

  it('tells whoever wants the turn what is posted, also when someone else has it', async () => {
    const board = await start();
    const fence = await turn(board, 'one');
    await board.post('one', posted(fence, 'sealed'), NEWS);
    expect((await board.acquire('two', LONG_MS, 0)).posted).toMatchObject({ generation: fence, sealed: 'sealed' });
    expect(await board.acquire('three', LONG_MS, 0)).toMatchObject({
      fence: undefined,
      posted: { generation: fence, sealed: 'sealed' },
    });
  });

  it('numbers the turns upward, however quickly they follow', async () => {
    const board = await start();
    const fences: number[] = [];
    for (let i = 0; i < 50; i++) {
      fences.push(await turn(board, 'one'));
      await board.release('one', undefined);
    }
    expect(fences.every((fence, i) => i === 0 || fence > fences[i - 1]!)).toBe(true);
  });

  it('numbers the turns upward after it lost everything', async () => {
    const redis = await RedisServer.start();
    const board = await boardOf(redis);
    const before = await turn(board, 'one');
    await redis.ask('FLUSHALL');
    expect(await turn(board, 'two')).toBeGreaterThan(before);
  });

  it('numbers a turn above all that its owner knows of', async () => {
    const board = await start();
    const known = Date.now() * 1000 + 3_600_000_000;
    expect((await board.acquire('one', LONG_MS, known)).fence).toBe(known + 1);
    await board.release('one', undefined);
    expect(await turn(board, 'two')).toBe(known + 2);
  });

  it('lets the owner of a turn keep it, and nobody else', async () => {
    const board = await start();
    await turn(board, 'one', 1000);
    expect(await board.renew('two', LONG_MS)).toBe(false);
    expect(await board.renew('one', LONG_MS)).toBe(true);
    await sleep(1100);
    expect((await board.acquire('two', LONG_MS, 0)).fence).toBeUndefined();
  });

  it('gives a turn that ran out to the next, with a higher number', async () => {
    const board = await start();
    const first = await turn(board, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    expect(await board.renew('one', LONG_MS)).toBe(false);
    expect(await turn(board, 'two')).toBeGreaterThan(first);
    expect(await board.renew('one', LONG_MS)).toBe(false);
  });

  it('refuses what an earlier turn posts after a later one', async () => {
    const redis = await RedisServer.start();
    const board = await boardOf(redis);
    const early = await turn(board, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await turn(board, 'two');
    await board.post('two', posted(late, 'newer'), NEWS);
    const heard = await heardBy(board, redis);
    expect(await board.post('one', posted(early, 'older'), NEWS)).toBe(false);
    expect(await board.read()).toMatchObject({ generation: late, sealed: 'newer' });
    expect(heard).toEqual([]);
  });

  it('takes what an earlier turn posts before a later one, and leaves that one its turn', async () => {
    const board = await start();
    const early = await turn(board, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await turn(board, 'two');
    expect(await board.post('one', posted(early, 'older'), NEWS)).toBe(true);
    expect(await board.renew('two', LONG_MS)).toBe(true);
    expect(await board.post('two', posted(late, 'newer'), NEWS)).toBe(true);
    expect(await board.read()).toMatchObject({ generation: late, sealed: 'newer' });
  });

  it('ends the turn with a post, and tells the others', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await boardOf(redis), await boardOf(redis)];
    const heard = await heardBy(second, redis);
    const fence = await turn(first, 'one');
    await first.post('one', posted(fence, 'sealed'), NEWS);
    await vi.waitFor(() => expect(heard).toEqual([NEWS]), 10_000);
    expect(await turn(second, 'two')).toBeGreaterThan(fence);
  });

  it('ends the turn without a token, and tells the others why', async () => {
    const redis = await RedisServer.start();
    const [first, second] = [await boardOf(redis), await boardOf(redis)];
    const heard = await heardBy(second, redis);
    await turn(first, 'one');
    await first.release('one', NEWS);
    await vi.waitFor(() => expect(heard).toEqual([NEWS]), 10_000);
    expect((await second.acquire('two', LONG_MS, 0)).fence).toBeDefined();
  });

  it('does nothing when someone ends a turn of another', async () => {
    const redis = await RedisServer.start();
    const board = await boardOf(redis);
    const heard = await heardBy(board, redis);
    await turn(board, 'one');
    await board.release('two', NEWS);
    expect((await board.acquire('two', LONG_MS, 0)).fence).toBeUndefined();
    expect(await board.renew('one', LONG_MS)).toBe(true);
    expect(heard).toEqual([]);
  });

  it('drops a token when its life ends, and still refuses an earlier one', async () => {
    const board = await start();
    const early = await turn(board, 'one', SHORT_MS);
    await sleep(2 * SHORT_MS);
    const late = await turn(board, 'two');
    await board.post('two', posted(late, 'sealed', 1000), NEWS);
    expect(await board.read()).toMatchObject({ sealed: 'sealed' });
    await sleep(1100);
    expect(await board.read()).toBeUndefined();
    expect(await board.post('one', posted(early, 'older'), NEWS)).toBe(false);
    expect(await board.read()).toBeUndefined();
  });

  it('stops telling a listener that ended', async () => {
    const redis = await RedisServer.start();
    const board = await boardOf(redis);
    const ended: string[] = [];
    const end = board.subscribe((news) => ended.push(news));
    const heard = await heardBy(board, redis);
    end();
    await turn(board, 'one');
    await board.release('one', NEWS);
    await vi.waitFor(() => expect(heard).toHaveLength(1), 10_000);
    expect(ended).toEqual([]);
  });

  it('tells each news once, also after Redis was away several times', async () => {
    const redis = await RedisServer.start();
    const board = await boardOf(redis);
    const heard = await heardBy(board, redis);
    for (let i = 0; i < 2; i++) {
      await redis.kill();
      await redis.run();
      await listening(redis);
      await vi.waitFor(() => board.read(), 10_000);
    }
    await turn(board, 'one');
    await board.release('one', NEWS);
    await vi.waitFor(() => expect(heard).not.toEqual([]), 10_000);
    await sleep(SHORT_MS);
    expect(heard).toHaveLength(1);
  });

  it('says that it is down while Redis is away, and works when it is there', async () => {
    const redis = await RedisServer.absent();
    const board = await boardOf(redis);
    await expect(board.read()).rejects.toBeInstanceOf(StoreUnavailable);
    await expect(board.acquire('one', LONG_MS, 0)).rejects.toBeInstanceOf(StoreUnavailable);
    await redis.run();
    await vi.waitFor(async () => expect(await board.read()).toBeUndefined(), 10_000);
  });

  it('hears the news when Redis came only after it began to listen', async () => {
    const redis = await RedisServer.absent();
    const board = await boardOf(redis);
    const heard: string[] = [];
    onTestFinished(board.subscribe((news) => heard.push(news)));
    await redis.run();
    await listening(redis);
    const fence = await vi.waitFor(() => turn(board, 'one'), 10_000);
    await board.post('one', posted(fence, 'sealed'), NEWS);
    await vi.waitFor(() => expect(heard).not.toEqual([]), 10_000);
  });

  it('says that it is down while Redis does not answer, and works when it does', async () => {
    const redis = await RedisServer.start();
    const board = await boardOf(redis);
    redis.pause();
    await expect(board.read()).rejects.toBeInstanceOf(StoreUnavailable);
    redis.resume();
    await vi.waitFor(async () => expect(await board.read()).toBeUndefined(), 10_000);
  });
});

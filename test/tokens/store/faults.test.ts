import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import type { LogEvent } from '../../../src/logger.ts';
import type { StartedProxy } from '../../support/proxy-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { CREDENTIAL, exchangesAfterDeath, expectServed, HEALED, healed, KEY, Provider, statusOf } from './provider.ts';

const OTHER_KEY = 'another encryption key for tests, long enough';

const NOT_CONNECTED = 'token_store_disconnected';
const CONNECTED = 'token_store_connected';
const UNAVAILABLE = 'token_store_unavailable';
const UNREADABLE = 'token_store_token_unreadable';

const lines = ({ log }: StartedProxy, name: LogEvent) => log.filter(({ event }) => event === name);

/** Fingerprints of the tokens that a replica has had. It may get one twice: by an event and by a wait. */
const tokensOf = (proxy: StartedProxy) => [...new Set(lines(proxy, 'token_fetched').map(({ token }) => token))];

async function connectedAgain(...proxies: readonly StartedProxy[]): Promise<void> {
  await Promise.all(proxies.map((proxy) => proxy.logged(CONNECTED)));
}

/** Every key, and what lies under it. */
async function everythingIn(redis: RedisServer): Promise<Map<string, string>> {
  const keys = (await redis.ask('KEYS *')).split('\r\n').filter((line) => line.startsWith('wakala'));
  const values = keys.map(async (key): Promise<[string, string]> => {
    const command = (await redis.ask(`TYPE ${key}`)).startsWith('+hash') ? 'HGETALL' : 'GET';
    return [key, await redis.ask(`${command} ${key}`)];
  });
  return new Map(await Promise.all(values));
}

async function generationIn(redis: RedisServer): Promise<number> {
  const [, stored = ''] = [...(await everythingIn(redis))].find(([key]) => key.endsWith(':token')) ?? [];
  return Number(/^\$\d+\r\n(\d+) /.exec(stored)?.[1]);
}

describe.runIf(hasTool('redis-server'))('replicas whose token store', { timeout: 60_000 }, () => {
  it('is absent at the start serve requests, log that once, and share tokens when it comes', async () => {
    const redis = await RedisServer.absent();
    const provider = await Provider.start();
    const first = await provider.replica(redis.url);
    await expectServed(first, first);
    expect(provider.exchanges).toBe(1);
    await redis.run();
    await connectedAgain(first);
    expect(lines(first, NOT_CONNECTED)).toHaveLength(1);
    expect(lines(first, UNAVAILABLE)).toHaveLength(1);

    expect(await exchangesAfterDeath(provider, first)).toBe(1);
    await expectServed(await provider.replica(redis.url));
    expect(provider.exchanges).toBe(2);
    expect(lines(first, 'token_store_available')).toHaveLength(1);
  });

  it('dies while in use fetch their own tokens, and share again when it is back', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    const all = await Promise.all([provider.replica(redis.url), provider.replica(redis.url)]);
    await expectServed(...all);
    expect(provider.exchanges).toBe(1);

    await redis.kill();
    await expectServed(...all, ...all);
    expect(provider.exchanges).toBe(1);
    expect(await exchangesAfterDeath(provider, ...all)).toBe(2);

    await redis.run();
    await connectedAgain(...all);
    await expectServed(...all, ...all);
    expect(provider.exchanges).toBe(3);
    expect(await healed(provider, ...all)).toBeLessThanOrEqual(6);
    expect(all.map((proxy) => lines(proxy, NOT_CONNECTED).length)).toEqual([1, 1]);
    for (const proxy of all) {
      expect(lines(proxy, NOT_CONNECTED)[0]?.['error']).toMatch(/^(ECONN|EPIPE|SocketClosed)/);
    }
  });

  it('stops responding still serve quickly, and share again when it responds', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    const connected = await provider.replica(redis.url, {}, systemClock);
    redis.pause();
    const connecting = await provider.replica(redis.url, {}, systemClock);
    const startedMs = performance.now();
    await expectServed(connected);
    await expectServed(connecting);
    expect(provider.exchanges).toBe(2);
    await expectServed(connected, connecting);
    expect(provider.exchanges).toBe(2);
    expect(await exchangesAfterDeath(provider, connected, connecting)).toBe(2);
    expect(performance.now() - startedMs).toBeLessThan(3000);

    redis.resume();
    expect(await healed(provider, connected, connecting)).toBeLessThanOrEqual(12);
  });

  it('dies during an exchange still serve all requests that wait', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    const both = await Promise.all([provider.replica(redis.url), provider.replica(redis.url)]);
    await expectServed(...both);
    provider.killTokens();
    provider.upstream.delayTokensMs = 500;
    const responses = Promise.all(both.flatMap((proxy) => [statusOf(proxy), statusOf(proxy)]));
    await vi.waitUntil(async () => (await redis.ask('KEYS *turn')).includes(':turn'), HEALED);
    await redis.kill();
    expect(await responses).toEqual([200, 200, 200, 200]);
    expect(provider.exchanges).toBeLessThanOrEqual(4);
    await redis.run();
    await connectedAgain(...both);
    expect(await healed(provider, ...both)).toBeLessThanOrEqual(6);
  });

  it('became a read-only copy, as in a failover, fetch their own tokens, and share when it accepts writes again', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    const both = await Promise.all([provider.replica(redis.url), provider.replica(redis.url)]);
    await redis.ask(`REPLICAOF 127.0.0.1 1`);
    await expectServed(...both);
    expect(provider.exchanges).toBe(2);
    expect(lines(both[0], UNAVAILABLE)[0]).toMatchObject({ error: 'READONLY' });
    await redis.ask('REPLICAOF NO ONE');
    expect(await healed(provider, ...both)).toBeLessThanOrEqual(6);
  });

  it('refuses their password fetch their own tokens, and log why without the password', async () => {
    const redis = await RedisServer.start(['--requirepass', 'the-right-password']);
    const provider = await Provider.start();
    const url = redis.url.replace('//', '//:canary-wrong-password@');
    const all = await Promise.all([provider.replica(url), provider.replica(url)]);
    await expectServed(...all, ...all);
    expect(provider.exchanges).toBe(2);
    for (const proxy of all) {
      expect((await proxy.logged(NOT_CONNECTED))['error']).toMatch(/^(WRONGPASS|NOAUTH)$/);
      expect(proxy.logText()).not.toContain('canary-wrong-password');
    }
  });

  it('requires a password that they lack fetch their own tokens, and log why', async () => {
    const redis = await RedisServer.start(['--requirepass', 'the-right-password']);
    const provider = await Provider.start();
    const proxy = await provider.replica(redis.url);
    await expectServed(proxy);
    expect((await proxy.logged(NOT_CONNECTED))['error']).toMatch(/^(WRONGPASS|NOAUTH)$/);
  });

  it('accepts their password later share from then on', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    await redis.ask('CONFIG SET requirepass the-right-password');
    const url = redis.url.replace('//', '//:another-password@');
    const all = await Promise.all([provider.replica(url), provider.replica(url)]);
    await expectServed(...all);
    await redis.kill();
    await redis.run();
    await redis.ask('CONFIG SET requirepass another-password');
    await connectedAgain(...all);
    await healed(provider, ...all);
  });

  it('accepts their password share tokens', async () => {
    const redis = await RedisServer.start(['--requirepass', 'the-right-password']);
    const provider = await Provider.start();
    const url = redis.url.replace('//', '//:the-right-password@');
    const all = await Promise.all([provider.replica(url), provider.replica(url)]);
    await expectServed(...all);
    expect(provider.exchanges).toBe(1);
    for (const proxy of all) expect(proxy.logText()).not.toContain('the-right-password');
  });

  it('is full fetch their own tokens, log that, and share when memory is free', async () => {
    const redis = await RedisServer.start(['--maxmemory-policy', 'noeviction']);
    const provider = await Provider.start();
    await redis.ask('CONFIG SET maxmemory 1');
    const all = await Promise.all([provider.replica(redis.url), provider.replica(redis.url)]);
    await expectServed(...all, ...all);
    expect(provider.exchanges).toBe(2);
    for (const proxy of all) expect(await proxy.logged(UNAVAILABLE)).toMatchObject({ error: 'OOM' });
    await redis.ask('CONFIG SET maxmemory 0');
    expect(await healed(provider, ...all)).toBeLessThanOrEqual(6);
  });

  it('lost everything share the next token, and it is newer for all', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    const [first, second] = await Promise.all([provider.replica(redis.url), provider.replica(redis.url)]);
    await expectServed(first, second);
    const generation = await generationIn(redis);
    expect(generation).toBeGreaterThan(0);

    await redis.ask('FLUSHALL');
    expect(await exchangesAfterDeath(provider, first)).toBe(1);
    expect(await generationIn(redis)).toBeGreaterThan(generation);

    // The second replica got the event: it never sends the dead token again.
    await vi.waitFor(() => expect(tokensOf(second)).toHaveLength(2), HEALED);
    const requests = provider.upstream.requests.length;
    await expectServed(second);
    expect(provider.upstream.requests).toHaveLength(requests + 1);
    expect(provider.exchanges).toBe(2);
  });

  it('lost everything share the next token if both need it at once', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    const all = await Promise.all([provider.replica(redis.url), provider.replica(redis.url)]);
    await expectServed(...all);
    await redis.ask('FLUSHALL');
    expect(await exchangesAfterDeath(provider, ...all)).toBe(1);
  });

  it('has a token with another key ignore it, log an error, and serve', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    const first = await provider.replica(redis.url);
    const second = await provider.replica(redis.url, { encryption_key: OTHER_KEY });
    await expectServed(first);
    await expectServed(second);
    expect(provider.exchanges).toBe(2);
    expect(['error', 50]).toContain((await second.logged(UNREADABLE))['level']);

    for (let i = 0; i < 5; i++) await expectServed(first, second);
    expect(provider.exchanges).toBe(2);
    for (let i = 0; i < 3; i++) expect(await exchangesAfterDeath(provider, first, second)).toBe(2);
    for (const proxy of [first, second]) {
      expect(proxy.logText()).not.toContain(KEY);
      expect(proxy.logText()).not.toContain(OTHER_KEY);
    }
  });

  it('has a token with their previous key use it', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    await expectServed(await provider.replica(redis.url));
    const rotated = { encryption_key: OTHER_KEY, previous_keys: [KEY] };
    const next = await provider.replica(redis.url, rotated);
    await expectServed(next);
    expect(provider.exchanges).toBe(1);

    // It saves its own token with the new key.
    expect(await exchangesAfterDeath(provider, next)).toBe(1);
    await expectServed(await provider.replica(redis.url, { encryption_key: OTHER_KEY }));
    expect(provider.exchanges).toBe(2);
  });

  it('is read by others reveal nothing', async () => {
    const redis = await RedisServer.start();
    const provider = await Provider.start();
    await expectServed(await provider.replica(redis.url));
    const everything = await everythingIn(redis);
    expect([...everything.keys()].some((key) => key.endsWith(':token'))).toBe(true);
    const dump = [...everything].flat().join('\n');
    const { origin, port, tokens } = provider.upstream;
    expect(tokens).toHaveLength(1);
    const secrets = [...tokens, CREDENTIAL, KEY];
    const encoded = secrets.flatMap((secret) => [
      Buffer.from(secret).toString('base64url'),
      Buffer.from(secret).toString('hex'),
    ]);
    for (const text of [...secrets, ...encoded, origin, '127.0.0.1', `:${port}`]) expect(dump).not.toContain(text);
  });
});

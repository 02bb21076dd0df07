import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import type { LogEvent } from '../../../src/logger.ts';
import { sendRequest } from '../../support/proxy-client.ts';
import type { StartedProxy } from '../../support/proxy-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { exchangesAfterDeath, expectServed, healed, Provider } from './provider.ts';

const UNREADABLE = 'token_store_token_unreadable';
const IGNORED = 'token_store_message_ignored';
const UNAVAILABLE = 'token_store_unavailable';
const CENTURY_MS = 100 * 365 * 86_400_000;

/** Replicas that share one token, and the keys of that token in Redis. */
async function sharing(replicas = 2) {
  const redis = await RedisServer.start();
  const provider = await Provider.start();
  const start = () => provider.replica(redis.url);
  const proxies = await Promise.all(Array.from({ length: replicas }, start));
  await expectServed(...proxies);
  expect(provider.exchanges).toBe(1);
  const [, name = ''] = /wakala:\{([0-9a-f]{64})\}:token/.exec(await redis.ask('KEYS *')) ?? [];
  const keyOf = (what: 'token' | 'turn' | 'numbering' | 'news') => `wakala:{${name}}:${what}`;
  return { redis, provider, proxies, start, keyOf };
}

const lines = ({ log }: StartedProxy, name: LogEvent) => log.filter(({ event }) => event === name);

/** Sends inline commands over one connection, and waits until Redis responded to the last of them. */
async function pipeline(redis: RedisServer, commands: readonly string[]): Promise<void> {
  const socket = connect(redis.port, '127.0.0.1');
  await once(socket, 'connect');
  let replies = 0;
  socket.on('data', (chunk: Buffer) => (replies += chunk.filter((byte) => byte === 10).length));
  socket.write(commands.map((command) => `${command}\r\n`).join(''));
  await vi.waitFor(() => expect(replies).toBeGreaterThanOrEqual(commands.length), 30_000);
  socket.destroy();
}

/** How many scripts Redis ran so far. */
async function scriptsRun(redis: RedisServer): Promise<number> {
  return Number(/cmdstat_eval:calls=(\d+)/.exec(await redis.ask('INFO commandstats'))?.[1]);
}

/** A text as an argument of an inline command. */
const quoted = (text: string) => JSON.stringify(text);

describe.runIf(hasTool('redis-server'))('a stranger who can write to the token store', { timeout: 90_000 }, () => {
  it.each([
    ['without an expiry', (lease: string) => `SET ${lease} stranger`],
    ['that lasts for years', (lease: string) => `SET ${lease} stranger PX ${CENTURY_MS}`],
    ['of another type', (lease: string) => `LPUSH ${lease} stranger`],
  ])('cannot stop a replica with a lease %s: the replica replaces it', async (_, command) => {
    const { redis, provider, proxies, keyOf } = await sharing();
    await redis.ask(command(keyOf('turn')));
    expect(await exchangesAfterDeath(provider, ...proxies)).toBe(1);
  });

  it('cannot have a text shown to clients, or delay replicas', async () => {
    const { redis, provider, proxies, keyOf } = await sharing(1);
    const failure = { kind: 'failed', code: 'token_denied', message: 'canary: call +254700000000', retryAfterS: 1e9 };
    await redis.ask(`SET ${keyOf('turn')} stranger PX 2500`);
    provider.killTokens();
    const waiting = sendRequest(proxies[0]!.port, '/api/x', { body: '{}' });
    await vi.waitFor(async () =>
      expect(Number((await redis.ask(`PTTL ${keyOf('turn')}`)).slice(1))).toBeLessThan(2000),
    );
    for (const event of [failure, { ...failure, retryAfterS: 'soon' }, { ...failure, code: 'no_such_code' }]) {
      await redis.ask(`PUBLISH ${keyOf('news')} ${quoted(JSON.stringify(event))}`);
    }
    const response = await waiting;
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(response.text + proxies[0]!.logText()).not.toContain('canary: call');
    expect(lines(proxies[0]!, IGNORED)).toHaveLength(1);
  });

  it('causes no read and one log line with 100,000 messages', async () => {
    const { redis, provider, proxies, keyOf } = await sharing(1);
    const scripts = await scriptsRun(redis);
    const logged = proxies[0]!.log.length;
    const texts = ['{"kind":"posted","generation":9e15}', '{"kind":"failed"}', 'x'.repeat(2000), 'null', '[', '0'];
    const commands = Array.from({ length: 100_000 }, (_, i) => `PUBLISH ${keyOf('news')} ${quoted(texts[i % 6]!)}`);
    await pipeline(redis, commands);
    await proxies[0]!.logged(IGNORED);
    await expectServed(...proxies);
    expect(await scriptsRun(redis)).toBe(scripts);
    expect(proxies[0]!.log.slice(logged).map(({ event }) => event)).toEqual([IGNORED]);
    expect(await exchangesAfterDeath(provider, ...proxies)).toBe(1);
  });

  it.each([
    ['fence', '9007199254740992'],
    ['fence', '9007199254740993000'],
    ['fence', '1e308'],
    ['fence', 'inf'],
    ['fence', 'nan'],
    ['fence', '-9007199254740992'],
    ['fence', 'canary'],
    ['posted', '9007199254740992'],
    ['posted', 'inf'],
    ['posted', 'canary'],
  ])('cannot stop the sharing for ever with %s set to %s', async (field, value) => {
    const { redis, provider, proxies, keyOf } = await sharing();
    await redis.ask(`HSET ${keyOf('numbering')} ${field} ${value}`);
    await healed(provider, ...proxies);
    // The number is deleted, and the next one is from the current time.
    const fencingNumber = /fence\r\n\$\d+\r\n(\d+)/.exec(await redis.ask(`HGETALL ${keyOf('numbering')}`))?.[1];
    expect(Math.abs(Number(fencingNumber) / 1000 - Date.now())).toBeLessThan(60_000);
  });

  it('is visible in the log if the numbers cannot be used', async () => {
    const { redis, provider, proxies, keyOf } = await sharing(1);
    await redis.ask(`HSET ${keyOf('numbering')} fence 9007199254740992`);
    provider.killTokens();
    await expectServed(...proxies);
    expect(lines(proxies[0]!, UNAVAILABLE)).toMatchObject([{ error: 'TAMPERED' }]);
  });

  it.each([
    [
      'numbers that are a year ahead',
      (key: string, aheadUs: number) => `HSET ${key} posted ${Date.now() * 1000 + aheadUs}`,
    ],
    ['numbers of another type', (key: string) => `LPUSH ${key} x`],
    ['no numbers at all', (key: string) => `DEL ${key}`],
  ])('cannot stop the sharing for ever with %s', async (_, command) => {
    const { redis, provider, proxies, keyOf } = await sharing();
    await redis.ask(`DEL ${keyOf('numbering')}`);
    await redis.ask(command(keyOf('numbering'), 364 * 86_400_000_000));
    await healed(provider, ...proxies);
  });

  it('cannot make new tokens look older with numbers that go forward, then back', async () => {
    const { redis, provider, proxies, keyOf } = await sharing();
    await redis.ask(`HSET ${keyOf('numbering')} fence ${Date.now() * 1000 + 300 * 86_400_000_000}`);
    expect(await exchangesAfterDeath(provider, ...proxies)).toBe(1);
    await redis.ask(`DEL ${keyOf('numbering')} ${keyOf('token')}`);
    for (let i = 0; i < 3; i++) expect(await exchangesAfterDeath(provider, ...proxies)).toBe(1);
  });

  it.each([
    ['of another type', (key: string) => [`DEL ${key}`, `HSET ${key} a b`]],
    ['that never expires and cannot be decrypted', (key: string) => [`SET ${key} "7 canary.canary"`]],
    ['that is no token', (key: string) => [`SET ${key} canary PX 60000`]],
    ['with the highest number', (key: string) => [`SET ${key} "9007199254740992999 canary.canary" PX 60000`]],
  ])('cannot make a replica fail with a token %s', async (_, commands) => {
    const { redis, provider, start, proxies, keyOf } = await sharing(1);
    for (const command of commands(keyOf('token'))) await redis.ask(command);
    await expectServed(await start());
    expect(await exchangesAfterDeath(provider, ...proxies, await start())).toBe(1);
  });

  it('cannot make replicas read megabytes', async () => {
    const { redis, start, keyOf } = await sharing(1);
    await redis.ask(`SET ${keyOf('token')} "7 x" PX 60000`);
    await redis.ask(`SETRANGE ${keyOf('token')} 5000000 x`);
    const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await redis.ask('INFO stats'))?.[1]);
    const before = await sent();
    const proxy = await start();
    await expectServed(proxy);
    expect(lines(proxy, UNREADABLE)).toHaveLength(1);
    expect((await sent()) - before).toBeLessThan(2_000_000);
  });

  it('causes one log line, not one for each read, with tokens that cannot be decrypted', async () => {
    const { redis, start, keyOf } = await sharing(1);
    await redis.ask(`SET ${keyOf('token')} "7 canary.canary" PX 60000`);
    await redis.ask(`SET ${keyOf('turn')} stranger PX 2500`);
    const proxy = await start();
    await expectServed(proxy);
    expect(lines(proxy, UNREADABLE)).toHaveLength(1);
  });
});

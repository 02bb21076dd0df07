import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { LogEvent } from '../../../src/logger.ts';
import type { StartedProxy } from '../../support/proxy-server.ts';
import type { RedisProcess } from '../../support/redis-process.ts';
import { RedisCluster, RedisSentinels } from '../../support/redis-topologies.ts';
import { hasTool } from '../../support/tools.ts';
import { exchangesAfterDeath, expectServed, HEALED, healed, Provider, statusOf } from './provider.ts';

const lines = ({ log }: StartedProxy, name: LogEvent) => log.filter(({ event }) => event === name);
const tokensOf = (proxy: StartedProxy) => [...new Set(lines(proxy, 'token_fetched').map(({ token }) => token))];

/** Sends requests to all of these, one after another, until it is stopped. @returns every status that was not 200 */
function steadyLoad(proxies: readonly StartedProxy[]): () => Promise<number[]> {
  const failures: number[] = [];
  let isStopped = false;
  const loads = proxies.map(async (proxy) => {
    while (!isStopped) {
      const status = await statusOf(proxy);
      if (status !== 200) failures.push(status);
      await sleep(10);
    }
  });
  return async () => {
    isStopped = true;
    await Promise.all(loads);
    return failures;
  };
}

/** The generation of the stored token, and the key of it. */
async function storedIn(server: RedisProcess): Promise<{ key: string; generation: number }> {
  const [key = ''] = /wakala:\S+:token/.exec(await server.ask('KEYS *')) ?? [];
  const [, generation] = /^\$\d+\r\n(\d+) /.exec(await server.ask(`GET ${key}`)) ?? [];
  return { key, generation: Number(generation) };
}

async function expectSharing(provider: Provider, first: StartedProxy, second: StartedProxy): Promise<void> {
  expect(await healed(provider, first, second)).toBeLessThanOrEqual(20);
  // The second replica learns of the next token by an event: it never sends the dead one.
  const known = tokensOf(second).length;
  expect(await exchangesAfterDeath(provider, first)).toBe(1);
  await vi.waitFor(() => expect(tokensOf(second)).toHaveLength(known + 1), HEALED);
  const requests = provider.upstream.requests.length;
  await expectServed(second);
  expect(provider.upstream.requests).toHaveLength(requests + 1);
}

describe.runIf(hasTool('redis-server'))('replicas that find Redis by sentinels', { timeout: 60_000 }, () => {
  it('serve during a failover, make no exchange for it, and share tokens through the new master', async () => {
    const redis = await RedisSentinels.start();
    const provider = await Provider.start();
    const store = { redis: undefined, ...redis.settings };
    const [first, second] = await Promise.all([provider.replica('', store), provider.replica('', store)]);
    await healed(provider, first, second);
    const { exchanges } = provider;
    const old = await redis.master();
    const { generation } = await storedIn(old);

    const stop = steadyLoad([first, second]);
    await old.kill();
    await redis.failedOver(old);
    await Promise.all([first, second].map((proxy) => proxy.logged('token_store_connected')));
    expect(await stop()).toEqual([]);
    expect(provider.exchanges).toBe(exchanges);
    expect(lines(first, 'token_store_disconnected')).toHaveLength(1);

    await expectSharing(provider, first, second);
    expect((await storedIn(await redis.master())).generation).toBeGreaterThan(generation);
  });
});

describe.runIf(hasTool('redis-server'))('replicas with a Redis cluster', { timeout: 60_000 }, () => {
  it('serve during a failover, make no exchange for it, and share tokens through the new master', async () => {
    const redis = await RedisCluster.start();
    const provider = await Provider.start();
    const store = { redis: undefined, ...redis.settings };
    const [first, second] = await Promise.all([provider.replica('', store), provider.replica('', store)]);
    await healed(provider, first, second);
    const { exchanges } = provider;
    const owners = await Promise.all(redis.nodes.map(storedIn));
    const key = owners.find((each) => each.key !== '')?.key ?? '';
    const old = await redis.masterOf(key);
    const { generation } = await storedIn(old);

    const stop = steadyLoad([first, second]);
    await old.kill();
    await redis.failedOver(key, old);
    await Promise.all([first, second].map((proxy) => proxy.logged('token_store_connected')));
    expect(await stop()).toEqual([]);
    expect(provider.exchanges).toBe(exchanges);

    await expectSharing(provider, first, second);
    expect((await storedIn(await redis.masterOf(key))).generation).toBeGreaterThan(generation);
  });
});

import { describe, expect, it } from 'vitest';
import { sendRequest } from '../../support/proxy-client.ts';
import { routeTo, type StartedProxy, startProxy } from '../../support/proxy-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';

const KEY = 'an encryption key for tests, long enough';

async function replicas(count: number, redis: RedisServer, upstream: RawUpstream): Promise<StartedProxy[]> {
  const settings = {
    token_store: { redis: redis.url, encryption_key: KEY },
    routes: { '/api/*': routeTo(upstream) },
  };
  const started = await Promise.all(Array.from({ length: count }, () => startProxy(settings)));
  return started;
}

const call = ({ port }: StartedProxy) => sendRequest(port, '/api/x', { body: '{}' });

describe.runIf(hasTool('redis-server'))('replicas with a token store', { timeout: 60_000 }, () => {
  it('share one exchange, however many requests wait in each', async () => {
    const redis = await RedisServer.start();
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const all = await replicas(4, redis, upstream);
    const responses = await Promise.all(all.flatMap((proxy) => Array.from({ length: 50 }, () => call(proxy))));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(upstream.tokens).toHaveLength(1);
  });
});

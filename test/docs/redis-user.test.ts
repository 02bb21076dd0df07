import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy } from '../support/proxy-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { hasTool } from '../support/tools.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { textOf } from './documents.ts';

const PASSWORD = 'made-up-redis-password';

describe.runIf(hasTool('redis-server'))('the Redis user of docs/security.md', { timeout: 60_000 }, () => {
  it('may do all that replicas do: share a token, and replace it once when it dies', async () => {
    const redis = await RedisServer.start();
    const [, command = ''] = /`(ACL SETUSER [^`]+)`/.exec(textOf('docs/security.md')) ?? [];
    expect(await redis.ask(command.replace('PASSWORD', PASSWORD))).toBe('+OK\r\n');

    let dead = '';
    const upstream = await RawUpstream.start((request) => {
      return request.values('authorization').includes(`Bearer ${dead}`) ? reply(401, 'dead') : reply(200, 'fine');
    });
    const settings = {
      token_store: {
        redis: redis.url.replace('//', `//wakala:${PASSWORD}@`),
        encryption_key: 'an encryption key for tests, long enough',
      },
      routes: { '/api/*': routeTo(upstream) },
    };
    const replicas = [await startProxy(settings), await startProxy(settings)];
    const uses = async () => {
      const responses = [];
      for (const { port } of replicas) responses.push(await sendRequest(port, '/api/x'));
      return responses.map((response) => [response.status, response.header('wakala-token')]);
    };

    expect(await uses()).toEqual([
      [200, 'fetched'],
      [200, 'cached'],
    ]);
    dead = upstream.tokens.at(-1) ?? '';
    const [first] = await uses();
    expect([first, upstream.tokens.length]).toEqual([[200, 'replayed'], 2]);
    expect(replicas.flatMap(({ log }) => log.filter(({ level }) => level === 'warn'))).toEqual([]);
    expect(await redis.ask('ACL LOG')).toBe('*0\r\n');
  });
});

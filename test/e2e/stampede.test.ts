import { describe, expect, it } from 'vitest';
import { sampleBody } from '../../src/providers/provider.ts';
import { keepAlive, type ProxyResponse, sendJson, sendRequest } from '../support/proxy-client.ts';
import { startProxyTo, startProxyToEmulator } from '../support/proxy-server.ts';
import { json, RawUpstream, reply } from '../support/upstream-raw.ts';

const CROWD = 500;

function stats(responses: readonly ProxyResponse[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const response of responses) {
    const key = `${response.status} ${response.header('wakala-token') ?? 'none'}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

function crowd(one: (i: number) => Promise<ProxyResponse>): Promise<ProxyResponse[]> {
  return Promise.all(Array.from({ length: CROWD }, (_, i) => one(i)));
}

describe('500 requests at once', () => {
  it('cost one exchange on a cold route', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxyTo(upstream);
    const agent = keepAlive();
    const responses = await crowd((i) => sendRequest(proxy.port, `/api/${i}`, { agent }));
    expect(upstream.tokens).toHaveLength(1);
    expect(responses.every((response) => response.status === 200)).toBe(true);
    expect(new Set(upstream.requests.map((request) => request.target))).toHaveProperty('size', CROWD);
  });

  it('cost one exchange on a cold route with a slow token endpoint, and all wait for it', async () => {
    const { emulator, proxy } = await startProxyToEmulator('mpesa');
    const { samples } = emulator.provider;
    const [path, body] = [samples.call.path, sampleBody({ samples })];
    emulator.control({ token_delay_ms: 300 });
    const agent = keepAlive();
    const responses = await crowd(() =>
      sendRequest(proxy.port, `/mpesa${path}`, { agent, method: 'POST', body: JSON.stringify(body) }),
    );
    expect(stats(responses)).toEqual({ '200 fetched': CROWD });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: CROWD, refused: 0 });
  });

  it('with a dead token cost one refresh, and all get a response', async () => {
    const { emulator, proxy } = await startProxyToEmulator('mpesa');
    const { samples } = emulator.provider;
    const [path, body] = [samples.call.path, sampleBody({ samples })];
    await sendJson(proxy.port, `/mpesa${path}`, body);
    emulator.control({ expire_tokens: true });
    const agent = keepAlive();
    const responses = await crowd(() =>
      sendRequest(proxy.port, `/mpesa${path}`, { agent, method: 'POST', body: JSON.stringify(body) }),
    );
    expect(responses.filter((response) => response.status !== 200)).toEqual([]);
    expect(emulator.stats().token_requests).toBe(2);
  });

  it('that are all refused before any gets a response cost one refresh', async () => {
    const everyoneIn = Promise.withResolvers<undefined>();
    const upstream = await RawUpstream.start(async (request) => {
      if (request.target === '/warm') return reply(200);
      if (upstream.requests.length === CROWD + 1) everyoneIn.resolve(undefined);
      await everyoneIn.promise;
      return request.values('authorization')[0] === `Bearer ${upstream.tokens[0]!}`
        ? json(401, {})
        : reply(200, 'fine');
    });
    const proxy = await startProxyTo(upstream);
    await sendRequest(proxy.port, '/api/warm');
    const agent = keepAlive();
    const responses = await crowd((i) =>
      sendRequest(proxy.port, `/api/${i}`, { agent, method: 'POST', body: `pay ${i}` }),
    );
    expect(stats(responses)).toEqual({ '200 replayed': CROWD });
    expect(upstream.tokens).toHaveLength(2);
    expect(upstream.requests).toHaveLength(1 + 2 * CROWD);
  });
});

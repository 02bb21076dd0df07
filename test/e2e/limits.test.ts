import { describe, expect, it } from 'vitest';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

describe('max_concurrency', () => {
  it('admits that many requests at once, and refuses another with 503 and Retry-After', async () => {
    const upstream = await RawUpstream.start(() => {});
    const proxy = await startProxyTo(upstream, { max_concurrency: 2 });
    const asking = [sendRequest(proxy.port, '/api/1'), sendRequest(proxy.port, '/api/2')];
    await upstream.request(2);
    const refused = await sendRequest(proxy.port, '/api/3');
    expectProblem(refused, { status: 503, code: 'overloaded', outcome: 'not_sent' });
    expect(refused.header('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(upstream.requests).toHaveLength(2);
    upstream.requests[0]!.send(reply(200));
    await Promise.race(asking);
    const next = sendRequest(proxy.port, '/api/4');
    (await upstream.request(3)).send(reply(200));
    upstream.requests[1]!.send(reply(200));
    expect((await Promise.all([...asking, next])).map((response) => response.status)).toEqual([200, 200, 200]);
  });

  it('is counted per route', async () => {
    const upstream = await RawUpstream.start((request) => (request.target === '/held' ? undefined : reply(200)));
    const route = routeTo(upstream, { max_concurrency: 1 });
    const proxy = await startProxy({ routes: { '/a/*': route, '/b/*': route } });
    const held = sendRequest(proxy.port, '/a/held');
    const request = await upstream.request();
    expect((await sendRequest(proxy.port, '/a/x')).status).toBe(503);
    expect((await sendRequest(proxy.port, '/b/x')).status).toBe(200);
    request.send(reply(200));
    expect((await held).status).toBe(200);
  });

  it('is freed by requests that fail and clients that disconnect', async () => {
    const upstream = await RawUpstream.start((request) => {
      if (request.target === '/reset') request.socket.resetAndDestroy();
      return request.target === '/fine' ? reply(200) : undefined;
    });
    const proxy = await startProxyTo(upstream, { max_concurrency: 1 });
    expect((await sendRequest(proxy.port, '/api/reset')).status).toBe(502);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/held HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const { socket } = await upstream.request(2);
    const cancelled = new Promise((resolve) => socket.once('close', resolve));
    client.socket.destroy();
    await cancelled;
    expect((await sendRequest(proxy.port, '/api/fine')).status).toBe(200);
  });
});

describe('max_connections', () => {
  it('admits that many connections, and responds 503 on another until one is closed', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxy({ max_connections: 2, routes: { '/api/*': routeTo(upstream) } });
    const request = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const [first, second] = [await RawClient.open(proxy.port), await RawClient.open(proxy.port)];
    for (const client of [first, second]) {
      client.send(request);
      expect((await client.nextResponse()).status).toBe(200);
    }
    const third = await RawClient.open(proxy.port);
    third.send(request);
    const refused = await third.nextResponse();
    expect([refused.status, refused.json()['code'], ...refused.values('retry-after')]).toEqual([
      503,
      'overloaded',
      '1',
    ]);
    expect(refused.values('connection')).toEqual(['close']);
    await third.ending;
    first.socket.end();
    await first.ending;
    const fourth = await RawClient.open(proxy.port);
    fourth.send(request);
    expect((await fourth.nextResponse()).status).toBe(200);
    second.send(request);
    expect((await second.nextResponse()).status).toBe(200);
    expect(upstream.requests).toHaveLength(4);
  });
});

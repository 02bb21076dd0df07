import { describe, expect, it } from 'vitest';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const HOST = 'Host: localhost\r\n';

async function start(settings: Record<string, unknown> = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const proxy = await startProxyTo(upstream, settings);
  return { upstream, proxy };
}

describe('Expect: 100-continue', () => {
  it('gets a 100 from Wakala and is not forwarded; the request has the token', async () => {
    const { upstream, proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(
      `POST /api/x HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nAuthorization: Bearer theirs\r\nContent-Length: 4\r\n\r\n`,
    );
    expect((await client.nextResponse()).status).toBe(100);
    client.send('body');
    expect((await client.nextResponse()).body.toString()).toBe('fine');
    const [request] = upstream.requests;
    expect(request?.body.toString()).toBe('body');
    expect(request?.values('expect')).toEqual([]);
    expect(request?.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]!}`]);
  });

  it('gets one 100 for a chunked request that is sent twice', async () => {
    const upstream = await RawUpstream.start(() => (upstream.requests.length === 1 ? reply(401) : reply(200, 'fine')));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(`POST /api/x HTTP/1.1\r\n${HOST}Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n`);
    expect((await client.nextResponse()).status).toBe(100);
    client.send('4\r\nbody\r\n0\r\n\r\n');
    expect((await client.nextResponse()).values('wakala-token')).toEqual(['replayed']);
  });

  it('gets no 100 if the body is too large', async () => {
    const { upstream, proxy } = await start({ max_body: 10, replay_limit: 10 });
    const client = await RawClient.open(proxy.port);
    client.send(`POST /api/x HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 11\r\n\r\n`);
    expect((await client.nextResponse()).status).toBe(413);
    expect(upstream.received).toHaveLength(0);
  });

  it('gets no 100 if the request is refused', async () => {
    const { upstream, proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(`POST /nowhere HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n`);
    expect((await client.nextResponse()).status).toBe(404);
    expect(upstream.received).toHaveLength(0);
  });
});

describe('any other expectation', () => {
  it.each(['200-ok', 'x-magic', '101-continue'])('gets a 417: %s', async (value) => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(proxy.port, `GET /api/x HTTP/1.1\r\n${HOST}Expect: ${value}\r\n\r\n`);
    expect([response.status, response.json()['code'], response.json()['outcome']]).toEqual([
      417,
      'expectation_failed',
      'not_sent',
    ]);
    expect(upstream.received).toHaveLength(0);
  });
});

describe('a method that a proxy must not forward', () => {
  it.each([
    ['TRACE', `TRACE /api/x HTTP/1.1\r\n${HOST}\r\n`],
    ['CONNECT', `CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n`],
    ['CONNECT on a route', `CONNECT /api/x HTTP/1.1\r\n${HOST}\r\n`],
  ])('gets a 405: %s', async (_, bytes) => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(proxy.port, bytes);
    expect([response.status, response.json()['code']]).toEqual([405, 'method_not_allowed']);
    expect(response.values('allow')).toEqual(['GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']);
    expect(upstream.received).toHaveLength(0);
  });

  it('does not tunnel what follows a CONNECT', async () => {
    const { upstream, proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(`CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\nGET /api/x HTTP/1.1\r\n${HOST}\r\n`);
    expect((await client.nextResponse()).status).toBe(405);
    await client.ending;
    expect(upstream.received).toHaveLength(0);
  });
});

describe('Upgrade', () => {
  it.each([{}, { websocket: true }])('to h2c is ignored, and the request forwarded, with %j', async (settings) => {
    const { upstream, proxy } = await start(settings);
    const response = await sendRaw(
      proxy.port,
      `POST /api/x HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n` +
        'Content-Length: 4\r\n\r\nbody',
    );
    expect([response.status, response.body.toString()]).toEqual([200, 'fine']);
    const [request] = upstream.requests;
    expect(request?.body.toString()).toBe('body');
    expect([request?.values('upgrade'), request?.values('http2-settings')]).toEqual([[], []]);
  });

  it('to a WebSocket gets a 501 if the route does not forward them', async () => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(
      proxy.port,
      `GET /api/x HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n`,
    );
    expect([response.status, response.json()['code']]).toEqual([501, 'upgrade_refused']);
    expect(upstream.received).toHaveLength(0);
  });
});

import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { listen } from '../support/listen.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { handshake, startWebSockets as start, switchToEcho } from '../support/websocket.ts';

describe('a WebSocket', () => {
  it('is forwarded with the token on its handshake, and relays every byte in both directions', async () => {
    const { client, handshakes, tokens, port } = await start();
    client.send(handshake('/ws/feed?a=%2F&&b', 'Authorization: Bearer theirs', 'author_ization: theirs', 'X-Kept: 1'));
    const response = await client.nextResponse();
    expect([response.status, ...response.values('sec-websocket-accept')]).toEqual([
      101,
      's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    ]);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    client.send(bytes);
    await client.until(bytes.toString('latin1'));
    const [request] = handshakes;
    expect(request?.url).toBe('/base/feed?a=%2F&&b');
    expect(request?.headers).toMatchObject({ authorization: `Bearer ${tokens.tokens[0]!}`, 'x-kept': '1' });
    expect(request?.headers).toMatchObject({
      host: `127.0.0.1:${port}`,
      via: expect.stringMatching(/^1\.1 wakala-[0-9a-f]{8}$/) as string,
      upgrade: 'websocket',
    });
    expect(request?.rawHeaders.join('\n')).not.toContain('theirs');
    expect(request?.rawHeaders.filter((name) => name.toLowerCase() === 'authorization')).toHaveLength(1);
  });

  it('drops headers that would make its handshake another request if the route has `allow`', async () => {
    const { client, handshakes } = await start(switchToEcho, { allow: ['GET /feed'] });
    const overrides = ['X-HTTP-Method-Override', 'x_http_method', 'XMethodOverride', 'X-Original-URL', 'X_REWRITE_URL'];
    client.send(handshake('/ws/feed', ...overrides.map((name) => `${name}: /admin`), 'Proxy: http://evil.example'));
    expect((await client.nextResponse()).status).toBe(101);
    expect(handshakes.map(({ rawHeaders }) => rawHeaders.filter((text) => /admin|evil/.test(text)))).toEqual([[]]);
  });

  it('loses every header of the response that contains the token', async () => {
    const { client, tokens } = await start();
    client.send(handshake('/ws/feed'));
    expect((await client.nextResponse()).values('x-echo')).toEqual([]);
    expect(client.received.toString()).not.toContain(tokens.tokens[0]);
  });

  it('that the provider closes is closed for the client, and the other way round', async () => {
    const sockets: Duplex[] = [];
    const { client, proxy } = await start((req, socket) => {
      sockets.push(socket);
      switchToEcho(req, socket);
    });
    client.send(handshake('/ws/feed'));
    await client.nextResponse();
    sockets[0]?.end();
    await client.ending;
    const other = await RawClient.open(proxy.port);
    other.send(handshake('/ws/feed'));
    await other.nextResponse();
    const closed = once(sockets[1]!, 'close');
    other.socket.destroy();
    await closed;
  });

  it('is refused if another route allows them and this one does not', async () => {
    const { client, handshakes } = await start();
    client.send(handshake('/api/feed'));
    const response = await client.nextResponse();
    expect([response.status, response.json()['code']]).toEqual([501, 'upgrade_refused']);
    expect(handshakes).toEqual([]);
  });

  it.each([
    ['no route', '/nowhere', [], 404, 'no_route'],
    ['a foreign page', '/ws/feed', ['Origin: https://evil.example'], 403, 'origin_refused'],
    ['a dot segment', '/ws/%2e%2e/feed', [], 400, 'bad_request_target'],
    ['a login', '/ws/issue/token', [], 403, 'path_refused'],
    ['a loop', '/ws/feed', [`Via: ${'1.1 wakala-01234567, '.repeat(10)}`], 508, 'loop_detected'],
  ])('is refused for %s like any request', async (_, path, lines, status, code) => {
    // A login can only be called through the route where the API host issues the tokens.
    const settings = code === 'path_refused' ? { auth_server: undefined } : {};
    const { client, handshakes } = await start(switchToEcho, settings);
    client.send(handshake(path, ...lines));
    const response = await client.nextResponse();
    expect([response.status, response.json()['code']]).toEqual([status, code]);
    expect(handshakes).toEqual([]);
  });

  it('that the provider refuses relays its response', async () => {
    const { client } = await start((_, socket) => {
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno');
    });
    client.send(handshake('/ws/feed'));
    const response = await client.nextResponse();
    expect([response.status, response.body.toString()]).toEqual([403, 'no']);
  });

  it('with a dead token is refused, and the next handshake has a new token', async () => {
    let shown = 0;
    const { client, proxy, handshakes, tokens } = await start((req, socket) => {
      shown += 1;
      if (shown === 1) socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      else switchToEcho(req, socket);
    });
    client.send(handshake('/ws/feed'));
    expect((await client.nextResponse()).status).toBe(401);
    const again = await RawClient.open(proxy.port);
    again.send(handshake('/ws/feed'));
    expect((await again.nextResponse()).status).toBe(101);
    expect(handshakes.map((request) => request.headers.authorization)).toEqual(
      tokens.tokens.map((token) => `Bearer ${token}`),
    );
  });

  it('to an unreachable upstream results in 502, and the process keeps running', async () => {
    const gone = await RawUpstream.start((request) => void request.socket.destroy());
    const proxy = await startProxyTo(gone, { websocket: true });
    const client = await RawClient.open(proxy.port);
    client.send(handshake('/api/feed'));
    expect((await client.nextResponse()).status).toBe(502);
    expect((await sendRequest(proxy.port, '/nowhere')).status).toBe(404);
  });

  it('whose TLS handshake is not finished in time results in 504, and nothing was sent', async () => {
    const silent = await listen(createServer((socket) => socket.on('error', () => undefined)));
    const settings = { upstream: `https://127.0.0.1:${silent}`, connect_timeout: '100ms' };
    const { client } = await start(undefined, settings);
    client.send(handshake('/ws/feed'));
    const response = await client.nextResponse();
    expect([response.status, response.json()['code'], response.json()['outcome']]).toEqual([
      504,
      'upstream_timeout',
      'not_sent',
    ]);
    expect(String(response.body)).toContain(`Could not connect to 127.0.0.1:${silent} within 100 ms`);
  });

  it('whose handshake gets no response results in 504 at the deadline', async () => {
    const silent = await RawUpstream.start(() => undefined);
    const proxy = await startProxyTo(silent, { websocket: true, timeout: '150ms' });
    const client = await RawClient.open(proxy.port);
    client.send(handshake('/api/feed'));
    const response = await client.nextResponse();
    expect([response.status, response.json()['code'], response.json()['outcome']]).toEqual([
      504,
      'upstream_timeout',
      'unknown',
    ]);
  });

  it('has its request ID and the use of the token in the response', async () => {
    const { client } = await start();
    client.send(handshake('/ws/feed', 'X-Request-Id: feed-7'));
    const response = await client.nextResponse();
    expect([response.values('x-request-id'), response.values('wakala-token')]).toEqual([['feed-7'], ['fetched']]);
  });

  it('does not change plain requests on its route', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'plain'));
    const proxy = await startProxyTo(upstream, { websocket: true });
    expect((await sendRequest(proxy.port, '/api/x')).text).toBe('plain');
  });
});

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { silentLog } from '../../src/logger.ts';
import { startServer } from '../../src/server/server.ts';
import { expectProblem, keepAlive, sendRequest } from '../support/proxy-client.ts';
import { routeTo, type Settings, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

function configOf(settings: Settings) {
  const routes = { '/api/*': routeTo({ origin: 'http://127.0.0.1:1' }) };
  const written = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', routes, ...settings };
  return loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} }).config;
}

async function taken(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

describe('the listener', () => {
  it('limits a head to ten seconds and 16 KiB, an idle connection to 65 seconds, and a body to the deadline of its route', async () => {
    const servers = new Set<unknown>();
    const onStart = (message: unknown) => void servers.add((message as { server: unknown }).server);
    subscribe('http.server.request.start', onStart);
    onTestFinished(() => void unsubscribe('http.server.request.start', onStart));
    const proxy = await startProxyTo({ origin: 'http://127.0.0.1:1' });
    await sendRequest(proxy.port, '/nowhere');
    expect([...servers]).toMatchObject([
      { headersTimeout: 10_000, maxHeaderSize: 16_384, requestTimeout: 0, keepAliveTimeout: 65_000 },
    ]);
  });

  it('keeps a connection alive after it refused a request without a body on it', async () => {
    const upstream = await RawUpstream.start((request) => {
      // Longer than a client may send the body of a refused request, which is 2 s.
      setTimeout(() => request.socket.write(reply(200, 'fine')), 2500);
      return undefined;
    });
    const { port } = await startProxyTo(upstream);
    const agent = keepAlive(1);
    expect((await sendRequest(port, '/nowhere', { agent })).status).toBe(404);
    expect((await sendRequest(port, '/api/x', { agent, body: '{}' })).status).toBe(200);
  });

  it('names the port that is in use, and how to choose another', async () => {
    const port = await taken();
    const starting = startServer(configOf({ listen: `127.0.0.1:${port}` }), { log: silentLog });
    await expect(starting).rejects.toThrow(
      `127.0.0.1:${port} is in use by another process; choose another with --listen or in the configuration`,
    );
  });

  it('is closed again if the admin port is in use', async () => {
    const [port, free] = [await taken(), await RawUpstream.start(() => reply(200))];
    const listen = `127.0.0.2:${free.port}`;
    const starting = startServer(configOf({ listen, admin: `127.0.0.1:${port}` }), { log: silentLog });
    await expect(starting).rejects.toThrow('choose another with --admin');
    // The address is available again.
    const server = await startServer(configOf({ listen }), { log: silentLog });
    expect(server.address).toEqual({ host: '127.0.0.2', port: free.port });
    await server.drain();
  });

  it('names the error for an address of another machine', async () => {
    const starting = startServer(configOf({ listen: '192.0.2.1:0', open: true }), { log: silentLog });
    await expect(starting).rejects.toThrow('192.0.2.1:0 cannot be used (EADDRNOTAVAIL)');
  });

  it('responds with 503 over max_connections, and serves again when a connection is closed', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream) }, max_connections: 1 });
    const first = await RawClient.open(proxy.port);
    first.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect((await first.nextResponse()).status).toBe(200);
    const response = await sendRequest(proxy.port, '/api/x');
    expectProblem(response, { status: 503, code: 'overloaded', outcome: 'not_sent' });
    expect([response.header('retry-after'), response.header('connection')]).toEqual(['1', 'close']);
    first.socket.end();
    await first.ending;
    await expect.poll(async () => (await sendRequest(proxy.port, '/api/x')).status).toBe(200);
  });
});

it('refuses a WebSocket over max_connections', async () => {
  const upstream = await RawUpstream.start(() => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n');
  const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream, { websocket: true }) }, max_connections: 1 });
  await RawClient.open(proxy.port);
  await expect.poll(async () => (await proxy.server.snapshot()).connections).toBe(1);
  const client = await RawClient.open(proxy.port);
  client.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  expectProblem(await client.nextResponse(), { status: 503, code: 'overloaded', outcome: 'not_sent' });
  expect(upstream.received).toHaveLength(0);
});

describe('invalid HTTP', () => {
  const start = () => RawUpstream.start(({ target }) => (target === '/held' ? undefined : reply(200, 'fine')));

  it.each([
    ['garbage', 'garbage\r\n\r\n', 400, 'bad_request'],
    ['a space in a name', 'GET /api/x HTTP/1.1\r\nHost: localhost\r\nA B: c\r\n\r\n', 400, 'bad_request'],
    [
      'two lengths',
      'POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      400,
      'bad_request',
    ],
    ['a head of 20 KiB', `GET /api/x HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_480)}\r\n\r\n`, 431, 'header_too_large'],
  ])('%s is refused without a request to the provider, and ends its connection', async (_, bytes, status, code) => {
    const upstream = await start();
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(bytes);
    const response = await client.nextResponse();
    expectProblem(response, { status, code, outcome: 'not_sent' });
    expect(response.values('connection')).toEqual(['close']);
    await client.ending;
    expect(upstream.received).toHaveLength(0);
  });

  it.each([
    ['while it is gathered', 'not_sent', 64],
    ['while it is streamed: a part of it may have been sent', 'unknown', 1],
  ] as const)('a chunk that breaks gets 400, %s', async (_, outcome, replayLimit) => {
    const upstream = await start();
    const proxy = await startProxyTo(upstream, { replay_limit: replayLimit });
    const client = await RawClient.open(proxy.port);
    client.send('POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n');
    expectProblem(await client.nextResponse(), { status: 400, code: 'bad_request', outcome });
    await client.ending;
    expect(upstream.requests).toHaveLength(0);
    expect(await proxy.logged('request_failed')).toMatchObject({ code: 'bad_request', outcome });
  });

  it('after a request without a response yet ends the connection after that response', async () => {
    const upstream = await start();
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send('POST /api/held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\npay');
    const held = await upstream.request();
    client.send('garbage\r\n\r\nGET /api/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n');
    held.send(reply(200, 'paid'));
    await client.ending;
    const responses = client.received.toString('latin1').match(/HTTP\/1\.1 \d+/g) ?? [];
    expect(responses.length).toBeLessThanOrEqual(1);
    expect(client.received.toString('latin1')).not.toContain('400');
    expect(upstream.requests).toHaveLength(1);
  });

  it('after waiting requests ends the connection after the last of their responses', async () => {
    const upstream = await start();
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    const get = (path: string) => `GET /api/${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    client.send(`${get('held') + get('x') + get('y')}garbage\r\n\r\n${get('smuggled')}`);
    (await upstream.request()).send(reply(200, 'late'));
    expect(await client.ending).toBe('clean');
    expect(client.received.toString('latin1').match(/HTTP\/1\.1 \d+/g)).toEqual(Array(3).fill('HTTP/1.1 200'));
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/held', '/x', '/y']);
  });

  it('after a request in the same packet is never handled as a request', async () => {
    const upstream = await start();
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(
      'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/y HTTP/1.1\r\nHost: localhost\r\nA B: c\r\n\r\n',
    );
    await client.ending;
    expect(client.received.toString('latin1').match(/HTTP\/1\.1 \d+/g) ?? []).not.toContain('HTTP/1.1 400');
    expect(upstream.requests.map(({ target }) => target)).not.toContain('/y');
  });

  it('after half a response aborts that response', async () => {
    const upstream = await RawUpstream.start(
      () => 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    );
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await client.until('half');
    client.send('garbage\r\n\r\n');
    const [sent] = upstream.requests;
    sent?.send('0\r\n\r\n');
    await client.ending;
    expect(client.received.toString('latin1').match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });
});

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n';
const HANDSHAKE = ['GET /api/ws HTTP/1.1', 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', '', ''];

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start(({ target }) =>
    target === '/held' ? undefined : target === '/ws' ? SWITCHED : reply(200, 'fine'),
  );
  const routes = { '/api/*': routeTo(upstream, { websocket: true }) };
  const proxy = await startProxy({ routes, drain_timeout: '10s', admin: '127.0.0.1:0', ...settings });
  return { upstream, proxy, adminPort: proxy.server.admin?.port ?? 0 };
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

/** @returns how long `run` takes, in milliseconds */
async function timed<T>(promise: Promise<T>): Promise<[T, number]> {
  const startedMs = performance.now();
  return [await promise, performance.now() - startedMs];
}

describe('drain', () => {
  it('keeps the process alive until its timeout, even if nothing else does', () => {
    const drain = new URL('../../src/server/server.ts', import.meta.url).href;
    // A broken TLS connection may stay open in Node without keeping the process alive.
    const code = `const { drainServer } = await import(${JSON.stringify(drain)});
      const server = { getConnections: (tell) => tell(null, 1), close() {}, closeAllConnections() {} };
      console.log(await drainServer(server, 200, Date.now, () => {}, () => false));`;
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })).toBe('false\n');
  });

  it('ends at once without connections', async () => {
    const { proxy } = await start();
    const [clean, tookMs] = await timed(proxy.server.drain());
    expect(clean).toBe(true);
    expect(tookMs).toBeLessThan(1000);
    await expect(sendRequest(proxy.port, '/api/x')).rejects.toThrow('ECONNREFUSED');
  });

  it('waits for a payment whose client disconnected, and logs its outcome', async () => {
    const { proxy, upstream } = await start();
    const client = await RawClient.open(proxy.port);
    client.send('POST /api/held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\npay');
    const held = await upstream.request();
    client.socket.resetAndDestroy();
    await expect.poll(async () => (await proxy.server.snapshot()).connections).toBe(0);
    const draining = proxy.server.drain();
    await proxy.logged('draining');
    setTimeout(() => held.send(reply(200, 'paid')), 200);
    expect(await draining).toBe(true);
    expect(await proxy.logged('client_disconnected')).toMatchObject({ status: 200 });
  });

  it('waits for a request under way, and closes its connection after the response', async () => {
    const { proxy, upstream } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(get('/api/held'));
    const held = await upstream.request();
    const draining = proxy.server.drain();
    await proxy.logged('draining');
    held.send(reply(200, 'paid'));
    const response = await client.nextResponse();
    expect([response.body.toString(), ...response.values('connection')]).toEqual(['paid', 'close']);
    expect(await client.ending).toBe('clean');
    expect(await draining).toBe(true);
  });

  it('serves a request on a kept connection, and then closes that', async () => {
    const { proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(get('/api/x'));
    expect((await client.nextResponse()).values('connection')).toEqual(['keep-alive']);
    const draining = proxy.server.drain();
    client.send(get('/api/x'));
    const response = await client.nextResponse();
    expect([response.status, ...response.values('connection')]).toEqual([200, 'close']);
    expect(await client.ending).toBe('clean');
    expect(await draining).toBe(true);
  });

  it.each([
    ['no route', '/nowhere', 404],
    ['a bad target', '/api//x', 400],
  ])('closes the connection after %s too', async (_, path, status) => {
    const { proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(get('/api/x'));
    await client.nextResponse();
    const draining = proxy.server.drain();
    client.send(get(path));
    const response = await client.nextResponse();
    expect([response.status, ...response.values('connection')]).toEqual([status, 'close']);
    expect(await client.ending).toBe('clean');
    expect(await draining).toBe(true);
  });

  it('accepts new connections for a moment, for load balancers that do not know yet', async () => {
    const { proxy } = await start();
    // Without it, the drain ends at once.
    const idle = await RawClient.open(proxy.port);
    idle.send(get('/api/x'));
    await idle.nextResponse();
    const draining = proxy.server.drain();
    const late = await sendRequest(proxy.port, '/api/x');
    expect([late.status, late.header('connection')]).toEqual([200, 'close']);
    expect(await draining).toBe(true);
    expect(await idle.ending).toBe('clean');
  });

  it('keeps idle connections open for two seconds at most', async () => {
    const { proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(get('/api/x'));
    await client.nextResponse();
    const [clean, tookMs] = await timed(proxy.server.drain());
    expect(clean).toBe(true);
    expect(await client.ending).toBe('clean');
    expect(tookMs).toBeGreaterThan(1900);
    expect(tookMs).toBeLessThan(4000);
  });

  it('does not wait for connections without a request, or with half a head', async () => {
    const { proxy } = await start({ drain_timeout: '4s' });
    const silent = connect(proxy.port, '127.0.0.1');
    const half = connect(proxy.port, '127.0.0.1');
    for (const socket of [silent, half]) {
      socket.on('error', () => {});
      await once(socket, 'connect');
    }
    half.write('GET /api/x HTTP/1.1\r\nHost: loc');
    await sendRequest(proxy.port, '/api/x');
    const [clean, tookMs] = await timed(proxy.server.drain());
    expect(clean).toBe(true);
    expect(tookMs).toBeLessThan(3500);
  });

  it('closes WebSockets, which would not end by themselves', async () => {
    const { proxy } = await start({ drain_timeout: '2s' });
    const client = await RawClient.open(proxy.port);
    client.send(HANDSHAKE.join('\r\n'));
    await client.until('101 Switching Protocols');
    const [clean] = await timed(proxy.server.drain());
    expect(clean).toBe(true);
    await client.ending;
  });

  it('aborts the requests under way when drain_timeout is over, and reports that', async () => {
    const { proxy, upstream } = await start({ drain_timeout: '300ms' });
    const client = await RawClient.open(proxy.port);
    client.send(get('/api/held'));
    await upstream.request();
    const [clean, tookMs] = await timed(proxy.server.drain());
    expect(clean).toBe(false);
    expect(tookMs).toBeGreaterThan(250);
    expect(tookMs).toBeLessThan(2000);
    await client.ending;
    expect(client.received.toString()).not.toContain('200');
    expect(await proxy.logged('stopped')).toMatchObject({ clean: false });
  });

  it('changes /readyz at once, and never /livez', async () => {
    const { proxy, upstream, adminPort } = await start();
    expect((await sendRequest(adminPort, '/readyz')).status).toBe(200);
    const client = await RawClient.open(proxy.port);
    client.send(get('/api/held'));
    const held = await upstream.request();
    const draining = proxy.server.drain();
    const responses = [await sendRequest(adminPort, '/readyz'), await sendRequest(adminPort, '/livez')];
    expect(responses.map(({ status, text }) => [status, text])).toEqual([
      [503, '{"status":"draining"}'],
      [200, '{"status":"live"}'],
    ]);
    held.send(reply(200));
    await draining;
    await expect(sendRequest(adminPort, '/livez')).rejects.toThrow('ECONNREFUSED');
  });
});

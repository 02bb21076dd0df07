import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { handshake, startWebSockets, switchToEcho } from '../support/websocket.ts';

async function open(port: number, path = '/ws/feed'): Promise<RawClient> {
  const client = await RawClient.open(port);
  client.send(handshake(path));
  return client;
}

describe('an open WebSocket', () => {
  it('does not count towards max_concurrency, but a handshake in flight does', async () => {
    const { proxy } = await startWebSockets(
      (req, socket) => {
        if (req.url === '/base/feed') switchToEcho(req, socket);
      },
      { max_concurrency: 1 },
    );
    for (let i = 0; i < 3; i++) expect((await (await open(proxy.port)).nextResponse()).status).toBe(101);
    await open(proxy.port, '/ws/silent');
    await expect.poll(async () => (await (await open(proxy.port)).nextResponse()).status).toBe(503);
  });

  it('counts towards max_websockets from its admission until it is closed', async () => {
    const { proxy, handshakes } = await startWebSockets(
      (req, socket) => {
        if (req.url === '/base/no') socket.end('HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n');
        else if (req.url === '/base/feed') switchToEcho(req, socket);
      },
      { max_websockets: 2, timeout: '2s' },
    );
    const first = await open(proxy.port);
    expect((await first.nextResponse()).status).toBe(101);
    const silent = await open(proxy.port, '/ws/silent');
    await expect.poll(() => handshakes.length).toBe(2);
    const response = await (await open(proxy.port)).nextResponse();
    expect([response.status, response.json()]).toMatchObject([503, { code: 'overloaded', outcome: 'not_sent' }]);
    expect(response.json()['detail']).toBe(
      '/ws/* has 2 open WebSockets, the limit set by max_websockets. Connect again later.',
    );
    expect(response.values('retry-after')).toEqual(['1']);
    expect(handshakes).toHaveLength(2);
    // Its own deadline ends it.
    expect((await silent.nextResponse()).status).toBe(504);
    await expect.poll(async () => (await (await open(proxy.port, '/ws/no')).nextResponse()).status).toBe(403);
    await expect.poll(async () => (await (await open(proxy.port)).nextResponse()).status).toBe(101);
  });

  it('is closed on both sides after websocket_idle_timeout', async () => {
    const upstreams: Duplex[] = [];
    const { proxy, client } = await startWebSockets(
      (req, socket) => {
        upstreams.push(socket);
        switchToEcho(req, socket);
      },
      { websocket_idle_timeout: '300ms' },
    );
    client.send(handshake('/ws/feed'));
    expect((await client.nextResponse()).status).toBe(101);
    const closed = once(upstreams[0]!, 'close');
    expect(await client.ending).toBe('clean');
    await closed;
    expect(await proxy.logged('websocket_idle_closed')).toMatchObject({ level: 'info', route: '/ws/*' });
  });

  it.each(['the client', 'the provider'])('is not idle while only %s sends now and then', async (who) => {
    const upstreams: Duplex[] = [];
    const { client } = await startWebSockets(
      (req, socket) => {
        upstreams.push(socket);
        if (who === 'the provider') switchToEcho(req, socket);
        else socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      },
      { websocket_idle_timeout: '1500ms' },
    );
    client.send(handshake('/ws/feed'));
    expect((await client.nextResponse()).status).toBe(101);
    for (let i = 0; i < 8; i++) {
      await sleep(400);
      if (who === 'the client') client.send('ping');
      else upstreams[0]!.write('ping');
    }
    expect([client.socket.closed, upstreams[0]!.closed]).toEqual([false, false]);
  });

  it('is closed if one side closes and the other does not, and if a side does not read', async () => {
    const { proxy } = await startWebSockets(
      (req, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
        if (req.url === '/base/unread') socket.pause();
      },
      { websocket_idle_timeout: '500ms' },
    );
    const half = await open(proxy.port, '/ws/half');
    await half.nextResponse();
    half.socket.end();
    const unread = await open(proxy.port, '/ws/unread');
    await unread.nextResponse();
    const bytes = Buffer.alloc(64 * 1024);
    while (unread.socket.write(bytes));
    unread.socket.on('drain', () => unread.socket.write(bytes));
    await Promise.all([half.ending, unread.ending]);
    await expect.poll(async () => (await proxy.server.snapshot()).websockets).toBe(0);
  });
});

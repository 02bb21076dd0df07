import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { handshake } from '../support/websocket.ts';
import { chunks, flood, start, untilIdle, untilReceived } from './support/memory.ts';

/** What the process may grow by. */
const MOST_MIB = 64;

const LARGE = Buffer.alloc(64 * 1024);
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';

describe('unread data takes no memory', { timeout: 120_000 }, () => {
  it.each([
    ['of 256 MiB', 4, 'content-length: 99999999999', LARGE],
    ['in chunks of one byte', 1, 'transfer-encoding: chunked', chunks(10_000)],
  ])('of a response %s that refuses a handshake', async (_, count, framing, bytes) => {
    const sockets: Socket[] = [];
    const { clients, pid, growthMiB } = await start(count, (socket) => {
      sockets.push(socket);
      socket.write(`HTTP/1.1 403 Forbidden\r\n${framing}\r\n\r\n`);
      flood(socket, bytes);
    });
    for (const client of clients) client.pause().write(handshake('/api/feed'));
    await expect.poll(() => sockets.length, { timeout: 60_000 }).toBe(count);
    await untilIdle(pid);
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('of open WebSockets, in either direction', async () => {
    const { clients, pid, growthMiB } = await start(40, (socket, head) => {
      socket.write(SWITCHING);
      if (head.includes('/from-client')) socket.pause();
      else flood(socket, LARGE);
    });
    const [half, rest] = [clients.slice(0, 20), clients.slice(20)];
    for (const client of half) client.pause().write(handshake('/api/from-provider'));
    for (const client of rest) {
      client.write(handshake('/api/from-client'));
      await untilReceived(client, '\r\n\r\n');
      flood(client, LARGE);
    }
    await untilIdle(pid);
    // What has gone through is cleaned up only once there are some 60 MiB of it.
    expect(growthMiB()).toBeLessThan(2 * MOST_MIB);
  });
});

import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { chunks, flood, response, start, untilIdle, untilReceived } from './support/memory.ts';

/** What the process may grow by. As a list of objects, the chunks take several times as much. */
const MOST_MIB = 64;

const LAST_CHUNK = '0\r\n\r\n';

const GET = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';
const POST = 'POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n';

describe('bodies in chunks of one byte take no more memory than their bytes', { timeout: 120_000 }, () => {
  it('while a request is collected for a second attempt', async () => {
    const { clients, growthMiB } = await start(24, (socket) => void socket.end(response('done')));
    const whole = Buffer.concat([Buffer.from(POST), chunks(64 * 1024), Buffer.from(LAST_CHUNK)]);
    for (const client of clients) client.write(whole);
    await Promise.all(clients.map((client) => untilReceived(client, 'done')));
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('while a request is streamed to an upstream that does not read', async () => {
    const { clients, pid, growthMiB } = await start(3, (socket) => void socket.pause());
    const many = chunks(10_000);
    for (const client of clients) {
      client.write(POST);
      flood(client, many);
    }
    await untilIdle(pid);
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('while requests wait behind a slow one on their connection', async () => {
    const { clients, pid, growthMiB } = await start(24, () => undefined);
    const waiting = Buffer.concat([Buffer.from(POST), chunks(16_000), Buffer.from(LAST_CHUNK)]);
    for (const client of clients) client.write(Buffer.concat([Buffer.from(GET), waiting, waiting, waiting]));
    await untilIdle(pid);
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('while a response is held because its body decides', async () => {
    const sockets: Socket[] = [];
    const { clients, growthMiB } = await start(100, (socket) => {
      sockets.push(socket);
      socket.write('HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n');
      socket.write(chunks(16_000));
    });
    for (const client of clients) client.write(GET);
    await expect.poll(() => sockets.length, { timeout: 60_000 }).toBe(clients.length);
    for (const socket of sockets) socket.end(LAST_CHUNK);
    await Promise.all(clients.map((client) => untilReceived(client, '404 Not Found')));
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('while a client does not read its response', async () => {
    const sockets: Socket[] = [];
    const many = chunks(10_000);
    const { clients, pid, growthMiB } = await start(8, (socket) => {
      sockets.push(socket);
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      flood(socket, many);
    });
    for (const client of clients) client.pause().write(GET);
    await expect.poll(() => sockets.length, { timeout: 60_000 }).toBe(clients.length);
    await untilIdle(pid);
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('while the inspector keeps them', async () => {
    const { clients, growthMiB } = await start(24, (socket) => void socket.end(response('done')), {
      inspect_bodies: true,
      admin: '127.0.0.1:0',
    });
    const whole = Buffer.concat([Buffer.from(POST), chunks(16 * 1024), Buffer.from(LAST_CHUNK)]);
    for (let round = 0; round < 3; round++) {
      for (const client of clients) client.write(whole);
      await Promise.all(clients.map((client) => untilReceived(client, 'done')));
    }
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });
});

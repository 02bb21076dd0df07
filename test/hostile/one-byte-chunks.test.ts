import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { forgetPeak, residentMiB } from '../soak/proc.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo } from '../support/proxy-server.ts';
import { TOKEN_PATH } from '../support/upstream-raw.ts';

/** What the process may grow by. As a list of objects, the chunks take several times as much. */
const MOST_MIB = 64;

const LAST_CHUNK = '0\r\n\r\n';

const GET = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';
const POST = 'POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n';

function chunks(count: number): Buffer {
  return Buffer.from('1\r\nx\r\n'.repeat(count));
}

function response(body: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** Calls `onRequest` for the head of each API request, and issues tokens. Bodies are read for nothing. */
async function upstream(onRequest: (socket: Socket, head: string) => void): Promise<string> {
  const server = createServer((socket) => {
    let head = '';
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    socket.on('data', (bytes) => {
      if (!head.includes('\r\n\r\n')) head += bytes.toString('latin1');
      else return;
      if (!head.includes('\r\n\r\n')) return;
      if (!head.includes(TOKEN_PATH)) onRequest(socket, head);
      else socket.end(response('{"access_token":"real-token-1","expires_in":3600}'));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A proxy in a process of its own, and clients that are connected to it. */
async function start(connections: number, onRequest: (socket: Socket, head: string) => void, settings = {}) {
  const origin = await upstream((socket, head) => {
    if (head.includes('/warm')) socket.end(response('ok'));
    else onRequest(socket, head);
  });
  const route = routeTo({ origin });
  const token = { ...(route['token'] as object), dead_token: [{ status: 404, body: { error: 'dead' } }] };
  const common = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', ...settings };
  const cli = new CliProcess(['serve', '-c', configFile({ ...common, routes: { '/api/*': { ...route, token } } })]);
  const [, found] = await cli.until(/"listen":"127\.0\.0\.1:(\d+)".*"msg":"ready"/);
  const port = Number(found);
  for (let i = 0; i < 20; i++) expect((await fetch(`http://127.0.0.1:${port}/api/warm`)).status).toBe(200);
  const clients = await Promise.all(Array.from({ length: connections }, () => open(port)));
  const before = residentMiB(cli.pid).now;
  forgetPeak(cli.pid);
  return { clients, pid: cli.pid, growthMiB: () => Math.round(residentMiB(cli.pid).peak - before) };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function untilReceived(socket: Socket, text: string): Promise<void> {
  let received = '';
  for await (const bytes of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    received += bytes.toString('latin1');
    if (received.includes(text)) return;
  }
  throw new Error(`the connection ended without ${text}`);
}

/** Waits until a process has nothing left to do. */
async function untilIdle(pid: number): Promise<void> {
  // The 14th and 15th field of `proc_pid_stat(5)`.
  const cpuTime = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ').slice(13, 15).join();
  for (let before = ''; before !== cpuTime();) {
    before = cpuTime();
    await sleep(500);
  }
}

/** Writes for as long as the peer reads. */
function flood(socket: Socket, bytes: Buffer): void {
  while (socket.writable && socket.write(bytes));
  socket.once('drain', () => flood(socket, bytes));
}

describe('bodies in chunks of one byte take no more memory than their bytes', { timeout: 120_000 }, () => {
  it('where a request is gathered for a second attempt', async () => {
    const { clients, growthMiB } = await start(24, (socket) => void socket.end(response('done')));
    const whole = Buffer.concat([Buffer.from(POST), chunks(64 * 1024), Buffer.from(LAST_CHUNK)]);
    for (const client of clients) client.write(whole);
    await Promise.all(clients.map((client) => untilReceived(client, 'done')));
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('where a request is streamed to an upstream that does not read', async () => {
    const { clients, pid, growthMiB } = await start(6, (socket) => void socket.pause());
    const many = chunks(10_000);
    for (const client of clients) {
      client.write(POST);
      flood(client, many);
    }
    await untilIdle(pid);
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('where requests wait behind a slow one on their connection', async () => {
    const { clients, pid, growthMiB } = await start(24, () => undefined);
    const waiting = Buffer.concat([Buffer.from(POST), chunks(16_000), Buffer.from(LAST_CHUNK)]);
    for (const client of clients) client.write(Buffer.concat([Buffer.from(GET), waiting, waiting, waiting]));
    await untilIdle(pid);
    expect(growthMiB()).toBeLessThan(MOST_MIB);
  });

  it('where a response is held to be looked at', async () => {
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

  it('where a client does not read its response', async () => {
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

  it('where the inspector keeps them', async () => {
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

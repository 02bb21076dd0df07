import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { resetPeakMemory, residentMiB } from '../../soak/proc.ts';
import { CliProcess, configFile } from '../../support/proxy-process.ts';
import { routeTo } from '../../support/proxy-server.ts';
import { TOKEN_PATH } from '../../support/upstream-raw.ts';

/** This many chunks of one byte. */
export function chunks(count: number): Buffer {
  return Buffer.from('1\r\nx\r\n'.repeat(count));
}

export function response(body: string): string {
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

/** A proxy in its own process, and clients connected to it. */
export async function start(connections: number, onRequest: (socket: Socket, head: string) => void, settings = {}) {
  const origin = await upstream((socket, head) => {
    if (head.includes('/warm')) socket.end(response('ok'));
    else onRequest(socket, head);
  });
  const route = routeTo({ origin });
  const token = { ...(route['token'] as object), dead_token: [{ status: 404, body: { error: 'dead' } }] };
  const common = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', ...settings };
  const cli = new CliProcess([
    'serve',
    '-c',
    configFile({ ...common, routes: { '/api/*': { ...route, token, websocket: true } } }),
  ]);
  const [, found] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
  const port = Number(found);
  for (let i = 0; i < 20; i++) expect((await fetch(`http://127.0.0.1:${port}/api/warm`)).status).toBe(200);
  const clients = await Promise.all(Array.from({ length: connections }, () => open(port)));
  const before = residentMiB(cli.pid).now;
  resetPeakMemory(cli.pid);
  return { clients, pid: cli.pid, growthMiB: () => Math.round(residentMiB(cli.pid).peak - before) };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

export async function untilReceived(socket: Socket, text: string): Promise<void> {
  let received = '';
  for await (const bytes of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    received += bytes.toString('latin1');
    if (received.includes(text)) return;
  }
  throw new Error(`the connection ended without ${text}`);
}

/** Waits until a process has nothing left to do. */
export async function untilIdle(pid: number): Promise<void> {
  // The 14th and 15th field of `proc_pid_stat(5)`.
  const cpuTime = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ').slice(13, 15).join();
  for (let before = ''; before !== cpuTime();) {
    before = cpuTime();
    await sleep(500);
  }
}

/** Writes as long as the peer reads, up to a limit, so that the test ends if the peer never stops. */
export function flood(socket: Socket, bytes: Buffer, left = 256 * 1024 * 1024): void {
  let unsent = left;
  let isFree = true;
  while (isFree && unsent > 0 && socket.writable) {
    isFree = socket.write(bytes);
    unsent -= bytes.length;
  }
  if (!isFree) socket.once('drain', () => flood(socket, bytes, unsent));
}

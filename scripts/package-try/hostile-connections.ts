import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Hostile connections whose handling depends on private fields and defaults of node:http. */

const HOST = 'Host: localhost';

const request = (line: string, ...lines: string[]) => [`${line} HTTP/1.1`, HOST, ...lines, '', ''].join('\r\n');

/** Resets connections immediately and after a moment, when node:http has passed the sockets on. */
export async function breakConnections(port: number, path: string): Promise<void> {
  const slow = request(`GET ${path}`);
  const handshake = request('GET /nowhere', 'Connection: Upgrade', 'Upgrade: websocket');
  const tunnel = request('CONNECT a:1');
  const unfinished = request('CONNECT a:1', 'Content-Length: 9');
  for (const bytes of [tunnel, unfinished, handshake, slow + tunnel, slow + unfinished, slow + handshake]) {
    for (const waitMs of [0, 20]) {
      const socket = await open(port);
      await new Promise((resolve) => socket.write(bytes, resolve));
      await sleep(waitMs);
      socket.resetAndDestroy();
    }
  }
}

/** Sends 100 requests at once: 17 are accepted and get responses. */
export async function pipeline(port: number, path: string): Promise<void> {
  const text = await exchange(port, request(`GET ${path}`).repeat(100));
  assert.equal(text.match(/HTTP\/1\.1 \d+/g)?.length, 17);
}

/** Sends more header lines than Node keeps by default, with the content length last. */
export async function sendManyHeaders(port: number, path: string): Promise<void> {
  const lines = Array.from({ length: 1500 }, (_, number) => `x${number}:`);
  const text = await exchange(
    port,
    request(`POST ${path}`, 'Connection: close', ...lines, 'Content-Length: 3') + 'pay',
  );
  assert.match(text, /^HTTP\/1\.1 431 [^]*1503 header lines/);
}

async function exchange(port: number, bytes: string): Promise<string> {
  const socket = await open(port);
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' }).on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

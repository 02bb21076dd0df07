import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { Connections } from '../../src/server/connections.ts';
import { issue } from '../config/certificate.ts';

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

/** A server whose response is larger than the kernel buffers, and a client that reads nothing. */
async function start(tls: boolean): Promise<{ client: Socket; closed: Promise<unknown>; connections: Connections }> {
  const { cert, key } = issue({ name: 'localhost' });
  const server = tls ? createTlsServer({ cert, key }) : createServer();
  const connections = new Connections(server, () => Infinity, 500);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const closed = once(server, 'connection').then(([socket]) => once(socket as Socket, 'close'));
  server.on('request', (_, res) => res.end(Buffer.alloc(64 * 1024 * 1024)));
  const client: Socket = tls
    ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    : connect(port, '127.0.0.1');
  client.on('error', () => {});
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  client.write(GET);
  return { client, closed, connections };
}

it.each([
  ['plain', false],
  ['TLS', true],
])('a client that reads nothing of a finished response is reset on a %s listener', async (_, tls) => {
  const { client, closed, connections } = await start(tls);
  await closed;
  await expect.poll(() => connections.open).toBe(0);
  client.resume();
  await expect.poll(() => client.closed).toBe(true);
  expect(client.errored).toMatchObject({ code: 'ECONNRESET' });
});

it('a client that reads slowly gets the whole response', async () => {
  const { client } = await start(false);
  let bytes = 0;
  client.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    client.pause();
    setTimeout(() => client.resume(), 1);
  });
  await expect.poll(() => bytes, { timeout: 60_000 }).toBeGreaterThan(64 * 1024 * 1024);
}, 90_000);

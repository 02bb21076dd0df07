import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { issue } from '../config/certificate.ts';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { RawClient } from '../support/raw-client.ts';

const TOKEN = JSON.stringify({ access_token: 't-https-1', expires_in: 60 });
const authority = issue({ name: 'authority', isCa: true });
const { cert, key } = issue({ name: 'provider', issuer: authority });

/** A provider that issues one token and accepts only that one. @returns its port */
async function provider(): Promise<number> {
  const server = createServer({ cert, key }, (req, res) => {
    if (req.url === '/token') res.end(JSON.stringify({ access_token: 't-https-1', expires_in: 60 }));
    else res.writeHead(req.headers.authorization === 'Bearer t-https-1' ? 200 : 401).end('paid');
  });
  return listen(server);
}

/**
 * A provider that refuses WebSocket handshakes by a response without a length, whose connection then ends with a FIN and no
 * `close_notify`: what anyone on the way can do without the key.
 */
async function cutOffProvider(): Promise<number> {
  const server = createTcpServer((tcp) => {
    const socket = new TLSSocket(tcp, { isServer: true, cert, key }).on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      if (bytes.includes('/token')) socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${TOKEN.length}\r\n\r\n${TOKEN}`);
      else socket.write('HTTP/1.1 403 No\r\n\r\nhalf of it', () => setTimeout(() => tcp.end(), 5));
    });
  });
  return listen(server);
}

async function serving(env: Record<string, string>, upstreamPort: number): Promise<number> {
  const url = `https://localhost:${upstreamPort}`;
  const route = {
    environment: 'production',
    upstream: url,
    websocket: true,
    token: { request: { path: '/token' }, response: { access_token: 'access_token', expires_in: 'expires_in' } },
  };
  const config = configFile({
    listen: '127.0.0.1:0',
    admin: `127.0.0.1:${await freePort()}`,
    routes: { '/api/*': route },
  });
  const cli = new CliProcess(['serve', '-c', config], { env });
  const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
  return Number(port);
}

async function responseOver(env: Record<string, string>) {
  return await sendRequest(await serving(env, await provider()), '/api/pay');
}

/** For `NODE_EXTRA_CA_CERTS`. */
function authorityFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'ca.pem'), authority.cert);
  return join(folder, 'ca.pem');
}

it('a provider over HTTPS gets token requests and calls if its certificate is trusted', async () => {
  const response = await responseOver({ NODE_EXTRA_CA_CERTS: authorityFile() });
  expect([response.status, response.body.toString()]).toEqual([200, 'paid']);
}, 60_000);

it('a provider whose certificate is not trusted gets no credentials, whatever the environment variables say', async () => {
  const response = await responseOver({ NODE_TLS_REJECT_UNAUTHORIZED: '0' });
  expect(response.status).toBe(503);
  expect(response.json()).toMatchObject({ code: 'token_unavailable', outcome: 'not_sent' });
}, 60_000);

it('a truncated response to a refused WebSocket handshake is not taken for complete', async () => {
  const port = await serving({ NODE_EXTRA_CA_CERTS: authorityFile() }, await cutOffProvider());
  const client = await RawClient.open(port);
  client.send(
    ['GET /api/ws HTTP/1.1', 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', '', ''].join('\r\n'),
  );
  await expect(client.nextResponse()).rejects.toThrow('the connection ended within a response');
}, 60_000);

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, temporaryDirectory } from '../support/proxy-process.ts';
import { routeTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { chunk, RawUpstream, reply } from '../support/upstream-raw.ts';

const LIBRARY = new URL('../../src/library/index.ts', import.meta.url).href;

const APP = `
import { createServer } from 'node:http';
import { createWakala } from ${JSON.stringify(LIBRARY)};
const proxy = createWakala({ config: JSON.parse(process.argv[2]), env: {} });
const server = createServer((req, res) => {
  if (req.url === '/alive') res.end('alive');
  else if (req.url === '/close') proxy.close().then(() => res.end('closed'));
  else proxy.handler(req, res);
  // A fault of the app: it ends what the proxy writes, once the client is behind.
  const timer = setInterval(() => { if (req.url === '/api/long' && res.writableLength > 0) res.end(); }, 1);
  res.once('close', () => clearInterval(timer));
});
server.on('upgrade', proxy.upgrade);
server.listen(0, '127.0.0.1', () => console.log('port', server.address().port));
`;

const HANDSHAKE = ['Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', '', ''];
const upgrade = (target: string, ...lines: string[]) => [`GET ${target} HTTP/1.1`, ...lines, ...HANDSHAKE].join('\r\n');

/** An app in its own process. `opening`: the proxy waits a second for a token store that does not respond. */
async function startApp({ opening = false } = {}) {
  const silent = await RawUpstream.start(() => undefined);
  const upstream = await RawUpstream.start(({ target, socket }) => {
    if (target !== '/long') return target === '/held' ? undefined : reply(200, 'fine');
    const timer = setInterval(() => {
      if (socket.writable) socket.write(chunk('x'.repeat(10_000)));
    }, 1);
    socket.once('close', () => clearInterval(timer));
    return 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  });
  const redis = silent.origin.replace('http:', 'redis:');
  const store = { token_store: { redis, encryption_key: 'k'.repeat(44) } };
  const config = { routes: { '/api/*': routeTo(upstream, { websocket: true }) }, ...(opening ? store : {}) };
  const file = path.join(temporaryDirectory(), 'app.mjs');
  writeFileSync(file, APP);
  const app = new CliProcess([JSON.stringify(config)], { cli: file });
  const [, port] = await app.until(/port (\d+)/);
  return { app, port: Number(port), upstream };
}

async function expectAlive(port: number): Promise<void> {
  for (let i = 0; i < 2; i++) expect((await sendRequest(port, '/alive')).text).toBe('alive');
}

describe('an app with the library keeps running', { timeout: 60_000 }, () => {
  it.each([
    ['while it opens', true],
    ['once it is open', false],
  ])('if a connection is reset after a handshake, %s', async (_, opening) => {
    const { port, upstream } = await startApp({ opening });
    const get = 'GET /api/held HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const bodies = [upgrade('/api/x', 'Content-Length: 9'), upgrade('/api/x', 'Transfer-Encoding: chunked')];
    for (const bytes of [upgrade('/api/held'), upgrade('/nowhere'), get + upgrade('/api/x'), ...bodies]) {
      for (const waitMs of [0, 10]) {
        const client = await RawClient.open(port);
        await new Promise((resolve) => client.socket.write(bytes, resolve));
        await sleep(waitMs);
        client.socket.resetAndDestroy();
        await expectAlive(port);
      }
    }
    if (opening) expect(upstream.received).toHaveLength(0);
    expect((await sendRequest(port, '/api/x')).text).toBe('fine');
  });

  it('if a handshake comes after close', async () => {
    const { port } = await startApp();
    expect((await sendRequest(port, '/close')).text).toBe('closed');
    for (const target of ['/api/x', '/nowhere']) {
      const client = await RawClient.open(port);
      client.send(upgrade(target));
      await client.until('HTTP/1.1 ');
      client.socket.resetAndDestroy();
      await expectAlive(port);
    }
    expect((await sendRequest(port, '/api/x')).status).toBeGreaterThanOrEqual(500);
  });

  it('if the app ends a response that the proxy is still writing', async () => {
    const { port } = await startApp();
    const client = await RawClient.open(port);
    client.socket.pause();
    client.send('GET /api/long HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await sleep(3000);
    await expectAlive(port);
  });
});

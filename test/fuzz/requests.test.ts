import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { silentLog } from '../../src/logger.ts';
import { type RunningServer, startServer } from '../../src/server/server.ts';
import { rawRequest } from './corpus.ts';
import { fuzz } from './random.ts';
import { requestsIn, type StrictRequest, StrictUpstream } from './strict.ts';

const TOKEN = 'real-token-0123456789';
const PROBE = 'GET /api/probe HTTP/1.1\r\nHost: localhost\r\n\r\n';

const uncaught: unknown[] = [];
const onUncaught = (error: unknown) => void uncaught.push(error);
let upstream: StrictUpstream;
let server: RunningServer;

beforeAll(async () => {
  process.on('uncaughtException', onUncaught).on('unhandledRejection', onUncaught);
  upstream = await StrictUpstream.start();
  const route = {
    provider: 'static',
    upstream: `http://127.0.0.1:${upstream.port}/base`,
    credentials: { token: TOKEN },
  };
  const written = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', routes: { '/api/*': route } };
  const { config } = loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} });
  server = await startServer(config, { log: silentLog });
});

afterAll(async () => {
  probe.close();
  await server.drain();
  upstream.close();
  process.off('uncaughtException', onUncaught).off('unhandledRejection', onUncaught);
});

/** A kept connection. A response on it shows that the process is alive and has read earlier bytes. */
class Probe {
  #socket: Socket | undefined;

  async request(): Promise<void> {
    this.#socket ??= connect(server.address.port, '127.0.0.1').setEncoding('latin1').setNoDelay(true);
    this.#socket.write(PROBE);
    let text = '';
    while (!text.endsWith('\r\n\r\nfine')) text += String(await once(this.#socket, 'data'));
    if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`the probe got ${text}`);
  }

  close(): void {
    this.#socket?.destroy();
  }
}

const probe = new Probe();
const seen = { forwarded: 0, refused: 0 };

/** Sends the bytes and a FIN. @returns everything received until the connection was closed */
async function exchange(bytes: string): Promise<string> {
  const socket = connect(server.address.port, '127.0.0.1').setNoDelay(true);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  let received = '';
  socket.setEncoding('latin1').on('data', (piece: string) => (received += piece));
  socket.on('error', () => {});
  socket.write(Buffer.from(bytes, 'latin1'));
  await probe.request();
  socket.end();
  await closed;
  await probe.request();
  return received;
}

async function check(bytes: string): Promise<void> {
  const received = await exchange(bytes);
  const { requests, faults } = upstream.take();
  const sent = requests.filter(({ target }) => target !== '/base/probe');
  if (uncaught.length > 0) throw new Error(`uncaught error ${String(uncaught.splice(0)[0])}`);
  if (faults.length > 0) throw new Error(`the upstream got ${faults.join('; ')}`);
  const meant = requestsIn(bytes);
  const left = [...meant];
  for (const request of sent) {
    expectToken(request);
    const at = left.findIndex((each) => isSame(each, request));
    if (at === -1) throw new Error(`unexpected request ${JSON.stringify(request)}`);
    left.splice(at, 1);
  }
  const responses = received.match(/HTTP\/1\.1 [2-5]\d\d /g) ?? [];
  if (responses.length > meant.length + 1) throw new Error(`${responses.length} responses to ${meant.length} requests`);
  if (received.includes(TOKEN)) throw new Error('the client got the token');
  seen[sent.length > 0 ? 'forwarded' : 'refused'] += 1;
}

function expectToken({ headers }: StrictRequest): void {
  const logins = headers.filter(([name]) => name.toLowerCase().replace(/[-_]/g, '') === 'authorization');
  if (logins.length !== 1 || logins[0]?.[1] !== `Bearer ${TOKEN}`) throw new Error(`login ${JSON.stringify(logins)}`);
  const hop = headers.find(([name]) => /^(proxy([-_].*)?|te|trailer|upgrade|expect|keep[-_]alive)$/i.test(name));
  if (hop !== undefined) throw new Error(`the header ${hop.join()} was sent`);
}

function isSame(meant: StrictRequest, sent: StrictRequest): boolean {
  const path = meant.target.replace(/^https?:\/\/[^/?]*/i, '');
  return meant.method === sent.method && path.replace(/^\/api/, '/base') === sent.target && meant.body === sent.body;
}

describe('any bytes on a connection', { timeout: 120_000 }, () => {
  it('are forwarded only as a strict parser reads them, with the token, and do not crash the process', async () => {
    await fuzz({ name: 'raw requests', count: 20_000, make: rawRequest, check });
    expect(Math.min(seen.forwarded, seen.refused)).toBeGreaterThan(300);
  });
});

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmulator } from '../../src/emulators/emulator.ts';
import { createWakala } from '../../src/library/index.ts';
import { silentLog } from '../../src/logger.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { Pipelining } from '../../src/server/pipelining.ts';
import { makePki, SHOP, startTlsProxy, tlsFiles } from '../e2e/access/support.ts';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { RawReader } from '../support/raw-message.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

/** The request that is handled, and those that wait. */
const MOST = 17;

const get = (path: string, ...lines: string[]) =>
  [`GET ${path} HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n');

/** The requests that servers of this process handled during a test, and their connections. */
function taken(): { readonly count: () => number; readonly bytesRead: () => number } {
  let count = 0;
  const sockets = new Set<Socket>();
  const onStart = (message: unknown) => {
    count += 1;
    sockets.add((message as { request: IncomingMessage }).request.socket);
  };
  subscribe('http.server.request.start', onStart);
  onTestFinished(() => void unsubscribe('http.server.request.start', onStart));
  return { count: () => count, bytesRead: () => [...sockets].reduce((sum, socket) => sum + socket.bytesRead, 0) };
}

interface Client {
  readonly socket: Socket;
  /** The bodies of the complete responses so far. */
  bodies(): string[];
  text(): string;
}

/** A client that reads everything. */
async function open(port: number, tls = false): Promise<Client> {
  const socket = tls ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, tls ? 'secureConnect' : 'connect');
  const reader = new RawReader();
  const bodies: string[] = [];
  let text = '';
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
    reader.push(bytes);
    for (let next = reader.take('still coming'); next !== undefined; next = reader.take('still coming')) {
      bodies.push(next.body.toString());
    }
  });
  return { socket, bodies: () => bodies, text: () => text };
}

/** Writes `piece` repeatedly, up to this many bytes. Stops if the connection closes, or stalls for a while. */
async function flood({ socket }: Client, piece: string, bytes: number): Promise<void> {
  const block = Buffer.from(piece.repeat(Math.ceil(65_536 / piece.length)), 'latin1');
  for (let sent = 0; sent < bytes && socket.writable; sent += block.length) {
    if (socket.write(block)) continue;
    const over = new AbortController();
    const { signal } = over;
    const events = ['drain', 'close'].map((event) => once(socket, event, { signal }));
    await Promise.race([...events, sleep(500, undefined, { signal })]).catch(() => undefined);
    over.abort();
    await Promise.allSettled(events);
    if (socket.writableNeedDrain) return;
  }
}

function startUpstream() {
  return RawUpstream.start(({ target }) => (target === '/held' ? undefined : reply(200, target)));
}

const LISTENERS = [
  ['plain', false],
  ['TLS', true],
] as const;

async function start(tls: boolean, settings: Settings = {}, route: Settings = {}) {
  const upstream = await startUpstream();
  const written = { routes: { '/api/*': routeTo(upstream, route) }, ...settings };
  const { port } = tls ? await startTlsProxy(written, tlsFiles(makePki())) : await startProxy(written);
  const client = await open(port, tls);
  return { upstream, port, client, requests: taken() };
}

describe.each(LISTENERS)('pipelined requests on a %s listener', (_, tls) => {
  it('get their responses in order if up to sixteen wait', async () => {
    const { upstream, client, requests } = await start(tls);
    const paths = Array.from({ length: MOST - 1 }, (_, number) => `/${number}`);
    client.socket.write(get('/api/held') + paths.map((path) => get(`/api${path}`)).join(''));
    (await upstream.request()).send(reply(200, '/held'));
    await expect.poll(client.bodies).toEqual(['/held', ...paths]);
    // The connection stays open.
    client.socket.write(get('/api/again'));
    await expect.poll(() => client.bodies().at(-1)).toBe('/again');
    expect(requests.count()).toBe(MOST + 1);
  });

  it('get their responses if sixteen wait again and again', async () => {
    const { client } = await start(tls);
    for (let round = 1; round <= 5; round++) {
      client.socket.write(get('/api/x').repeat(MOST));
      await expect.poll(() => client.bodies().length).toBe(round * MOST);
    }
  });

  it('beyond sixteen are not handled: those before get their responses, and the connection ends', async () => {
    const { upstream, client, requests } = await start(tls);
    const paths = Array.from({ length: 100 }, (_, number) => `/${number}`);
    client.socket.write(get('/api/held') + paths.map((path) => get(`/api${path}`)).join(''));
    const closed = once(client.socket, 'close');
    (await upstream.request()).send(reply(200, '/held'));
    expect(await closed).toEqual([false]);
    expect(client.bodies()).toEqual(['/held', ...paths.slice(0, MOST - 1)]);
    expect(client.text()).toMatch(/connection: close\r\n(?![^]*HTTP\/1\.1)/i);
    expect(requests.count()).toBe(MOST);
    expect(upstream.requests).toHaveLength(MOST);
  });

  it('without end are not handled, and those before get their responses', async () => {
    const { upstream, client, requests } = await start(tls);
    client.socket.write(get('/api/held'));
    const held = await upstream.request();
    await flood(client, get('/api/x'), 30_000_000);
    expect(requests.count()).toBe(MOST);
    const closed = once(client.socket, 'close');
    held.send(reply(200, '/held'));
    await closed;
    expect(client.bodies()).toEqual(['/held', ...Array.from({ length: MOST - 1 }, () => '/x')]);
  });

  it.each([
    ['without a key', get('/api/x')],
    ['with an expectation that cannot be met', get('/api/x', 'Expect: gold', `Authorization: Bearer ${SHOP.key}`)],
    ['with refused framing', get('/api/x', 'Transfer-Encoding: gzip, chunked')],
    ['that are CONNECT', get('/api/x').replace('GET /api/x', 'CONNECT a:1')],
  ])('without end %s are not handled either', async (_, refused) => {
    const { upstream, client, requests } = await start(tls, { clients: [SHOP] });
    client.socket.write(get('/api/held', `Authorization: Bearer ${SHOP.key}`));
    await upstream.request();
    await flood(client, refused, 5_000_000);
    expect(requests.count()).toBeLessThanOrEqual(MOST);
  });

  it.each([
    [
      'the body of one that waits',
      get('/api/x').replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 99999999\r\n\r\n'),
    ],
    ['what follows a handshake that waits', get('/api/ws', 'Connection: Upgrade', 'Upgrade: websocket')],
  ])('hold back %s', async (_, waiting) => {
    const { upstream, client, requests } = await start(tls, {}, { websocket: true });
    client.socket.write(get('/api/held') + waiting);
    await upstream.request();
    await flood(client, 'x', 30_000_000);
    expect(requests.bytesRead()).toBeLessThan(1_000_000);
  });
});

describe('pipelined requests without end', () => {
  it('to the admin listener are not handled', async () => {
    const proxy = await startProxy({ admin: '127.0.0.1:0', routes: { '/api/*': routeTo(await startUpstream()) } });
    const client = await open(proxy.server.admin?.port ?? 0);
    // This response never ends.
    client.socket.write(get('/api/events'));
    await expect.poll(client.text).toContain('200 OK');
    const requests = taken();
    await flood(client, get('/'), 5_000_000);
    expect(requests.count()).toBeLessThan(MOST);
  });

  it('to an emulator end the connection', async () => {
    const emulator = await startEmulator(providerNamed('paypack')!, { port: 0 });
    onTestFinished(() => emulator.close());
    const client = await open(Number(new URL(emulator.apiUrl).port));
    emulator.control({ token_delay_ms: 60_000 });
    const body = '{"client_id":"x","client_secret":"y"}';
    const lines = ['Content-Type: application/json', `Content-Length: ${body.length}`];
    client.socket.write(get('/api/auth/agents/authorize', ...lines).replace('GET', 'POST') + body);
    const requests = taken();
    await flood(client, get('/x'), 5_000_000);
    // As many as Node read at once.
    expect(requests.count()).toBeLessThan(3000);
    await expect.poll(() => client.socket.destroyed).toBe(true);
  });
});

describe('pipelined requests to an app with the library', () => {
  async function startApp() {
    const upstream = await startUpstream();
    const proxy = createWakala({
      config: { routes: { '/api/*': routeTo(upstream) } },
      log: silentLog,
      env: {},
    });
    const server = createServer((req, res) => proxy.handler(req, res)).on('upgrade', proxy.upgrade);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(async () => {
      server.closeAllConnections();
      server.close();
      await proxy.close();
    });
    const client = await open((server.address() as AddressInfo).port);
    return { upstream, server, client, requests: taken() };
  }

  it('beyond sixteen are dropped: those before get their responses, and the connection ends', async () => {
    const { upstream, server, client, requests } = await startApp();
    const errors: unknown[] = [];
    server.on('clientError', (error) => errors.push(error));
    client.socket.write(get('/api/held'));
    const held = await upstream.request();
    client.socket.write(get('/api/x').repeat(MOST) + get('/api/x').replace('GET', 'CONNECT'));
    await flood(client, get('/api/x'), 5_000_000);
    expect(requests.count()).toBe(MOST);
    const closed = once(client.socket, 'close');
    held.send(reply(200, '/held'));
    await closed;
    expect(errors).toEqual([]);
    expect(client.bodies()[0]).toBe('/held');
  });

  it('never get the response to a handshake that arrived after them', async () => {
    const { upstream, client } = await startApp();
    client.socket.write(get('/api/held') + get('/nowhere', 'Connection: Upgrade', 'Upgrade: websocket'));
    const held = await upstream.request();
    held.send(reply(200, '/held'));
    await expect.poll(client.text).toContain('404');
    expect(client.bodies()[0]).toBe('/held');
  });
});

it('a connection is closed if more wait and the parser of Node cannot be stopped', () => {
  const socket = new PassThrough();
  const pipelining = new Pipelining();
  const wait = () => {
    const res = Object.assign(new EventEmitter(), { socket: null });
    const req = { socket, headers: {} } as unknown as IncomingMessage;
    pipelining.afterPendingResponse(req, res as unknown as ServerResponse, () => undefined);
  };
  for (let i = 1; i < MOST; i++) wait();
  expect(socket.destroyed).toBe(false);
  wait();
  expect(socket.destroyed).toBe(true);
});

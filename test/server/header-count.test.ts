import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmulator } from '../../src/emulators/emulator.ts';
import { createWakala, type WakalaConfig } from '../../src/library/index.ts';
import { silentLog } from '../../src/logger.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { makePki, startTlsProxy, tlsFiles } from '../e2e/access/support.ts';
import { expectProblem } from '../support/proxy-client.ts';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { valuesOf } from '../support/raw-message.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

/** More than Node accepts by default. */
const MANY = 1500;

const HANDSHAKE = ['Connection: Upgrade', 'Upgrade: websocket'];

const fillers = (count: number) => Array.from({ length: count }, (_, number) => `x${number}:`);

/** A request with this many header lines: Host, and the named ones last. */
function request(line: string, count: number, ...lines: string[]): string {
  return [`${line} HTTP/1.1`, 'Host: localhost', ...fillers(count - lines.length - 1), ...lines, '', ''].join('\r\n');
}

const TOO_MANY = { status: 431, code: 'header_too_large', outcome: 'not_sent' } as const;

async function start() {
  const upstream = await RawUpstream.start(({ headers }) => reply(200, String(headers.length)));
  const proxy = await startProxyTo(upstream, { websocket: true });
  return { upstream, port: proxy.port };
}

describe('a request to a proxy', () => {
  it('is forwarded with 200 header lines', async () => {
    const { upstream, port } = await start();
    expect((await sendRaw(port, request('GET /api/x', 200))).status).toBe(200);
    const [sent] = upstream.requests;
    expect(sent?.headers.filter(([name]) => /^x\d+$/.test(name))).toHaveLength(199);
  });

  it.each([
    ['201', request('GET /api/x', 201)],
    ['more than Node keeps', request('POST /api/x', MANY, 'Idempotency-Key: k', 'Content-Length: 3') + 'pay'],
    ['chunks', request('POST /api/x', 201, 'Transfer-Encoding: chunked') + '3\r\npay\r\n0\r\n\r\n'],
    ['an expectation', request('POST /api/x', 201, 'Expect: gold')],
    ['a continuation', request('POST /api/x', 201, 'Expect: 100-continue', 'Content-Length: 3')],
    ['a handshake', request('GET /api/x', 201, ...HANDSHAKE)],
    ['CONNECT', request('CONNECT a:1', 201)],
    ['bad framing too', request('POST /api/x', 201, 'Transfer-Encoding: gzip, chunked')],
  ])('is refused with more: %s', async (_, bytes) => {
    const { upstream, port } = await start();
    const response = await sendRaw(port, bytes);
    expectProblem(response, TOO_MANY);
    expect(response.json()['detail']).toMatch(
      /^The request has (201|1500) header lines\. Send at most 200\. Nothing was sent\.$/,
    );
    expect(upstream.received).toHaveLength(0);
  });

  it('is refused if its header lines arrive one by one', async () => {
    const { upstream, port } = await start();
    const client = await RawClient.open(port);
    client.socket.setNoDelay(true);
    const bytes = request('POST /api/x', MANY, 'Content-Length: 3') + 'pay';
    for (let at = 0; at < bytes.length; at += 1000) {
      client.send(bytes.slice(at, at + 1000));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expectProblem(await client.nextResponse(), TOO_MANY);
    // Its body was not parsed as the next request.
    client.send(request('GET /api/x', 1));
    expect((await client.nextResponse()).status).toBe(200);
    expect(upstream.requests).toHaveLength(1);
  });

  it('is refused on a TLS listener', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const { port } = await startTlsProxy({ routes: { '/api/*': routeTo(upstream) } }, tlsFiles(makePki()));
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    onTestFinished(() => void socket.destroy());
    socket.write(request('POST /api/x', 201, 'Content-Length: 3') + 'pay');
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 431 /);
    expect(upstream.received).toHaveLength(0);
  });
});

describe('a request to an app with the library', () => {
  async function startApp(maxHeadersCount?: number) {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const config = { routes: { '/api/*': routeTo(upstream, { websocket: true }) } } as WakalaConfig;
    const proxy = createWakala({ config, log: silentLog, env: {} });
    const server = createServer(proxy.handler).on('upgrade', proxy.upgrade);
    if (maxHeadersCount !== undefined) server.maxHeadersCount = maxHeadersCount;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(async () => {
      server.closeAllConnections();
      server.close();
      await proxy.close();
    });
    return { upstream, port: (server.address() as AddressInfo).port };
  }

  it.each([
    ['of 201', undefined, 201],
    ['where the server keeps no more than 50, and has 50', 50, 50],
    ['where the server keeps all', 0, MANY],
  ])('is refused %s', async (_, max, count) => {
    const { upstream, port } = await startApp(max);
    expectProblem(await sendRaw(port, request('POST /api/x', count, 'Content-Length: 3') + 'pay'), TOO_MANY);
    expectProblem(await sendRaw(port, request('GET /api/x', count, ...HANDSHAKE)), TOO_MANY);
    expect(upstream.received).toHaveLength(0);
  });

  it.each([
    ['keeps no more than 50', 50, 51],
    ['has the default', undefined, MANY],
  ])('is refused by Node or by Wakala if the server %s', async (_, max, count) => {
    const { upstream, port } = await startApp(max);
    expect((await sendRaw(port, request('POST /api/x', count, 'Content-Length: 3') + 'pay')).status).toBe(431);
    expect((await sendRaw(port, request('GET /api/x', count, ...HANDSHAKE))).status).toBe(431);
    expect(upstream.received).toHaveLength(0);
  });

  it.each([
    [undefined, 200],
    [50, 49],
    [0, 200],
  ])('is forwarded if no line can be missing: maxHeadersCount %s, %i lines', async (max, count) => {
    const { port } = await startApp(max);
    expect((await sendRaw(port, request('GET /api/x', count))).status).toBe(200);
  });
});

it('the admin listener reads the last of many header lines', async () => {
  const routes = { '/api/*': routeTo({ origin: 'http://127.0.0.1:1' }) };
  const proxy = await startProxy({ admin: '127.0.0.1:0', routes });
  // A request of a page of another site is refused.
  const bytes = request('POST /api/routes/api/refresh', MANY, 'Sec-Fetch-Site: cross-site');
  expect((await sendRaw(proxy.server.admin?.port ?? 0, bytes)).status).toBe(403);
});

it('an emulator reads the last of many header lines', async () => {
  const emulator = await startEmulator(providerNamed('static')!, { port: 0 });
  onTestFinished(() => emulator.close());
  const token = [...emulator.credentials.values()][0]!.reveal();
  const authorization = `Authorization: Bearer ${token}`;
  const response = await sendRaw(Number(new URL(emulator.apiUrl).port), request('GET /x', MANY, authorization));
  expect(response.status).toBe(200);
});

describe('an upstream response with many header lines', () => {
  const many = fillers(MANY);

  it('reaches the client complete', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine', ...many, 'last: one'));
    const { port } = await startProxyTo(upstream);
    const response = await sendRaw(port, request('GET /api/x', 1));
    expect([response.values('last'), response.headers.filter(([name]) => /^x\d+$/.test(name)).length]).toEqual([
      ['one'],
      MANY,
    ]);
  });

  it('to a handshake reaches the client complete', async () => {
    const lines = ['HTTP/1.1 101 Switching Protocols', ...HANDSHAKE, ...many, 'Sec-WebSocket-Accept: last', '', ''];
    const upstream = await RawUpstream.start(() => lines.join('\r\n'));
    const { port } = await startProxyTo(upstream, { websocket: true });
    const response = await sendRaw(port, request('GET /api/x', 3, ...HANDSHAKE));
    expect([response.status, valuesOf(response, 'sec-websocket-accept')]).toEqual([101, ['last']]);
  });
});

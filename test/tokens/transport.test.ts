import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { mpesa } from '../../src/providers/mpesa.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { Secret } from '../../src/secret.ts';
import type { TokenRequest } from '../../src/tokens/token-request.ts';
import { settled } from '../support/manual-clock.ts';
import { createFetcher, network } from '../support/token-exchange.ts';
import { expectNoSecret, refusalOf } from '../support/token-fakes.ts';

const KIB = 1024;

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A token endpoint on loopback, closed when the test ends. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return await listening(server);
}

/** A server that responds to the first bytes of each connection with `bytes`, and closes the connection if `ends`. */
async function serveBytes(bytes: string, ends = true): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => (ends ? socket.end(bytes) : socket.write(bytes)));
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return await listening(server);
}

/** A port without a listener. */
async function closedPort(): Promise<string> {
  const server = createTcpServer();
  const url = await listening(server);
  server.close();
  await once(server, 'close');
  return url;
}

const get = (url: string): TokenRequest => ({ method: 'GET', url, headers: {}, body: undefined });
const never = new AbortController().signal;

describe('the network transport', () => {
  it('reads the last of more headers than Node keeps by default', async () => {
    const fillers = Array.from({ length: 1500 }, (_, number) => `x${number}:`);
    const head = ['HTTP/1.1 429 Slow Down', 'Content-Length: 0', ...fillers, 'Retry-After: 7', '', ''].join('\r\n');
    const received = await network()(get(await serveBytes(head)), never);
    expect([received.status, received.headers['retry-after']]).toEqual([429, '7']);
  });

  it('refuses a header block of more than 16 KiB', async () => {
    const head = ['HTTP/1.1 200 OK', `x: ${'x'.repeat(17_000)}`, 'Content-Length: 0', '', ''].join('\r\n');
    const asked = network()(get(await serveBytes(head)), never);
    await expect(asked).rejects.toMatchObject({ code: 'HPE_HEADER_OVERFLOW' });
  });

  it('sends method, path, headers and body as they are, and reads status, headers and body', async () => {
    const seen: unknown[] = [];
    const url = await serve((request, response) => {
      const { method, url: target, headers } = request;
      response.writeHead(201, { 'X-Odd': '1', 'Set-Cookie': ['a=1', 'b=2'] });
      request.once('data', (body: Buffer) => {
        seen.push(method, target, headers['api-key'], headers['content-length'], body.toString());
        response.end('{"á":1}');
      });
    });
    const body = Buffer.from('{"k":"ü"}');
    const request = { method: 'POST', url: `${url}/t%2Fx?a=%20b`, headers: { 'api-key': 'k' }, body } as const;
    const received = await network()(request, never);
    expect(seen).toEqual(['POST', '/t%2Fx?a=%20b', 'k', '10', '{"k":"ü"}']);
    expect(received).toMatchObject({ status: 201, body: '{"á":1}' });
    expect(received.headers).toMatchObject({ 'x-odd': '1', 'set-cookie': 'a=1' });
  });

  it('sends a content length of 0 for an empty POST', async () => {
    let length: string | undefined;
    const url = await serve((request, response) => {
      length = request.headers['content-length'];
      response.end('{}');
    });
    await network()({ ...get(url), method: 'POST' }, never);
    expect(length).toBe('0');
  });

  it.each([
    [64 * KIB - 1, true],
    [64 * KIB, true],
    [64 * KIB + 1, false],
  ])('reads a response of %d bytes: %s', async (bytes, whole) => {
    const url = await serve((_, response) => response.end('x'.repeat(bytes)));
    const length = network()(get(url), never).then(({ body }) => body.length);
    if (whole) expect(await length).toBe(bytes);
    else await expect(length).rejects.toMatchObject({ code: 'RESPONSE_TOO_LONG' });
  });

  it('closes the connection of a response of 100 MB instead of reading it', async () => {
    let sent = 0;
    let hungUp: Promise<unknown> | undefined;
    const url = await serve((_, response) => {
      hungUp = once(response, 'close');
      const chunk = Buffer.alloc(64 * KIB, 'x');
      const endless = new Readable({
        read() {
          sent += chunk.length;
          this.push(sent > 100e6 ? null : chunk);
        },
      });
      endless.pipe(response);
    });
    const { fetcher, log } = createFetcher(mpesa, { authServer: url });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.message).toContain('RESPONSE_TOO_LONG at 127.0.0.1');
    await hungUp;
    // What the sockets of both ends hold is sent, and no more.
    expect(sent).toBeLessThan(20e6);
    expect(log.events).toEqual(['token_exchange_failed']);
  });

  it('names the failure if nothing listens', async () => {
    const { fetcher, log, secrets } = createFetcher(mpesa, { authServer: await closedPort() });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal).toMatchObject({ code: 'token_unavailable', outcome: 'not_sent' });
    expect(refusal.message).toContain('ECONNREFUSED at 127.0.0.1');
    expectNoSecret([refusal, log.lines], ...Object.values(secrets));
  });

  it('makes two attempts for a refresh if nothing listens', async () => {
    const { fetcher, log } = createFetcher(paypack, { authServer: await closedPort() });
    const refusal = await refusalOf(fetcher.fetch(new Secret('r-secret-1')));
    expect(refusal.message).toContain('ECONNREFUSED');
    expect(log.events).toEqual(['token_refresh_failed', 'token_reauthorizing', 'token_exchange_failed']);
    expectNoSecret([refusal, log.lines], 'r-secret-1');
  });

  it('fails if the response is incomplete', async () => {
    const url = await serveBytes('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"access_token":"m-secret-1"}');
    const { fetcher, log } = createFetcher(mpesa, { authServer: url });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_unavailable');
    expectNoSecret([refusal, log.lines], 'm-secret-1');
  });

  it.each([
    [
      'a chunk size that is none',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ{"access_token":"m-secret-1"}\r\n',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{"access_token":"m-secret-1"}'],
    ['no HTTP at all', '{"access_token":"m-secret-1"}\r\n\r\n'],
  ])('keeps nothing of a response with %s', async (_, bytes) => {
    const { fetcher, log } = createFetcher(mpesa, { authServer: await serveBytes(bytes) });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_unavailable');
    expectNoSecret([refusal, log.lines], 'm-secret-1');
  });

  it('does not send a header with a line break in it', async () => {
    let asked = 0;
    const url = await serve((_, response) => {
      asked += 1;
      response.end('{}');
    });
    const request = { ...get(url), headers: { 'x-key': 'k-secret-1\r\nx-evil: 1' } };
    const error: unknown = await network()(request, never).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expectNoSecret(error, 'k-secret-1');
    expect(asked).toBe(0);
  });

  it('closes the connection of a request that cannot be made', async () => {
    const closed = Promise.withResolvers<unknown>();
    const server = createTcpServer((socket) => socket.resume().once('close', () => closed.resolve(true)));
    onTestFinished(() => void server.close());
    const request = { ...get(await listening(server)), headers: { 'x-key': 'k\u20ac' } };
    await expect(network()(request, never)).rejects.toMatchObject({ code: 'ERR_INVALID_CHAR' });
    await closed.promise;
  });
});

describe('a token endpoint that does not respond', () => {
  async function silent(head = '') {
    const requests: IncomingMessage[] = [];
    const arrived = Promise.withResolvers<unknown>();
    const url = await serve((request, response) => {
      requests.push(request);
      if (head !== '') response.write(head);
      arrived.resolve(undefined);
    });
    return { url, requests, arrived: arrived.promise };
  }

  it.each([
    ['at all', ''],
    ['to the end', '{"access_token":"m-secret-1",'],
  ])('%s is aborted after 15 s, and not a millisecond before', async (_, head) => {
    const { url, requests, arrived } = await silent(head);
    const { fetcher, clock, log, secrets } = createFetcher(mpesa, { authServer: url });
    let over = false;
    const refusal = refusalOf(fetcher.fetch(undefined)).finally(() => (over = true));
    await arrived;
    await clock.advance(14_999);
    expect(over).toBe(false);
    const closed = once(requests[0]!.socket, 'close');
    await clock.advance(1);
    expect((await refusal).message).toContain('within 15 s');
    expect((await refusal).code).toBe('token_unavailable');
    await closed;
    expect(requests).toHaveLength(1);
    expectNoSecret([await refusal, log.lines], 'm-secret-1', ...Object.values(secrets));
  });

  it('is awaited up to `token.timeout`', async () => {
    const { url, arrived } = await silent();
    const { fetcher, clock } = createFetcher(mpesa, { authServer: url, tokenTimeoutMs: 90_000 });
    let over = false;
    const refusal = refusalOf(fetcher.fetch(undefined)).finally(() => (over = true));
    await arrived;
    await clock.advance(89_999);
    expect(over).toBe(false);
    await clock.advance(1);
    expect((await refusal).reason).toMatchObject({ kind: 'timeout', phase: 'token', timeoutMs: 90_000 });
  });

  it('to a refresh is aborted, and the exchange of the credentials has another 15 s', async () => {
    const { url, requests, arrived } = await silent();
    const { fetcher, clock } = createFetcher(paypack, { authServer: url });
    const refusal = refusalOf(fetcher.fetch(new Secret('r-1')));
    await arrived;
    await clock.advance(15_000);
    while (requests.length < 2) await settled();
    expect(requests[1]!.url).toBe('/auth/agents/authorize');
    await clock.advance(15_000);
    expect((await refusal).message).toContain('within 15 s');
    expect(clock.timers).toBe(0);
  });

  it('leaves no timer when it has responded', async () => {
    const url = await serve((_, response) => response.end('{"access_token":"m-1"}'));
    const { fetcher, clock } = createFetcher(mpesa, { authServer: url });
    await fetcher.fetch(undefined);
    expect(clock.delaysMs).toEqual([15_000]);
    expect(clock.timers).toBe(0);
  });
});

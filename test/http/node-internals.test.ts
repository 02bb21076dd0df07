import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  allowHalfClosedClients,
  currentResponse,
  dropRequests,
  enableSessionEvents,
  isConnectionLost,
  mayHaveDroppedHeaders,
  replaceDestroySoon,
  resetConnection,
  socketBelowFailedTls,
  unfinishedRequest,
  unsentBytes,
} from '../../src/http/node-internals.ts';
import { issue } from '../config/certificate.ts';
import { listen } from '../support/listen.ts';

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n';

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/** A server that sends no responses itself, and a client of it. */
async function start(tls: boolean) {
  const { cert, key } = issue({ name: 'localhost' });
  const server: Server = tls ? createTlsServer({ cert, key, allowHalfOpen: true }) : createServer();
  const exchanges: Exchange[] = [];
  server.on('request', (req: IncomingMessage, res: ServerResponse) => exchanges.push({ req, res }));
  const port = await listen(server);
  const client: Socket = tls
    ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    : connect(port, '127.0.0.1');
  client.on('error', () => {});
  client.resume();
  onTestFinished(() => void client.destroy());
  await once(server, tls ? 'secureConnection' : 'connection');
  const exchange = async (number: number): Promise<Exchange> => {
    await expect.poll(() => exchanges.length).toBeGreaterThan(number);
    return exchanges[number]!;
  };
  return { server, client, exchange, exchanges };
}

// Each of them fails where Node has renamed or changed a field.
describe.each([
  ['plain', false],
  ['TLS', true],
])('private fields of node:http on a %s connection', (_, tls) => {
  it('show that a connection was reset while it was not read', async () => {
    const { server, exchange } = await start(tls);
    const raw = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
    const client = tls ? connectTls({ socket: raw, rejectUnauthorized: false }).on('error', () => {}) : raw;
    client.write(GET);
    const { socket } = (await exchange(0)).req;
    expect(isConnectionLost(socket)).toBe(false);
    socket.pause();
    raw.resetAndDestroy();
    await expect.poll(() => isConnectionLost(socket)).toBe(true);
    expect(socket.destroyed).toBe(false);
    socket.destroy();
    expect(isConnectionLost(socket)).toBe(false);
  });

  it('name the response that may write, and none between responses', async () => {
    const { client, exchange } = await start(tls);
    client.write(GET + GET);
    const first = await exchange(0);
    const second = await exchange(1);
    const { socket } = first.req;
    expect(currentResponse(socket)).toBe(first.res);
    first.res.end('x');
    await once(first.res, 'close');
    expect(currentResponse(socket)).toBe(second.res);
    second.res.end('x');
    await once(second.res, 'close');
    expect(currentResponse(socket)).toBe(undefined);
  });

  it('name the request with an incomplete body', async () => {
    const { client, exchange } = await start(tls);
    client.write(POST);
    const { req } = await exchange(0);
    expect(unfinishedRequest(req.socket)).toBe(req);
    client.write('pay');
    req.resume();
    await once(req, 'end');
    expect(unfinishedRequest(req.socket)).toBe(undefined);
  });

  it('tell how many headers the server keeps', async () => {
    const { server, client, exchange } = await start(tls);
    client.write(GET);
    const { req } = await exchange(0);
    const responses = [null, 0, 1, 2].map((count) => {
      server.maxHeadersCount = count;
      return mayHaveDroppedHeaders(req);
    });
    // It has one header line, Host.
    expect(responses).toEqual([false, false, true, false]);
  });

  it.each([['GET /'], ['CONNECT a:1']])(
    'let a request be dropped, with its body and what follows: %s',
    async (line) => {
      const { server, client, exchange, exchanges } = await start(tls);
      const events: string[] = [];
      for (const event of ['clientError', 'connect', 'upgrade']) server.on(event, () => events.push(event));
      client.write(GET);
      const { req, res } = await exchange(0);
      let dropped = 0;
      dropRequests(req.socket, () => ++dropped > 0);
      const large = 1_000_000;
      client.write(POST + 'pay' + POST.replace('3', String(large)) + 'x'.repeat(large));
      client.write(`${line} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await expect.poll(() => dropped).toBe(3);
      res.end('x');
      await once(res, 'close');
      expect([exchanges.length, events, currentResponse(req.socket)]).toEqual([1, [], undefined]);
    },
  );

  it('let a half-closed client receive its response', async () => {
    const { server, client, exchange } = await start(tls);
    allowHalfClosedClients(server);
    let received = '';
    client.on('data', (bytes: Buffer) => (received += bytes.toString('latin1')));
    client.write(GET);
    client.end();
    const { req, res } = await exchange(0);
    await expect.poll(() => req.socket.readableEnded).toBe(true);
    expect(req.socket.destroyed).toBe(false);
    res.end('paid');
    await expect.poll(() => received).toMatch(/paid$/);
    await expect.poll(() => req.socket.destroyed).toBe(true);
  });

  it('close a connection with a reset', async () => {
    const { client, exchange } = await start(tls);
    let error: Error | undefined;
    client.on('error', (found) => (error = found));
    client.write(GET);
    const { req, res } = await exchange(0);
    const closed = once(res, 'close');
    resetConnection(req.socket);
    await closed;
    await expect.poll(() => error).toMatchObject({ code: 'ECONNRESET' });
  });

  it('count the bytes that the kernel has not taken, also within one write', async () => {
    const { client, exchange } = await start(tls);
    client.pause();
    client.write(GET);
    const { req, res } = await exchange(0);
    res.end(Buffer.alloc(64 * 1024 * 1024));
    await expect.poll(() => unsentBytes(req.socket)).toBeGreaterThan(64 * 1024 * 1024);
    const before = unsentBytes(req.socket);
    client.resume();
    const looks = new Set<number>();
    await expect
      .poll(() => looks.add(unsentBytes(req.socket)).size, { interval: 1, timeout: 10_000 })
      .toBeGreaterThan(3);
    expect(Math.max(...looks)).toBeLessThanOrEqual(before);
  });

  it('let a connection be closed in another way than by node:http', async () => {
    const { client, exchange } = await start(tls);
    client.write(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    const { req, res } = await exchange(0);
    const closing = new Promise<void>((resolve) => expect(replaceDestroySoon(req.socket, resolve)).toBe(true));
    expect(replaceDestroySoon(req.socket, () => {})).toBe(false);
    res.end('x');
    await closing;
    expect(req.socket.destroyed).toBe(false);
    req.socket.destroy();
  });
});

describe('a TLS client', () => {
  it('emits `session` also for the second address of a name', async () => {
    const { server } = await start(true);
    const { port } = server.address() as AddressInfo;
    const lookup: LookupFunction = (_host, _options, found) =>
      found(null, [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ]);
    const client = connectTls({ port, host: 'two.test', rejectUnauthorized: false, lookup });
    onTestFinished(() => void client.destroy());
    enableSessionEvents(client);
    await once(client, 'session');
    expect(client.remoteAddress).toBe('127.0.0.1');
  });
});

describe('the TCP socket of a failed TLS handshake', () => {
  it('can be written to in plain text', async () => {
    const { cert, key } = issue({ name: 'localhost' });
    const server = createTlsServer({ cert, key });
    server.on('tlsClientError', (_, socket) => socketBelowFailedTls(socket).end('use https'));
    const client = connect(await listen(server), '127.0.0.1');
    client.write(GET);
    const [bytes] = (await once(client, 'data')) as [Buffer];
    expect(bytes.toString()).toBe('use https');
  });
});

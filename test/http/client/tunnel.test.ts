import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import type { ConnectOptions, EgressProxy } from '../../../src/http/client/connect-options.ts';
import { originOf } from '../../../src/http/client/origin.ts';
import type { PoolOptions } from '../../../src/http/client/pool.ts';
import { requestTunnel } from '../../../src/http/client/tunnel.ts';
import { Secret } from '../../../src/secret.ts';
import { issue } from '../../config/certificate.ts';
import { type EgressProxyOptions, EgressProxyServer } from '../../support/egress-proxy.ts';
import { freePort } from '../../support/free-port.ts';
import { valuesOf } from '../../support/raw-message.ts';
import { iterations, poolTo, RawServer, response, send, sent, type ServerOptions, until } from './harness.ts';

const AUTHORITY = issue({ name: 'Test CA', isCa: true });
const { cert, key } = issue({ name: 'server', issuer: AUTHORITY, names: ['api.test'] });
const TLS = { cert, key };
const CLIENT = issue({ name: 'client', issuer: AUTHORITY });
const IDENTITY = { ca: [AUTHORITY.cert] };
const LOGIN = 'user:pass-word';
const BIG = 'x'.repeat(1024 * 1024);

function through(proxy: { readonly port: number }, more: Partial<EgressProxy> = {}): ConnectOptions {
  const egress = { isTls: false, host: 'localhost', port: proxy.port, source: 'egress_proxy', ...more };
  return { tls: IDENTITY, egress: { http: egress, https: egress } };
}

const withLogin = (login: string): Partial<EgressProxy> => ({
  authorization: new Secret(`Basic ${Buffer.from(login).toString('base64')}`),
});

const serverName = (socket: Socket) => (socket instanceof TLSSocket ? socket.servername : undefined);
const peerName = (socket: Socket) =>
  socket instanceof TLSSocket ? socket.getPeerCertificate().subject?.CN : undefined;

/** A server, a proxy, and a pool that reaches one through the other. */
async function tunnelled(
  respond: (socket: Socket, tcp: Socket) => void,
  {
    proxy: proxyOptions = {},
    server: serverOptions = {},
    pool: poolOptions = {},
  }: {
    proxy?: EgressProxyOptions;
    server?: ServerOptions;
    pool?: Partial<PoolOptions>;
  } = {},
) {
  const server = await RawServer.start((_, { socket, tcp }) => respond(socket, tcp), { tls: TLS, ...serverOptions });
  const proxy = await EgressProxyServer.start(proxyOptions);
  const isTls = proxyOptions.tls !== undefined;
  const pool = poolTo(`https://api.test:${server.port}`, { ...through(proxy, { isTls }), ...poolOptions });
  return { server, proxy, pool };
}

describe.each([
  ['an http: proxy', false],
  ['an https: proxy', true],
])('through %s', (_, isTls) => {
  it.each([
    ['https', 'CONNECT localhost:PORT', 1],
    ['http', 'GET http://localhost:PORT/a?b, POST http://localhost:PORT/a?b, POST http://localhost:PORT/a?b', 1],
  ])('%s requests arrive complete on one connection: %s', async (scheme, requests, connections) => {
    const server = await RawServer.start(({ body }, { socket }) => socket.write(response(body.toString())), {
      ...(scheme === 'https' && { tls: TLS }),
    });
    const proxy = await EgressProxyServer.start({ login: LOGIN, ...(isTls && { tls: TLS }) });
    const options = through(proxy, { isTls, ...withLogin(LOGIN) });
    const pool = poolTo(`${scheme}://localhost:${server.port}`, options);
    const headers = ['x-api', 'k'];
    expect((await sent(pool, { target: '/a?b', headers })).summary).toBe('200 ');
    for (const text of ['pay', BIG]) {
      await until(() => pool.stats().idle === 1);
      await iterations();
      const body = { kind: 'bytes', bytes: Buffer.from(text) } as const;
      const recorder = await sent(pool, { method: 'POST', target: '/a?b', headers, body });
      expect([recorder.status, recorder.body === text]).toEqual([200, true]);
    }
    expect(proxy.requests.join(', ')).toBe(requests.replaceAll('PORT', String(server.port)));
    expect(proxy.connections).toHaveLength(connections);
    expect(JSON.stringify(server.requests.map(({ headers }) => headers))).not.toMatch(/proxy-auth/i);
    expect(server.requests.flatMap((request) => valuesOf(request, 'host'))).toEqual(
      Array(3).fill(`localhost:${server.port}`),
    );
  });
});

describe('a tunnel', () => {
  it('keeps to the server name, the client certificate and the session of the server', async () => {
    const toServer: unknown[] = [];
    const toProxy: unknown[] = [];
    const { server, pool } = await tunnelled((socket) => socket.write(response('fine')), {
      proxy: {
        tls: { ...TLS, requestCert: true, rejectUnauthorized: false },
        onTunnel: (client) => toProxy.push([serverName(client), peerName(client)]),
      },
      server: {
        tls: { ...TLS, ca: IDENTITY.ca, requestCert: true },
        onConnection: ({ socket }) => {
          const isResumed = socket instanceof TLSSocket && socket.isSessionReused();
          toServer.push([serverName(socket), peerName(socket), isResumed]);
        },
      },
      pool: { tls: { ...IDENTITY, cert: CLIENT.cert, key: new Secret(CLIENT.key), serverName: 'api.test' } },
    });
    for (let i = 0; i < 2; i++) {
      expect((await sent(pool)).summary).toBe('200 fine');
      await iterations(10);
      server.connections.at(-1)!.socket.destroy();
      await until(() => pool.stats().idle === 0);
    }
    expect(toServer).toEqual([
      ['api.test', 'client', false],
      ['api.test', 'client', true],
    ]);
    expect(toProxy).toEqual(Array(2).fill(['localhost', undefined]));
  });

  it('to a server whose certificate has another name gets no request', async () => {
    const { server, pool } = await tunnelled(() => {}, { server: { tls: issue({ name: 'x', issuer: AUTHORITY }) } });
    const recorder = await sent(pool, { method: 'POST' });
    expect(recorder.summary).toBe('upstream_unreachable not_sent');
    expect(recorder.error?.reason).toMatchObject({ kind: 'network', code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    expect(server.requests).toEqual([]);
  });

  it.each([false, true])('may open after interim responses, byte by byte (proxy over TLS: %s)', async (isTls) => {
    const { pool, server } = await tunnelled((socket) => socket.write(response('fine')), {
      proxy: {
        ...(isTls && { tls: TLS }),
        onConnect: (client, req) => {
          void (async () => {
            const head = 'HTTP/1.1 103 Wait\r\n\r\nHTTP/1.0 204 \r\ncontent-length: 7\r\n\r\n';
            for (const character of head) {
              client.write(character);
              await iterations(1);
            }
            const upstream = connect(Number(req.url?.split(':')[1]), '127.0.0.1');
            upstream.on('error', () => {});
            upstream.pipe(client).pipe(upstream);
          })();
        },
      },
    });
    expect((await sent(pool)).summary).toBe('200 fine');
    expect(server.requests).toHaveLength(1);
  });

  it.each([
    ['200 OK', 'first', false],
    ['403 No', null, true],
  ])('after %s begins with %j, or its connection is closed: %s', async (status, first, isClosed) => {
    const onConnect = (client: Socket) => client.write(`HTTP/1.1 ${status}\r\n\r\nfirst`);
    const { port } = await EgressProxyServer.start({ onConnect });
    const socket = connect(port, '127.0.0.1');
    const egress = { isTls: false, host: '127.0.0.1', port, source: 'egress_proxy' };
    await new Promise((resolve) => requestTunnel(socket, egress, originOf('https://api.test'), resolve));
    const bytes = socket.read() as Buffer | null;
    expect([bytes?.toString() ?? null, socket.destroyed]).toEqual([first, isClosed]);
    socket.destroy();
  });

  it.each([false, true])('carries a body that ends with the connection (proxy over TLS: %s)', async (isTls) => {
    const { pool } = await tunnelled((socket) => socket.end(`HTTP/1.1 200 OK\r\n\r\n${BIG}`), {
      proxy: isTls ? { tls: TLS } : {},
    });
    const recorder = await sent(pool);
    expect([recorder.error, recorder.body === BIG]).toEqual([undefined, true]);
  });

  it.each([
    ['a TCP end without close_notify', (_: Socket, tcp: Socket) => tcp.end()],
    ['a reset', (_: Socket, tcp: Socket) => tcp.resetAndDestroy()],
  ])('with %s in a body that ends with the connection is upstream_reset, unknown', async (_, end) => {
    for (const isTls of [false, true]) {
      const { pool, server } = await tunnelled((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nhalf'), {
        proxy: isTls ? { tls: TLS } : {},
      });
      const recorder = send(pool);
      await recorder.called('data');
      end(server.connections[0]!.socket, server.connections[0]!.tcp);
      expect((await recorder.over).summary).toBe('upstream_reset unknown');
    }
  });

  it('that ends in the middle of a response with a length is upstream_reset, unknown', async () => {
    const { pool } = await tunnelled((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'));
    expect((await sent(pool, { method: 'POST' })).summary).toBe('upstream_reset unknown');
  });

  it('is paused with its response', async () => {
    let written = 0;
    const { pool } = await tunnelled((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${100 * BIG.length}\r\n\r\n`);
      const fill = () => {
        while (written < 100 && socket.write(BIG)) written += 1;
        if (written++ < 100) socket.once('drain', fill);
      };
      fill();
    });
    const recorder = send(pool);
    await recorder.called('head');
    recorder.exchange.pause();
    for (let before = -1; before !== written;) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(written).toBeLessThan(80);
    const received = () => recorder.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    expect(received()).toBeLessThan(80 * BIG.length);
    recorder.exchange.resume();
    expect((await recorder.over).error).toBeUndefined();
    expect(received()).toBe(100 * BIG.length);
  });

  it('with unsolicited bytes while it is idle is closed', async () => {
    const { pool, server } = await tunnelled((socket) => socket.write(response('fine')));
    await sent(pool);
    await until(() => pool.stats().idle === 1);
    await iterations();
    server.connections[0]!.socket.write('HTTP/1.1 200 OK\r\n\r\n');
    await until(() => pool.stats().idle === 0);
  });

  it('is requested for an http: server if the Host header is not that of its origin', async () => {
    const server = await RawServer.start((_, { socket }) => socket.write(response('fine')));
    const proxy = await EgressProxyServer.start();
    const pool = poolTo(`http://api.test:${server.port}`, { ...through(proxy), hostHeader: 'other.test' });
    expect((await sent(pool)).summary).toBe('200 fine');
    expect(proxy.requests).toEqual([`CONNECT api.test:${server.port}`]);
    expect(valuesOf(server.requests[0]!, 'host')).toEqual(['other.test']);
  });

  it('ends with its request if that is aborted while the proxy opens it', async () => {
    const asked = Promise.withResolvers<Socket>();
    const { pool } = await tunnelled(() => {}, { proxy: { onConnect: (client) => asked.resolve(client) } });
    const recorder = send(pool);
    const client = await asked.promise;
    recorder.exchange.abort();
    pool.close();
    await once(client.resume(), 'end');
    expect(recorder.calls).toEqual([]);
  });
});

describe('a proxy that does not open a tunnel', () => {
  const refusal = (head: string) => (client: Socket) => client.end(head);

  it.each([407, 403, 502, 301, 400])(
    'with HTTP %i: upstream_unreachable, not_sent, without another attempt',
    async (status) => {
      const { pool, proxy, server } = await tunnelled(() => {}, {
        proxy: { onConnect: refusal(`HTTP/1.1 ${status} No\r\ncontent-length: 4\r\n\r\nno!!`) },
      });
      const { summary, error } = await sent(pool, { method: 'POST' });
      expect(summary).toBe('upstream_unreachable not_sent');
      expect(error?.message).toContain(`the egress proxy localhost:${proxy.port} responded with HTTP ${status}.`);
      expect(error?.reason).toEqual({
        ...{ kind: 'egress_refused', status, proxy: `localhost:${proxy.port}` },
        ...{ setting: 'egress_proxy', host: `api.test:${server.port}` },
      });
      expect(proxy.requests).toHaveLength(1);
    },
  );

  it.each([
    ['that is not HTTP', 'SSH-2.0-OpenSSH\r\n', 'does not begin with HTTP/1'],
    ['that switches protocols', 'HTTP/1.1 101 Switching\r\n\r\n', 'switches protocols'],
    ['without an end', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(17_000)}`, 'its head is longer than 16384 bytes.'],
    ['with bare line feeds', 'HTTP/1.1 200 OK\n\n', 'LF alone'],
    ['with endless interim responses', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(40), 'interim responses'],
  ])('but sends a response %s: upstream_unreachable, not_sent', async (_, head, why) => {
    const { pool, proxy } = await tunnelled(() => {}, { proxy: { onConnect: (client) => client.write(head) } });
    const { summary, error } = await sent(pool, { method: 'POST' });
    expect(summary).toBe('upstream_unreachable not_sent');
    expect(error?.message).toContain(`the response of the egress proxy localhost:${proxy.port} is not valid HTTP`);
    expect(error?.message).toContain(why);
    expect(error?.reason).toMatchObject({ kind: 'egress_failed', code: 'INVALID_RESPONSE' });
  });

  it.each([
    ['closes the connection', (client: Socket) => client.end()],
    ['closes it in the middle of its response', (client: Socket) => client.end('HTTP/1.1 200')],
    ['resets it', (client: Socket) => client.resetAndDestroy()],
  ])('but %s: upstream_unreachable, not_sent, after two attempts', async (_, onConnect) => {
    const { pool, proxy } = await tunnelled(() => {}, { proxy: { onConnect } });
    const { summary, error } = await sent(pool, { method: 'POST' });
    expect(summary).toBe('upstream_unreachable not_sent');
    expect(error?.reason).toMatchObject({ kind: 'egress_failed', code: 'ECONNRESET' });
    expect(proxy.requests).toHaveLength(2);
  });

  it('because nothing listens there is named, not the provider', async () => {
    const port = await freePort();
    const { error } = await sent(poolTo('https://api.test', through({ port })), { method: 'POST' });
    expect(error?.reason).toMatchObject({ kind: 'egress_failed', code: 'ECONNREFUSED', proxy: `localhost:${port}` });
    expect(error?.message).toBe(
      `Could not connect to api.test: the egress proxy localhost:${port} cannot be reached (ECONNREFUSED). The request was not sent.`,
    );
  });

  it('in time is named: upstream_timeout, not_sent', async () => {
    const { pool, proxy } = await tunnelled(() => {}, {
      proxy: { onConnect: () => {} },
      pool: { connectTimeoutMs: 50, clock: undefined! },
    });
    const { summary, error } = await sent(pool, { method: 'POST' });
    expect(summary).toBe('upstream_timeout not_sent');
    expect(error?.reason).toMatchObject({ kind: 'egress_failed', code: 'ETIMEDOUT', proxy: `localhost:${proxy.port}` });
  });

  it('is not blamed if the server does not finish the handshake in time', async () => {
    const server = await RawServer.start(() => {});
    const proxy = await EgressProxyServer.start();
    const pool = poolTo(`https://api.test:${server.port}`, {
      ...through(proxy),
      connectTimeoutMs: 200,
      clock: undefined!,
    });
    const { error } = await sent(pool);
    expect(error?.reason).toMatchObject({ kind: 'timeout', phase: 'connect', host: `api.test:${server.port}` });
  });

  it('is not needed for a key that is invalid', async () => {
    const { pool, server } = await tunnelled(() => {}, {
      pool: { tls: { ...IDENTITY, cert: 'none', key: new Secret('none') } },
    });
    expect((await sent(pool, { method: 'POST' })).summary).toBe('upstream_unreachable not_sent');
    expect(server.requests).toEqual([]);
  });

  it.each([false, true])(
    'but ends it during the handshake: the server is named (proxy over TLS: %s)',
    async (isTls) => {
      const { pool } = await tunnelled(() => {}, {
        proxy: { ...(isTls && { tls: TLS }), onConnect: (client) => client.end('HTTP/1.1 200 OK\r\n\r\n') },
      });
      const { summary, error } = await sent(pool, { method: 'POST' });
      expect(summary).toBe('upstream_unreachable not_sent');
      expect(error?.reason).toMatchObject({ kind: 'network', code: 'ECONNRESET' });
    },
  );

  it('because its certificate is not trusted gets no credentials', async () => {
    const { pool, proxy } = await tunnelled(() => {}, { proxy: { tls: issue({ name: 'localhost' }) } });
    expect((await sent(pool)).error?.reason).toMatchObject({
      kind: 'egress_failed',
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
    expect(proxy.requests).toEqual([]);
  });
});

describe('a proxy that gets a request in absolute form', () => {
  it.each(['GET', 'POST'])('and responds to %s with 407 is upstream_unreachable, not_sent', async (method) => {
    const server = await RawServer.start((_, { socket }) => socket.write(response('fine')));
    const proxy = await EgressProxyServer.start({ login: LOGIN });
    const pool = poolTo(`http://api.test:${server.port}`, through(proxy, withLogin('user:wrong-word')));
    const { summary, calls, error } = await sent(pool, { method });
    expect([summary, calls]).toEqual(['upstream_unreachable not_sent', ['sending', 'sent', 'error']]);
    expect(error?.reason).toMatchObject({ kind: 'egress_refused', status: 407 });
    expect(JSON.stringify(error)).not.toMatch(/wrong-word|dXNlcjp3/);
    expect(server.requests).toEqual([]);
  });

  it.each([403, 407])('passes on a %d of the server', async (status) => {
    const server = await RawServer.start((_, { socket }) =>
      socket.write(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`),
    );
    const proxy = await EgressProxyServer.start();
    expect((await sent(poolTo(`http://api.test:${server.port}`, through(proxy)))).summary).toBe(`${status} `);
  });
});

it('407 of a server is relayed if no proxy is asked in absolute form', async () => {
  const head = 'HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n';
  const { pool } = await tunnelled((socket) => socket.write(head));
  expect((await sent(pool)).summary).toBe('407 ');
});

describe('link-local addresses', () => {
  it.each(['https://169.254.169.254', 'http://169.254.1.1', 'https://[fe80::1]', 'https://[::ffff:169.254.1.1]'])(
    '%s is refused although a proxy would connect to it',
    async (origin) => {
      const proxy = await EgressProxyServer.start();
      const { summary, error } = await sent(poolTo(origin, through(proxy)), { method: 'POST' });
      expect(summary).toBe('upstream_unreachable not_sent');
      expect(error?.reason).toMatchObject({ kind: 'network', code: 'LINK_LOCAL_ADDRESS' });
      expect(proxy.requests).toEqual([]);
    },
  );

  it('a proxy at one is not used', async () => {
    const options = through({ port: 3128 }, { host: '169.254.1.1' });
    const { error } = await sent(poolTo('https://api.test', options), { method: 'POST' });
    expect(error?.reason).toMatchObject({ kind: 'egress_failed', code: 'LINK_LOCAL_ADDRESS' });
  });
});

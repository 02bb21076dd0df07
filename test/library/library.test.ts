import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { describe, expect, it, onTestFinished } from 'vitest';
import { wakala } from '../../src/library/hono.ts';
import { createWakala, type Wakala, type WakalaConfig, type WakalaOptions } from '../../src/library/index.ts';
import { silentLog } from '../../src/logger.ts';
import { listen } from '../support/listen.ts';
import { expectProblem, sendJson, sendRequest } from '../support/proxy-client.ts';
import { routeTo } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function made(options: Partial<WakalaOptions> & Pick<WakalaOptions, 'config'>): Wakala {
  const proxy = createWakala({ log: silentLog, env: {}, ...options });
  onTestFinished(() => proxy.close());
  return proxy;
}

async function toUpstream(settings: object = {}) {
  const upstream = await RawUpstream.start(({ method, target, body }) =>
    reply(200, `${method} ${target} ${String(body)}`),
  );
  const config = { routes: { '/api/*': routeTo(upstream) }, ...settings } as WakalaConfig;
  return { upstream, proxy: made({ config }) };
}

describe('the handler of createWakala', () => {
  it('serves a server of node:http by the rules of the command', async () => {
    const { upstream, proxy } = await toUpstream();
    const port = await listen(createServer(proxy.handler));
    const response = await sendRequest(port, '/api/x?y=%20', {
      body: 'hello',
      headers: { authorization: 'Bearer mine' },
    });
    expect([response.status, response.text, response.header('wakala-token')]).toEqual([
      200,
      'POST /x?y=%20 hello',
      'fetched',
    ]);
    expect(upstream.requests[0]?.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]}`]);
    expectProblem(await sendRequest(port, '/nowhere'), { status: 404, code: 'no_route' });
    expectProblem(await sendRequest(port, '/api/%2e%2e/x'), { status: 400, code: 'bad_request_target' });
    expectProblem(await sendRequest(port, '/api/x', { headers: { host: 'evil.example' } }), {
      status: 403,
      code: 'host_refused',
    });
  });

  it('requests one token, however many requests wait for it', async () => {
    const { upstream, proxy } = await toUpstream();
    const port = await listen(createServer(proxy.handler));
    const responses = await Promise.all(Array.from({ length: 20 }, () => sendRequest(port, '/api/x')));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(upstream.tokens).toHaveLength(1);
  });

  it('passes requests without a route on if there is a next, as in Express', async () => {
    const { proxy } = await toUpstream();
    const server = createServer((req, res) => proxy.handler(req, res, () => res.writeHead(418).end('mine')));
    const port = await listen(server);
    expect((await sendRequest(port, '/other')).text).toBe('mine');
    expect((await sendRequest(port, '/api/x')).text).toBe('GET /x ');
    expect((await sendRequest(port, '/apix')).status).toBe(418);
  });

  it('refuses a request whose body was read before, and sends nothing', async () => {
    const { upstream, proxy } = await toUpstream();
    const server = createServer((req, res) => {
      req.resume().once('end', () => proxy.handler(req, res));
    });
    const response = await sendJson(await listen(server), '/api/x', { amount: 1 });
    expectProblem(response, { status: 500, code: 'internal_error', outcome: 'not_sent' });
    expect(response.json()['detail']).toContain('before body parsers');
    expect(upstream.requests).toEqual([]);
  });

  it('refuses a request whose body was partly read, and accepts chunks that nothing has read', async () => {
    const { upstream, proxy } = await toUpstream();
    const server = createServer((req, res) => {
      if (req.url === '/api/whole') proxy.handler(req, res);
      else {
        req.once('data', () => {
          req.pause();
          proxy.handler(req, res);
        });
      }
    });
    const port = await listen(server);
    const chunked = { 'transfer-encoding': 'chunked' };
    expect((await sendRequest(port, '/api/whole', { body: 'hello', headers: chunked })).text).toBe('POST /whole hello');
    const refused = await sendRequest(port, '/api/part', { body: 'hello', headers: chunked });
    expectProblem(refused, { status: 500, code: 'internal_error', outcome: 'not_sent' });
    expect(upstream.requests).toHaveLength(1);
  });

  it('forwards WebSocket handshakes through upgrade', async () => {
    const upstream = await RawUpstream.start(
      () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    );
    const proxy = made({ config: { routes: { '/api/*': routeTo(upstream, { websocket: true }) } } });
    const server = createServer(proxy.handler).on('upgrade', proxy.upgrade);
    const port = await listen(server);
    const { RawClient } = await import('../support/raw-client.ts');
    const client = await RawClient.open(port);
    client.send('GET /api/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await client.until('101 Switching Protocols');
    expect(upstream.requests[0]?.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]}`]);
  });
});

describe('the configuration of createWakala', () => {
  it('is an object or a file, and reports all its problems at once', () => {
    const config = { routes: { '/mpesa/*': { provider: 'mpeza', timeout: 'soon' } } } as unknown as WakalaConfig;
    expect(() => createWakala({ config })).toThrow(/did you mean `mpesa`[^]*timeout/);
    expect(() => createWakala({ config: '/nowhere/proxy.config.yaml' })).toThrow(/there is no such file/);
  });

  it('takes variables from the given environment', () => {
    const credentials = { consumer_key: '${KEY}', consumer_secret: '${SECRET}' };
    const config: WakalaConfig = { routes: { '/mpesa/*': { provider: 'mpesa', credentials } } };
    expect(() => createWakala({ config, env: { KEY: 'k' } })).toThrow(/SECRET/);
    expect(made({ config, env: { KEY: 'k', SECRET: 's' } }).hasRoute('/mpesa/x?y')).toBe(true);
  });

  it('cannot use settings that apply only to the command', () => {
    const routes = { '/api/*': { provider: 'static', upstream: 'https://api.example', credentials: { token: 'k' } } };
    expect(() => createWakala({ config: { routes, workers: 2 } })).toThrow(/`workers`/);
  });

  it('decides who may call by the address that the app listens on', () => {
    const routes = { '/api/*': { provider: 'static', upstream: 'https://api.example', credentials: { token: 'k' } } };
    expect(() => createWakala({ config: { routes, listen: '0.0.0.0:3000' } })).toThrow(/clients/);
  });

  it.each([
    ['/api', true],
    ['/api/x?y', true],
    ['http://localhost/api/x', true],
    ['/apix', false],
    ['/', false],
    ['*', false],
  ])('has a route for %s: %s', async (target, has) => {
    const { proxy } = await toUpstream();
    expect(proxy.hasRoute(target)).toBe(has);
  });
});

describe('wakala/hono', () => {
  async function appWith(proxy: Wakala): Promise<number> {
    const app = new Hono();
    app.use(wakala(proxy));
    app.get('/hello', (c) => c.text('mine'));
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server;
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return portOf(server);
  }

  it('proxies requests with a route byte for byte, and leaves all others to the app', async () => {
    const { proxy } = await toUpstream();
    const port = await appWith(proxy);
    expect((await sendRequest(port, '/hello')).text).toBe('mine');
    expect((await sendRequest(port, '/api/a%2Fb?c=%20', { body: 'x'.repeat(100_000) })).text).toBe(
      `POST /a%2Fb?c=%20 ${'x'.repeat(100_000)}`,
    );
    expect((await sendRequest(port, '/nowhere')).status).toBe(404);
  });

  it('says what it needs if an app does not run on node:http', async () => {
    const { proxy } = await toUpstream();
    const app = new Hono();
    app.use(wakala(proxy));
    app.onError((error, c) => c.text(error.message, 500));
    expect(await (await app.request('/api/x')).text()).toContain('@hono/node-server');
  });
});

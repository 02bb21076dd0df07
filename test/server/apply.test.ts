import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { silentLog } from '../../src/logger.ts';
import { Runtime } from '../../src/server/runtime.ts';
import { expectProblem, keepAlive, sendRequest } from '../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply, type Script, TOKEN_PATH } from '../support/upstream-raw.ts';

function configOf(settings: Settings) {
  const written = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', ...settings };
  return loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} }).config;
}

/** A proxy that can apply other settings while it runs. */
async function start(settings: Settings) {
  const proxy = await startProxy(settings);
  return { ...proxy, apply: (changed: Settings) => proxy.server.apply(configOf(changed)) };
}

const named =
  (name: string): Script =>
  (request) =>
    request.target === '/held' ? undefined : reply(200, name);

/** An old and a new upstream, and the routes to each. */
async function twoUpstreams() {
  const [old, next] = await Promise.all(['old', 'next'].map((name) => RawUpstream.start(named(name))));
  const routes = (to: RawUpstream, changed: Settings = {}) => ({ routes: { '/api/*': routeTo(to, changed) } });
  return { old: old!, next: next!, routes };
}

const POST = 'POST /api/held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n';

describe('a new configuration', () => {
  it('applies from the next request on, also on open connections', async () => {
    const { old, next, routes } = await twoUpstreams();
    const proxy = await start(routes(old));
    const agent = keepAlive(1);
    expect((await sendRequest(proxy.port, '/api/x', { agent })).text).toBe('old');
    proxy.apply(routes(next));
    expect((await sendRequest(proxy.port, '/api/x', { agent })).text).toBe('next');
    expect(old.requests).toHaveLength(1);
  });

  it('changes how long idle connections stay open, also of open ones from the next response on', async () => {
    const { old, routes } = await twoUpstreams();
    const proxy = await start({ ...routes(old), keep_alive_timeout: '90s' });
    const client = await RawClient.open(proxy.port);
    const request = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';
    client.send(request);
    expect((await client.nextResponse()).values('keep-alive')).toEqual(['timeout=90']);
    proxy.apply({ ...routes(old), keep_alive_timeout: '1s' });
    client.send(request);
    expect((await client.nextResponse()).values('keep-alive')).toEqual(['timeout=1']);
    expect(await client.ending).toBe('clean');
  });

  it('keeps the token of an unchanged credential', async () => {
    const { old, routes } = await twoUpstreams();
    const proxy = await start(routes(old));
    expect((await sendRequest(proxy.port, '/api/x')).header('wakala-token')).toBe('fetched');
    for (const changed of [{}, { timeout: '5s' }, { headers: { 'x-mode': 'live' } }, { max_concurrency: 7 }]) {
      proxy.apply(routes(old, changed));
      expect((await sendRequest(proxy.port, '/api/x')).header('wakala-token')).toBe('cached');
    }
    proxy.apply({ routes: { '/moved/*': routeTo(old), '/twice/*': routeTo(old) } });
    expect((await sendRequest(proxy.port, '/moved/x')).header('wakala-token')).toBe('cached');
    expect((await sendRequest(proxy.port, '/twice/x')).header('wakala-token')).toBe('cached');
    expect(old.tokens).toHaveLength(1);
  });

  it.each([
    ['credential', { credentials: { key: 'another-key' } }],
    [
      'token exchange',
      {
        token: {
          request: { path: TOKEN_PATH, form: { key: '{key}' } },
          response: { access_token: 'access_token' },
        },
      },
    ],
  ])('drops the token of a changed %s', async (_, changed) => {
    const { old, routes } = await twoUpstreams();
    const proxy = await start(routes(old));
    await sendRequest(proxy.port, '/api/x');
    proxy.apply(routes(old, changed));
    expect((await sendRequest(proxy.port, '/api/x')).header('wakala-token')).toBe('fetched');
    expect(old.requests[1]?.values('authorization')).toEqual([`Bearer ${old.tokens[1]}`]);
    proxy.apply(routes(old));
    expect((await sendRequest(proxy.port, '/api/x')).header('wakala-token')).toBe('fetched');
    expect(old.tokens).toHaveLength(3);
  });

  it('removes routes and adds others', async () => {
    const { old, next } = await twoUpstreams();
    const proxy = await start({ routes: { '/a/*': routeTo(old) } });
    expect((await sendRequest(proxy.port, '/a/x')).text).toBe('old');
    proxy.apply({ routes: { '/b/*': routeTo(next) } });
    expectProblem(await sendRequest(proxy.port, '/a/x'), { status: 404, code: 'no_route' });
    expect((await sendRequest(proxy.port, '/b/x')).text).toBe('next');
  });

  it('changes the clients', async () => {
    const { old, routes } = await twoUpstreams();
    const key = 'shop-key-0123456789';
    const proxy = await start(routes(old));
    const status = async () =>
      (await sendRequest(proxy.port, '/api/x', { headers: { authorization: `Bearer ${key}` } })).status;
    proxy.apply({ ...routes(old), clients: [{ name: 'till', key: 'till-key-0123456789' }] });
    expect(await status()).toBe(401);
    proxy.apply({ ...routes(old), clients: [{ name: 'shop', key }] });
    expect(await status()).toBe(200);
  });
});

describe('a request under way when the configuration changes', () => {
  it('gets its response from the old upstream', async () => {
    const { old, next, routes } = await twoUpstreams();
    const proxy = await start(routes(old));
    const client = await RawClient.open(proxy.port);
    client.send(`${POST}pay`);
    const held = await old.request();
    proxy.apply(routes(next));
    held.send(reply(200, 'paid'));
    expect((await client.nextResponse()).body.toString()).toBe('paid');
    expect(next.received).toHaveLength(0);
  });

  it('goes to the old upstream if its body arrives afterwards', async () => {
    const { old, next, routes } = await twoUpstreams();
    const proxy = await start(routes(old));
    // Opens a connection pool.
    await sendRequest(proxy.port, '/api/x');
    const client = await RawClient.open(proxy.port);
    client.send(POST.replace('held', 'late'));
    await sendRequest(proxy.port, '/api/x');
    proxy.apply(routes(next));
    client.send('pay');
    const response = await client.nextResponse();
    expect([response.status, response.body.toString()]).toEqual([200, 'old']);
  });

  it('goes to the old upstream if its token arrives afterwards', async () => {
    const { old, next, routes } = await twoUpstreams();
    const issuing = Promise.withResolvers<Buffer>();
    const issuer = await RawUpstream.start(() => issuing.promise);
    const token = { request: { path: '/slow', json: { key: '{key}' } }, response: { access_token: 't' } };
    const proxy = await start(routes(old, { auth_server: issuer.origin, token }));
    const pending = sendRequest(proxy.port, '/api/x');
    await issuer.request();
    proxy.apply(routes(next));
    issuing.resolve(reply(200, '{"t":"slow-token"}'));
    const response = await pending;
    expect([response.status, response.text]).toEqual([200, 'old']);
    expect(old.requests[0]?.values('authorization')).toEqual(['Bearer slow-token']);
  });

  it('is replayed to the old upstream if its token is refused', async () => {
    const next = await RawUpstream.start(named('next'));
    const refusing = Promise.withResolvers<undefined>();
    const old = await RawUpstream.start(async (request) => {
      if (request.values('authorization')[0] !== `Bearer ${old.tokens[0]}`) return reply(200, 'old');
      await refusing.promise;
      return reply(401, 'dead');
    });
    const proxy = await start({ routes: { '/api/*': routeTo(old) } });
    const pending = sendRequest(proxy.port, '/api/pay', { body: 'money' });
    await old.request();
    proxy.apply({ routes: { '/api/*': routeTo(next) } });
    refusing.resolve(undefined);
    const response = await pending;
    expect([response.status, response.text, response.header('wakala-token')]).toEqual([200, 'old', 'replayed']);
    expect(next.received).toHaveLength(0);
  });
});

describe('a configuration that cannot be applied', () => {
  it('leaves nothing open, and the old one stays in use', async () => {
    const to = (origin: string) => configOf({ routes: { '/api/*': routeTo({ origin }) } });
    const runtime = await Runtime.open(to('http://127.0.0.1:1'), { log: silentLog, keep: 0 });
    onTestFinished(() => runtime.close());
    const { gateway } = runtime;
    const fail = () => {
      throw new Error('bad certificate');
    };
    expect(() => runtime.apply(to('http://127.0.0.1:2'), fail)).toThrow('bad certificate');
    expect(runtime.gateway).toBe(gateway);
    expect(runtime.snapshot().upstreams).toMatchObject([{ origin: 'http://127.0.0.1:1' }]);
  });
});

describe('a configuration with another listener', () => {
  it.each([
    ['address', { listen: '127.0.0.1:1' }],
    ['admin address', { admin: '127.0.0.1:1' }],
  ])('is refused for its %s, and nothing of it is applied', async (_, changed) => {
    const { old, next, routes } = await twoUpstreams();
    const proxy = await start(routes(old));
    expect(() => proxy.apply({ ...routes(next), ...changed })).toThrow(
      /^to change `listen` or `admin`.* restart Wakala$/,
    );
    expect((await sendRequest(proxy.port, '/api/x')).text).toBe('old');
    expect(next.received).toHaveLength(0);
  });
});

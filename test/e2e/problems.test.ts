import { describe, expect, it } from 'vitest';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { sendRaw } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function start(top: Record<string, unknown> = {}, route: Record<string, unknown> = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const proxy = await startProxy({ ...top, routes: { '/api/*': routeTo(upstream, route) } });
  return { upstream, proxy };
}

describe('a problem response', () => {
  it('is problem+json with all fields and a Proxy-Status', async () => {
    const { proxy } = await start();
    const response = await sendRequest(proxy.port, '/nowhere', { headers: { 'x-request-id': 'order-7' } });
    expect(response.status).toBe(404);
    expect(response.header('content-type')).toBe('application/problem+json');
    expect(response.header('proxy-status')).toBe('wakala; error=http_request_denied');
    expect(response.header('cache-control')).toBe('no-store');
    expect(response.header('x-request-id')).toBe('order-7');
    expect(response.header('wakala-token')).toBeUndefined();
    expect(response.json()).toEqual({
      type: 'urn:wakala:error:no_route',
      title: 'no route',
      status: 404,
      detail: expect.stringContaining('/api/*') as string,
      code: 'no_route',
      outcome: 'not_sent',
      request_id: 'order-7',
    });
  });

  it('has no body for HEAD', async () => {
    const { proxy } = await start();
    const response = await sendRaw(proxy.port, 'HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect([response.status, ...response.values('content-type')]).toEqual([404, 'application/problem+json']);
  });

  it('keeps the connection for the next request', async () => {
    const { proxy } = await start();
    const response = await sendRaw(proxy.port, 'GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(response.values('connection')).not.toContain('close');
  });
});

describe('x-request-id', () => {
  it.each(['order-7', 'a'.repeat(128), '01J:x/y+z='])('is kept if valid: %s', async (id) => {
    const { proxy } = await start();
    const response = await sendRequest(proxy.port, '/api/x', { headers: { 'x-request-id': id } });
    expect(response.header('x-request-id')).toBe(id);
  });

  it.each(['a b', 'a'.repeat(129), '"', '{}', ''])('is replaced by a new one if it is %j', async (id) => {
    const { proxy } = await start();
    const response = await sendRequest(proxy.port, '/api/x', { headers: { 'x-request-id': id } });
    expect(response.header('x-request-id')).toMatch(UUID);
  });

  it('is in the log of a failed request', async () => {
    const upstream = await RawUpstream.start((request) => void request.socket.resetAndDestroy());
    const proxy = await startProxyTo(upstream);
    await sendRequest(proxy.port, '/api/x', { headers: { 'x-request-id': 'order-7' } });
    expect(await proxy.logged('request_failed')).toMatchObject({ request_id: 'order-7', code: 'upstream_reset' });
  });
});

describe('a browser or an unknown host', () => {
  it.each([
    ['another Host', 'GET /api/x HTTP/1.1\r\nHost: evil.example\r\n\r\n', 'host_refused'],
    ['an Origin', 'GET /api/x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n', 'origin_refused'],
    ['the origin of a file', 'GET /api/x HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n', 'origin_refused'],
    [
      'a cross-site page',
      'GET /api/x HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n',
      'origin_refused',
    ],
  ])('with %s gets a 403, and nothing is sent', async (_, bytes, code) => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(proxy.port, bytes);
    expect([response.status, response.json()['code'], response.json()['outcome']]).toEqual([403, code, 'not_sent']);
    expect(upstream.received).toHaveLength(0);
  });

  it('is admitted if the configuration names it', async () => {
    const { proxy } = await start({ allowed_hosts: ['wakala.internal'], allowed_origins: ['https://app.example'] });
    const bytes = 'GET /api/x HTTP/1.1\r\nHost: wakala.internal\r\nOrigin: https://app.example\r\n\r\n';
    expect((await sendRaw(proxy.port, bytes)).status).toBe(200);
  });
});

describe('clients', () => {
  const clients = [
    { name: 'shop', key: 'shop-key-0123456789', routes: ['/api/*'] },
    { name: 'till', key: 'till-key-0123456789', routes: ['/other/*'] },
  ];

  async function startWithClients() {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxy({ clients, routes: { '/api/*': routeTo(upstream), '/other/*': routeTo(upstream) } });
    return { upstream, proxy };
  }

  it.each([
    ['authorization', 'Bearer shop-key-0123456789'],
    ['proxy-authorization', 'Bearer shop-key-0123456789'],
    ['authorization', `Basic ${Buffer.from('shop:shop-key-0123456789').toString('base64')}`],
  ])('are admitted by %s: %s, and their key never reaches the provider', async (name, value) => {
    const { upstream, proxy } = await startWithClients();
    const response = await sendRequest(proxy.port, '/api/x', { headers: { [name]: value } });
    expect(response.status).toBe(200);
    expect(upstream.requests[0]?.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]!}`]);
    expect(upstream.received.toString()).not.toContain(value.split(' ')[1]);
  });

  it('get a 401 without a key, and a 403 on routes of others', async () => {
    const { upstream, proxy } = await startWithClients();
    const stranger = await sendRequest(proxy.port, '/api/x');
    expectProblem(stranger, { status: 401, code: 'client_unauthorized', outcome: 'not_sent' });
    expect(stranger.header('www-authenticate')).toContain('Bearer');
    const headers = { authorization: 'Bearer till-key-0123456789' };
    expectProblem(await sendRequest(proxy.port, '/api/x', { headers }), { status: 403, code: 'client_forbidden' });
    expect(upstream.received).toHaveLength(0);
  });
});

describe('allow', () => {
  it('admits calls on the list, and refuses all others with 403', async () => {
    const { upstream, proxy } = await start({}, { allow: ['POST /pay/*', 'GET /balance'] });
    expect((await sendRequest(proxy.port, '/api/pay/1', { body: 'x' })).status).toBe(200);
    expect((await sendRequest(proxy.port, '/api/balance?a=b')).status).toBe(200);
    for (const [method, path] of [
      ['GET', '/api/pay/1'],
      ['POST', '/api/pay'],
      ['GET', '/api/balance/x'],
      ['GET', '/api/%62alance'],
      ['DELETE', '/api/balance'],
    ] as const) {
      expectProblem(await sendRequest(proxy.port, path, { method }), {
        status: 403,
        code: 'path_refused',
        outcome: 'not_sent',
      });
    }
    expect(upstream.requests).toHaveLength(2);
  });
});

import { describe, expect, it } from 'vitest';
import { type ProxyResponse, sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const ORIGIN = 'https://app.example';
const PREFLIGHT = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type, x-a' };

async function start() {
  const upstream = await RawUpstream.start(() => reply(200, 'fine', 'set-cookie: a=b'));
  const proxy = await startProxy({
    allowed_origins: [ORIGIN],
    clients: [{ name: 'shop', key: 'shop-key-0123456789' }],
    routes: { '/api/*': routeTo(upstream, { allow: ['POST /*'] }) },
  });
  const call = (method: string, path: string, headers: Record<string, string>): Promise<ProxyResponse> =>
    sendRequest(proxy.port, path, { method, headers });
  return { upstream, call };
}

describe('a page of an allowed origin', () => {
  it('gets a response to its preflight from Wakala, without a key', async () => {
    const { upstream, call } = await start();
    const response = await call('OPTIONS', '/api/x', { origin: ORIGIN, ...PREFLIGHT });
    expect(response.status).toBe(204);
    expect(response.header('access-control-allow-origin')).toBe(ORIGIN);
    expect(response.header('access-control-allow-methods')).toBe('POST');
    expect(response.header('access-control-allow-headers')).toBe('content-type, x-a');
    expect(response.header('access-control-allow-credentials')).toBeUndefined();
    expect(upstream.received).toHaveLength(0);
  });

  it('can read the response to its call, and other pages cannot', async () => {
    const { call } = await start();
    const response = await call('POST', '/api/x', { origin: ORIGIN, authorization: 'Bearer shop-key-0123456789' });
    expect([response.status, response.header('access-control-allow-origin')]).toEqual([200, ORIGIN]);
    expect(response.header('access-control-expose-headers')).toContain('wakala-token');
    expect(response.header('vary')).toContain('Origin');
  });

  it('needs a key for everything except the preflight', async () => {
    const { upstream, call } = await start();
    expect((await call('POST', '/api/x', { origin: ORIGIN, ...PREFLIGHT })).status).toBe(401);
    expect((await call('OPTIONS', '/api/x', { origin: ORIGIN })).status).toBe(401);
    expect(upstream.received).toHaveLength(0);
  });
});

describe('any other page', () => {
  it('gets a refusal of its preflight that it cannot read', async () => {
    const { upstream, call } = await start();
    const response = await call('OPTIONS', '/api/x', { origin: 'https://evil.example', ...PREFLIGHT });
    expect(response.status).toBe(403);
    expect(response.header('access-control-allow-origin')).toBeUndefined();
    expect(upstream.received).toHaveLength(0);
  });
});

describe('a preflight for a call that `allow` refuses', () => {
  it('is refused', async () => {
    const { call } = await start();
    const headers = { origin: ORIGIN, 'access-control-request-method': 'DELETE' };
    expect((await call('OPTIONS', '/api/x', headers)).status).toBe(403);
  });
});

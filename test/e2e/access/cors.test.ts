import { describe, expect, it } from 'vitest';
import { expectProblem, type ProxyResponse, sendRequest } from '../../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../../support/proxy-server.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { basic, bearer, SHOP } from './support.ts';

const ORIGIN = 'https://app.example';
const PREFLIGHT = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' };
const FOREIGN_CORS = [
  'access-control-allow-origin: *',
  'Access-Control-Allow-Origin: https://evil.example',
  'access-control-allow-credentials: true',
  'access-control-expose-headers: x-secret',
];

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start((request) =>
    request.target === '/dead' ? reply(401, '', ...FOREIGN_CORS) : reply(200, 'fine', ...FOREIGN_CORS),
  );
  const mpesa = {
    provider: 'mpesa',
    upstream: upstream.origin,
    credentials: { consumer_key: 'k', consumer_secret: 's' },
  };
  const proxy = await startProxy({
    allowed_origins: [ORIGIN, 'http://localhost:3000'],
    routes: {
      '/api/*': routeTo(upstream, { allow: ['* /x', '* /dead', '* /small'], max_body: 10 }),
      '/mpesa/*': mpesa,
    },
    ...settings,
  });
  const call = (method: string, path: string, headers: Record<string, string>, body?: string): Promise<ProxyResponse> =>
    sendRequest(proxy.port, path, { method, headers, ...(body === undefined ? {} : { body }) });
  return { upstream, proxy, call };
}

function allowedOrigins(response: ProxyResponse): string[] {
  return response.rawHeaders.filter(
    (_, i) => i % 2 === 1 && response.rawHeaders[i - 1]?.toLowerCase() === 'access-control-allow-origin',
  );
}

describe.each([
  ['without a clients list', {}],
  ['with a clients list', { clients: [SHOP] }],
])('a preflight of an allowed origin, %s,', (_, settings) => {
  it.each(['/api/x', '/api/x?a=b', '/mpesa/oauth/v1/generate', '/nowhere'])(
    'of %s gets a 204 from Wakala and is not forwarded',
    async (path) => {
      const { upstream, call } = await start(settings);
      const response = await call('OPTIONS', path, { origin: ORIGIN, ...PREFLIGHT });
      expect(response.status).toBe(204);
      expect(allowedOrigins(response)).toEqual([ORIGIN]);
      expect(response.header('access-control-allow-methods')).toBe('POST');
      expect(response.header('vary')).toBe('Origin');
      expect(response.header('x-request-id')).toBeDefined();
      expect(upstream.received).toHaveLength(0);
    },
  );

  it('gets the origin it came from', async () => {
    const { call } = await start(settings);
    const response = await call('OPTIONS', '/api/x', { origin: 'http://localhost:3000', ...PREFLIGHT });
    expect(allowedOrigins(response)).toEqual(['http://localhost:3000']);
  });

  it('of another origin gets a 403 that no page can read', async () => {
    const { upstream, call } = await start(settings);
    for (const origin of ['https://evil.example', 'null', 'http://localhost:3001', `${ORIGIN}.evil.example`]) {
      const response = await call('OPTIONS', '/api/x', { origin, ...PREFLIGHT });
      expectProblem(response, { status: 403, code: 'origin_refused', outcome: 'not_sent' });
      expect(allowedOrigins(response)).toEqual([]);
    }
    expect(upstream.received).toHaveLength(0);
  });
});

describe('an OPTIONS request that is not a preflight', () => {
  it('is forwarded', async () => {
    const { upstream, call } = await start();
    expect((await call('OPTIONS', '/api/x', {})).status).toBe(200);
    expect((await call('OPTIONS', '/api/x', PREFLIGHT)).status).toBe(200);
    expect(upstream.requests.map(({ method, target }) => `${method} ${target}`)).toEqual(['OPTIONS /x', 'OPTIONS /x']);
  });
});

describe('a response to a page of an allowed origin names that origin exactly once', () => {
  const page = { origin: ORIGIN };

  it.each([
    ['the provider responds', 'GET', '/api/x', 200],
    ['the provider responds to a HEAD', 'HEAD', '/api/x', 200],
    ['the provider refuses every token', 'GET', '/api/dead', 401],
    ['there is no such route', 'GET', '/nowhere', 404],
    ['a placeholder is given out', 'GET', '/mpesa/oauth/v1/generate', 200],
    ['the token path is misspelt', 'GET', '/mpesa/oauth/v1/generate/', 403],
  ])('if %s', async (_, method, path, status) => {
    const { call } = await start();
    const response = await call(method, path, page);
    expect([response.status, ...allowedOrigins(response)]).toEqual([status, ORIGIN]);
    expect(response.header('access-control-allow-credentials')).toBeUndefined();
    expect(response.header('access-control-expose-headers')).toContain('wakala-token');
  });

  it('if the body is too large', async () => {
    const { call } = await start();
    const response = await call('POST', '/api/x', page, 'longer than ten');
    expect([response.status, ...allowedOrigins(response)]).toEqual([413, ORIGIN]);
  });

  it.each([
    ['the target is refused', '/api//x', 400],
    ['the call is not in `allow`', '/api/other', 403],
  ])('if %s', async (_, path, status) => {
    const { call } = await start();
    const response = await call('GET', path, page);
    expect([response.status, ...allowedOrigins(response)]).toEqual([status, ORIGIN]);
  });

  it('if the key is missing, wrong, or valid only for other routes', async () => {
    const { call } = await start({ clients: [SHOP] });
    const responses = [
      await call('GET', '/api/x', page),
      await call('GET', '/api/x', { ...page, ...bearer('wrong-key-0123456789') }),
      await call('GET', '/mpesa/x', { ...page, ...bearer(SHOP.key) }),
      await call('GET', '/api/x', { ...page, ...basic(SHOP) }),
    ];
    expect(responses.map((response) => [response.status, ...allowedOrigins(response)])).toEqual([
      [401, ORIGIN],
      [401, ORIGIN],
      [403, ORIGIN],
      [200, ORIGIN],
    ]);
  });
});

describe('a response to any other caller', () => {
  it('names no origin, even if the response of the provider does', async () => {
    const { call } = await start();
    const response = await call('GET', '/api/x', {});
    const names = response.rawHeaders.filter((__, i) => i % 2 === 0).map((name) => name.toLowerCase());
    expect(response.status).toBe(200);
    expect(names.filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });
});

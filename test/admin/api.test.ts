import { describe, expect, it } from 'vitest';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { json, refusingFirstToken, reply } from '../support/upstream-raw.ts';
import { CLIENT_SECRET, type RunningAdmin, startAdmin } from './running-admin.ts';

const NAME = '%2Fraw%2F*';

const ok = () => reply(200, 'fine');

async function routeOf({ port }: RunningAdmin, name = '/raw/*'): Promise<Record<string, unknown>> {
  const { routes } = (await sendRequest(port, '/api/routes')).json() as { routes: Record<string, unknown>[] };
  return routes.find((route) => route['name'] === name)!;
}

async function requestsOf({ port }: RunningAdmin, query = ''): Promise<Record<string, unknown>[]> {
  return (await sendRequest(port, `/api/requests${query}`)).json()['requests'] as Record<string, unknown>[];
}

describe('GET /api/routes', () => {
  it('has every route before the first request', async () => {
    const admin = await startAdmin(ok);
    const response = await sendRequest(admin.port, '/api/routes');
    expect([response.status, response.header('content-type'), response.header('cache-control')]).toEqual([
      200,
      'application/json',
      'no-store',
    ]);
    expect(response.json()).toMatchObject({ emulated: true, commit: null, token_store: null, problems: [] });
    expect(await routeOf(admin)).toMatchObject({
      environment: 'sandbox',
      upstream: admin.upstream.origin,
      state: 'ok',
      token: { state: 'none', fingerprint: null, expires_at: null },
      requests: null,
    });
  });

  it('has the token and the counts, with times in ISO 8601', async () => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, '/raw/x');
    const route = await routeOf(admin);
    expect(route).toMatchObject({
      token: { state: 'valid', lifetime_source: 'expires_in' },
      exchanges: { ok: 1, denied: 0, unavailable: 0 },
      requests: { total: 1, by_status: { '2xx': 1 }, by_token: { fetched: 1 } },
    });
    const token = route['token'] as Record<string, string>;
    expect(token['fingerprint']).toMatch(/^[0-9a-f]{8}$/);
    expect(Date.parse(token['expires_at']!) - Date.parse(token['issued_at']!)).toBe(3_600_000);
    expect(token['expires_at']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it('says what is wrong and what to do', async () => {
    const admin = await startAdmin(ok);
    admin.emulator.control({ token_endpoint: 'denied' });
    await sendRequest(admin.proxyPort, '/paypack/me');
    const route = await routeOf(admin, '/paypack/*');
    expect(route['state']).toBe('failing');
    const [problem] = route['problems'] as Record<string, string>[];
    expect(problem?.['code']).toBe('denied_in_sandbox');
    expect(problem?.['todo']).toContain('`client_id` and `client_secret`');
  });
});

describe('GET /api/requests', () => {
  async function startWithTraffic() {
    const admin = await startAdmin(({ target }) => reply(target.includes('missing') ? 404 : 200, 'fine'));
    await sendRequest(admin.proxyPort, '/raw/orders?page=2', { headers: { 'x-request-id': 'first-of-all' } });
    await sendJson(admin.proxyPort, '/raw/missing', { a: 1 });
    admin.emulator.control({ token_endpoint: 'denied' });
    await sendRequest(admin.proxyPort, '/paypack/me');
    await sendRequest(admin.proxyPort, '/nowhere');
    return admin;
  }

  it('lists the last requests, newest first', async () => {
    const requests = await requestsOf(await startWithTraffic());
    expect(requests.map(({ path, status, route }) => [path, status, route])).toEqual([
      ['/nowhere', 404, null],
      ['/paypack/me', 502, '/paypack/*'],
      ['/raw/missing', 404, '/raw/*'],
      ['/raw/orders?page=2', 200, '/raw/*'],
    ]);
    expect(requests[1]).toMatchObject({ method: 'GET', code: 'token_denied', token: null, attempts: 0, client: null });
    expect(requests[3]).toMatchObject({ request_id: 'first-of-all', token: 'fetched', attempts: 1, code: null });
    expect(requests[3]?.['id']).toMatch(new RegExp(`^${process.pid}-\\d+$`));
    expect(Date.parse(String(requests[3]?.['at']))).not.toBeNaN();
  });

  it.each([
    ['?route=%2Fraw%2F*', ['/raw/missing', '/raw/orders?page=2']],
    ['?status=200', ['/raw/orders?page=2']],
    ['?status=4xx', ['/nowhere', '/raw/missing']],
    ['?status=error', ['/nowhere', '/paypack/me']],
    ['?method=post', ['/raw/missing']],
    ['?token=fetched', ['/raw/orders?page=2']],
    ['?token=cached', ['/raw/missing']],
    ['?q=ORDERS', ['/raw/orders?page=2']],
    ['?q=first-of', ['/raw/orders?page=2']],
    ['?q=token_denied', ['/paypack/me']],
    ['?q=page=2&route=%2Fraw%2F*&status=', ['/raw/orders?page=2']],
    ['?q=nothing+like+it', []],
    ['?limit=1', ['/nowhere']],
  ])('filters by %s', async (query, paths) => {
    const requests = await requestsOf(await startWithTraffic(), query);
    expect(requests.map(({ path }) => path)).toEqual(paths);
  });

  it.each(['status=6xx', 'status=20', 'token=stolen', 'limit=0', 'limit=1001', 'limit=x'])(
    'refuses %s and says what is valid',
    async (query) => {
      const { port } = await startAdmin(ok);
      const response = await sendRequest(port, `/api/requests?${query}`);
      expect([response.status, response.header('content-type')]).toEqual([400, 'application/problem+json']);
      expect(response.json()).toMatchObject({ code: 'bad_filter', status: 400 });
    },
  );

  it('shows the whole path once, also of a request that its route refused', async () => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, '/raw/raw/x');
    await sendRequest(admin.proxyPort, '/raw/socket', { headers: { upgrade: 'websocket' } });
    expect((await requestsOf(admin)).map(({ path, code }) => [path, code])).toEqual([
      ['/raw/socket', 'upgrade_refused'],
      ['/raw/raw/x', null],
    ]);
  });
});

describe('GET /api/requests/{id}', () => {
  it('has the timing of two attempts', async () => {
    const admin = await startAdmin(refusingFirstToken(ok));
    await sendJson(admin.proxyPort, '/raw/pay', { amount: 10 });
    const [{ id } = {}] = await requestsOf(admin);
    const details = (await sendRequest(admin.port, `/api/requests/${String(id)}`)).json();
    expect(details).toMatchObject({ token: 'replayed', attempts: 2, statuses: [401, 200], token_refusals: 1 });
    const timing = details['timing'] as Record<string, number>;
    const sum = Object.values(timing).reduce((all, ms) => all + ms, 0);
    expect(Math.abs(sum - Number(details['duration_ms']))).toBeLessThan(0.1);
    expect(timing['first_byte_ms']).toBeGreaterThan(0);
    expect(details['curl']).toBe(
      `curl -sS http://127.0.0.1:${admin.proxyPort}/raw/pay -H 'content-type: application/json' --data-raw '{"amount":10}'`,
    );
  });

  it('masks headers, bodies, paths and queries', async () => {
    const admin = await startAdmin(() =>
      json(200, { access_token: 'canary-response', ok: true }, 'x-session: canary-response'),
    );
    const long = 'x'.repeat(40);
    await sendJson(
      admin.proxyPort,
      `/raw/users/254708374149/${long}?pin=1234&token=${CLIENT_SECRET}`,
      { PhoneNumber: '254708374149', password: CLIENT_SECRET, amount: 10 },
      { authorization: `Bearer ${CLIENT_SECRET}`, 'x-api-key': CLIENT_SECRET },
    );
    const [{ id, path } = {}] = await requestsOf(admin);
    expect(path).toBe('/raw/users/254•••49/[redacted]?pin=[redacted]&token=[redacted]');
    const { text, ...response } = await sendRequest(admin.port, `/api/requests/${String(id)}`);
    for (const secret of [...admin.secrets(), 'canary-response', '254708374149', long])
      expect(text).not.toContain(secret);
    const details = response.json() as { request: { headers: string[][]; body: { text: string } }; curl: string };
    expect(details.request.headers).toContainEqual(['x-api-key', '[redacted]']);
    expect(JSON.parse(details.request.body.text)).toEqual({
      PhoneNumber: '254•••49',
      password: '[redacted]',
      amount: 10,
    });
    expect(details.curl).not.toMatch(/authorization|x-api-key/i);
  });

  it('says why a body was not kept', async () => {
    const admin = await startAdmin(ok, { settings: { inspect_bodies: false } });
    await sendJson(admin.proxyPort, '/raw/pay', { amount: 10 });
    const [{ id } = {}] = await requestsOf(admin);
    const { request } = (await sendRequest(admin.port, `/api/requests/${String(id)}`)).json() as {
      request: { body: { text: null; why_not: string } };
    };
    expect(request.body.text).toBeNull();
    expect(request.body.why_not).toContain('`inspect_bodies: true`');
  });

  it.each(['1-1', `${process.pid}-99`, `${process.pid}-0`, 'x', '%00', `${process.pid}-1e3`])(
    'responds 404 to %s, which is not kept',
    async (id) => {
      const { port } = await startAdmin(ok);
      expect((await sendRequest(port, `/api/requests/${id}`)).json()).toMatchObject({
        status: 404,
        code: 'no_such_request',
      });
    },
  );
});

describe('POST /api/routes/{name}/refresh', () => {
  it.each([NAME, 'raw', '%2Fraw'])('fetches a new token for %s', async (name) => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, '/raw/x');
    const before = (await routeOf(admin))['token'] as Record<string, unknown>;
    const response = await sendRequest(admin.port, `/api/routes/${name}/refresh`, { method: 'POST' });
    expect([response.status, response.json()]).toMatchObject([200, { route: '/raw/*' }]);
    expect(response.json()['fingerprint']).not.toBe(before['fingerprint']);
    expect((await routeOf(admin))['token']).toMatchObject({ fingerprint: response.json()['fingerprint'] });
    expect(admin.upstream.tokens).toHaveLength(2);
  });

  it('says why there is no new token', async () => {
    const admin = await startAdmin(ok);
    admin.emulator.control({ token_endpoint: '429', retry_after: 7 });
    const response = await sendRequest(admin.port, '/api/routes/paypack/refresh', { method: 'POST' });
    expect([response.status, response.header('content-type'), response.header('retry-after')]).toEqual([
      503,
      'application/problem+json',
      '7',
    ]);
    expect(response.json()).toMatchObject({ code: 'token_unavailable', status: 503 });
    admin.emulator.control({ token_endpoint: 'denied' });
  });

  it('responds 409 for a fixed key and 404 without a route', async () => {
    const { port } = await startAdmin(ok, { provider: 'static' });
    const post = (name: string) => sendRequest(port, `/api/routes/${name}/refresh`, { method: 'POST' });
    expect((await post('static')).json()).toMatchObject({ status: 409, code: 'fixed_key' });
    expect((await post('nowhere')).json()).toMatchObject({ status: 404, code: 'no_such_route' });
  });
});

describe('POST /api/requests/{id}/replay', () => {
  it('resends a request to an emulated provider', async () => {
    const admin = await startAdmin(ok);
    await sendJson(admin.proxyPort, '/raw/pay', { amount: 10 });
    const [{ id } = {}] = await requestsOf(admin);
    const response = await sendRequest(admin.port, `/api/requests/${String(id)}/replay`, { method: 'POST' });
    expect([response.status, response.json()['status']]).toEqual([200, 200]);
    expect(admin.upstream.requests.map(({ target }) => target)).toEqual(['/pay', '/pay']);
    await expect
      .poll(async () => (await requestsOf(admin, `?q=${String(response.json()['request_id'])}`)).length)
      .toBe(1);
  });

  it('is refused for real providers, and for requests that are not kept', async () => {
    const admin = await startAdmin(ok, { emulated: false });
    await sendRequest(admin.proxyPort, '/raw/x');
    const [{ id } = {}] = await requestsOf(admin);
    const post = (of: string) => sendRequest(admin.port, `/api/requests/${of}/replay`, { method: 'POST' });
    expect((await post(String(id))).json()).toMatchObject({ status: 403, code: 'not_emulated' });
    expect((await post('1-1')).json()).toMatchObject({ status: 404 });
    expect(admin.upstream.requests).toHaveLength(1);
  });

  it('says why a request cannot be resent', async () => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, '/nowhere');
    const [{ id } = {}] = await requestsOf(admin);
    const response = await sendRequest(admin.port, `/api/requests/${String(id)}/replay`, { method: 'POST' });
    expect(response.json()).toMatchObject({ status: 409, detail: 'This request was not sent to a provider.' });
  });
});

describe('methods', () => {
  it.each([
    ['POST', '/api/routes', 'GET, HEAD'],
    ['DELETE', '/api/requests', 'GET, HEAD'],
    ['PUT', '/api/requests/1-1', 'GET, HEAD'],
    ['POST', '/api/events', 'GET, HEAD'],
    ['POST', '/', 'GET, HEAD'],
    ['POST', '/requests', 'GET, HEAD'],
    ['GET', `/api/routes/${NAME}/refresh`, 'POST'],
    ['HEAD', `/api/routes/${NAME}/refresh`, 'POST'],
    ['GET', '/api/requests/1-1/replay', 'POST'],
  ])('responds to %s %s with 405 and the allowed method', async (method, path, allow) => {
    const admin = await startAdmin(ok);
    const response = await sendRequest(admin.port, path, { method });
    expect([response.status, response.header('allow')]).toEqual([405, allow]);
    expect(admin.upstream.tokens).toEqual([]);
  });

  it('responds to HEAD as to GET, without a body and without listening to events', async () => {
    const { port } = await startAdmin(ok);
    for (const path of ['/', '/requests', '/api/routes', '/api/requests', '/api/events']) {
      expect(await sendRequest(port, path, { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
    }
  });

  it('responds with problem details to unknown paths', async () => {
    const response = await sendRequest((await startAdmin(ok)).port, '/api/nothing');
    expect([response.status, response.header('content-type')]).toEqual([404, 'application/problem+json']);
  });
});

describe('a request of a page of another origin', () => {
  const get = ({ port }: RunningAdmin, headers: Record<string, string>, path = '/api/requests') =>
    sendRequest(port, path, { headers });

  it.each([
    [
      'a fetch of another site',
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'empty' },
    ],
    ['a fetch of another port', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }],
    [
      'an image of another port',
      { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
    ],
    [
      'a frame of another site',
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
    ],
    ['a fetch with a foreign Origin', { origin: 'http://127.0.0.1:3000' }],
  ])('is refused: %s', async (_, headers) => {
    const admin = await startAdmin(ok);
    for (const path of ['/', '/api/requests', '/api/events']) {
      const response = await get(admin, headers, path);
      expect([response.status, response.json()['code']]).toEqual([403, 'origin_refused']);
    }
  });

  it('is accepted if it follows a link, or is from the dashboard itself', async () => {
    const admin = await startAdmin(ok);
    const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    expect((await get(admin, link, '/')).status).toBe(200);
    expect((await get(admin, { ...link, 'sec-fetch-site': 'none' }, '/')).status).toBe(200);
    expect((await get(admin, { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' })).status).toBe(200);
    expect((await get(admin, {})).status).toBe(200);
  });
});

describe('actions of a browser', () => {
  const post = ({ port }: RunningAdmin, headers: Record<string, string>) =>
    sendRequest(port, `/api/routes/${NAME}/refresh`, { method: 'POST', headers });

  it.each([
    ['another origin', { origin: 'https://evil.example' }],
    ['another port of this machine', { origin: 'http://127.0.0.1:1' }],
    ['no origin that has a name', { origin: 'null' }],
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['another origin of the same site', { 'sec-fetch-site': 'same-site' }],
    ['another site under its own name', { origin: 'http://127.0.0.1', 'sec-fetch-site': 'cross-site' }],
  ])('are refused from %s', async (_, headers) => {
    const admin = await startAdmin(ok);
    expect((await post(admin, headers)).json()).toMatchObject({ status: 403, code: 'origin_refused' });
    expect(admin.upstream.tokens).toEqual([]);
  });

  it('are refused from a page with TLS on the same host, which is another origin', async () => {
    const admin = await startAdmin(ok);
    expect((await post(admin, { origin: `https://127.0.0.1:${admin.port}` })).status).toBe(403);
  });

  it('are refused with a foreign Host that resolves to this machine', async () => {
    const admin = await startAdmin(ok);
    const response = await post(admin, { host: 'evil.example', origin: 'http://evil.example' });
    expect(response.status).toBe(403);
    expect(admin.upstream.tokens).toEqual([]);
  });

  it('are accepted from the dashboard', async () => {
    const admin = await startAdmin(ok);
    const origin = `http://localhost:${admin.port}`;
    const own = { host: `localhost:${admin.port}`, origin, 'sec-fetch-site': 'same-origin' };
    expect((await post(admin, own)).status).toBe(200);
    expect((await post(admin, { 'sec-fetch-site': 'none' })).status).toBe(200);
  });
});

import { describe, expect, it } from 'vitest';
import type { Emulator } from '../../src/emulators/emulator.ts';
import { valueAt } from '../../src/json.ts';
import { sampleBody } from '../../src/providers/provider.ts';
import { isRequested } from '../../src/providers/provider.ts';
import { expectProblem, sendJson, sendRequest } from '../support/proxy-client.ts';
import { ShiftedClock } from '../support/proxy-clock.ts';
import { startProxyToEmulator } from '../support/proxy-server.ts';
import { sendRaw } from '../support/raw-client.ts';

const NAMES = ['jpay', 'mpesa', 'jeel', 'paypack'];

const LOGINS = [
  ['jpay', 'POST', '/auth/app/token'],
  ['jpay', 'POST', '/auth/refresh'],
  ['mpesa', 'GET', '/oauth/v1/generate?grant_type=client_credentials'],
  ['jeel', 'POST', '/oauth2/token'],
  ['paypack', 'POST', '/auth/agents/authorize'],
  ['paypack', 'GET', '/auth/refresh/eyJhbGciOi.a.b'],
  ['paypack', 'GET', '/auth/agents/refresh/eyJhbGciOi.a.b'],
] as const;

function accessTokenIn(emulator: Emulator, json: unknown): string {
  const { token } = emulator.provider;
  return isRequested(token) ? String(valueAt(json, token.response.accessToken)) : '';
}

function types(object: object) {
  return Object.entries(object).map(([key, value]) => [key, typeof value]);
}

describe.each(LOGINS)('the login of %s, %s %s', (name, method, path) => {
  const credentials = { app_key: 'k', app_secret: 's', client_id: 'i', client_secret: 's', refresh: 'r' };

  it('gets a response with the fields and types of the provider, and never reaches it', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    const response = await sendRequest(proxy.port, `/${name}${path}`, {
      method,
      ...(method === 'POST' && { body: JSON.stringify(credentials) }),
    });
    expect(response.status).toBe(200);
    expect(response.header('content-type')).toContain('application/json');
    expect(response.header('cache-control')).toBe('no-store');
    expect(response.header('x-request-id')).toBeDefined();
    expect(types(response.json())).toEqual(types(emulator.provider.samples.tokenResponse));
    expect(accessTokenIn(emulator, response.json())).not.toBe('');
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });

  it('gets a 403 if the route is configured so', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name, { token_paths: 'refuse' });
    const response = await sendRequest(proxy.port, `/${name}${path}`, { method });
    expectProblem(response, { status: 403, code: 'path_refused', outcome: 'not_sent' });
    expect(emulator.stats().token_requests).toBe(0);
  });

  it('gets a 403 in any other spelling or with another method', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    const [bare = ''] = path.split('?');
    const spellings = [
      `${method} /${name}${bare.toUpperCase()}`,
      `${method} /${name}${bare}/`,
      `${method} /${name}${bare};x=y`,
      `${method} /${name}${bare.replace('a', '%61')}`,
      `${method} /${name}${bare.replace('a', '%2561')}`,
      `${method} /${name}${bare.replace(/(.)\//, '$1%2f')}`,
      `PUT /${name}${bare}`,
      `HEAD /${name}${bare}`,
      `${method === 'GET' ? 'POST' : 'GET'} /${name}${bare}`,
    ];
    const statuses = await Promise.all(
      spellings.map(async (start) => {
        const response = await sendRaw(proxy.port, `${start} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
        // A refresh token is one segment of any spelling.
        return response.status === 200 && path.includes('eyJ') ? 403 : response.status;
      }),
    );
    expect(statuses).toEqual(spellings.map(() => 403));
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });
});

describe.each(NAMES)('a placeholder of %s', (name) => {
  it('is none of the real tokens, and is dropped from the next call', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    const [, method, path] = LOGINS.find(([of]) => of === name)!;
    const login = await sendRequest(proxy.port, `/${name}${path}`, { method });
    const placeholder = accessTokenIn(emulator, login.json());
    const { samples } = emulator.provider;
    // The emulator accepts only its own tokens: a 200 means that it did not receive the placeholder.
    const response = await sendJson(proxy.port, `/${name}${samples.call.path}`, sampleBody({ samples }), {
      authorization: `Bearer ${placeholder}`,
    });
    expect(response.status).toBe(200);
    const direct = await sendJson(Number(new URL(emulator.apiUrl).port), samples.call.path, sampleBody({ samples }), {
      authorization: `Bearer ${placeholder}`,
    });
    expect(direct.status).not.toBe(200);
    expect(emulator.stats().token_requests).toBe(1);
  });

  it('expires like a token of the provider', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    const [, method, path] = LOGINS.find(([of]) => of === name)!;
    const token = accessTokenIn(emulator, (await sendRequest(proxy.port, `/${name}${path}`, { method })).json());
    if (emulator.provider.samples.tokenFormat !== 'jwt') return;
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp: number };
    expect(token.split('.')).toHaveLength(3);
    expect(claims.exp * 1000).toBeGreaterThan(Date.now());
  });
});

describe('a placeholder, if clients have keys,', () => {
  const SHOP = { name: 'shop', key: 'shop-key-0123456789' };
  const LOGIN = '/mpesa/oauth/v1/generate?grant_type=client_credentials';

  async function start() {
    const clock = new ShiftedClock();
    const { emulator, proxy } = await startProxyToEmulator('mpesa', {}, clock, { clients: [SHOP] });
    const { samples } = emulator.provider;
    const call = (token: string) =>
      sendJson(proxy.port, `/mpesa${samples.call.path}`, sampleBody({ samples }), { authorization: `Bearer ${token}` });
    const login = async ({ name, key }: typeof SHOP) => {
      const basic = Buffer.from(`${name}:${key}`).toString('base64');
      return sendRequest(proxy.port, LOGIN, { headers: { authorization: `Basic ${basic}` } });
    };
    return { clock, emulator, proxy, call, login };
  }

  it('is returned to a Basic login with name and key, and is then valid for calls', async () => {
    const { emulator, call, login } = await start();
    const token = String((await login(SHOP)).json()['access_token']);
    expect((await call(token)).status).toBe(200);
    expect(token).not.toContain(SHOP.key);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 1 });
  });

  it('is not returned to anyone else', async () => {
    const { proxy, login } = await start();
    expectProblem(await sendRequest(proxy.port, LOGIN), { status: 401, code: 'client_unauthorized' });
    expectProblem(await login({ ...SHOP, key: 'another-key-0123456789' }), {
      status: 401,
      code: 'client_unauthorized',
    });
  });

  it('is valid for an hour', async () => {
    const { clock, call, login } = await start();
    const response = (await login(SHOP)).json();
    expect(response['expires_in']).toBe('3600');
    clock.shiftMs += 3590_000;
    expect((await call(String(response['access_token']))).status).toBe(200);
    clock.shiftMs += 10_000;
    expect((await call(String(response['access_token']))).status).toBe(401);
  });

  it('is invalid after a change of one letter', async () => {
    const { call, login } = await start();
    const token = String((await login(SHOP)).json()['access_token']);
    const [mark = '', payload = '', signature = ''] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...claims, exp: 1e12 })).toString('base64url');
    const swapped = signature.startsWith('a') ? `b${signature.slice(1)}` : `a${signature.slice(1)}`;
    for (const bad of [
      `${mark}.${forged}.${signature}`,
      `${mark}.${forged}.${'\xe9'.repeat(43)}`,
      `${mark}.${payload}.${swapped}`,
      `${mark}.${payload}.unsigned`,
      `${mark}.${payload}.`,
      `${mark}.${payload}`,
      `${mark}..${signature}`,
    ]) {
      expectProblem(await call(bad), { status: 401, code: 'client_unauthorized' });
    }
  });
});

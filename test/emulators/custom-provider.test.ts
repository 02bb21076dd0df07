import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { withExchangesAt } from '../../src/emulators/emulated-provider.ts';
import type { Exchange, Provider, ResponseFormat } from '../../src/providers/provider.ts';
import { fixedToken } from '../../src/providers/static.ts';
import { callApi, emulate, refreshTokens, requestToken, sampleCall, send, sendTokenRequest } from './support.ts';

/** Uses every part of a token request. */
const custom = {
  name: 'custom',
  title: 'Custom',
  sources: [],
  traps: [],
  credentials: ['user', 'key', 'scope'].map((name) => ({ name, description: '', secret: true })),
  token: {
    request: {
      method: 'POST',
      path: '/login/{scope}',
      query: { v: '2' },
      headers: { 'api-key': 'k-{key}' },
      basic: ['{user}', '{key}'],
      body: { encoding: 'form', fields: { grant_type: 'client_credentials' } },
    },
    response: { accessToken: 'data.token', expiresIn: 'data.ttl', refreshToken: 'data.again' },
  },
  refresh: {
    request: {
      method: 'POST',
      path: '/again',
      headers: { 'x-refresh': 'R {refresh_token}!' },
    },
    response: { accessToken: 'data.token' },
  },
  defaultLifetimeS: 60,
  deadToken: [{ status: 419 }],
  headers: [],
  tokenPaths: [],
  samples: {
    tokenResponse: { data: { token: '', ttl: 3600, again: '' } },
    tokenFormat: 'opaque',
    accessLifetimeS: 3600,
    deniedResponse: { status: 403, body: { error: 'no' } },
    deadTokenResponse: { status: 419, body: { error: 'old' } },
    call: { method: 'GET', path: '/' },
  },
} as const satisfies Provider;

const definition: Exchange = custom.token;

async function tokens(provider: Provider = custom) {
  const { emulator } = await emulate(provider);
  const { json } = await requestToken(emulator);
  return { emulator, ...(json['data'] as { token: string; again: string; ttl: number }) };
}

describe('the emulator of a custom provider', () => {
  it('accepts the defined token request and responds with the defined fields', async () => {
    const { emulator, token, again, ttl } = await tokens();
    expect([typeof token, typeof again, ttl]).toEqual(['string', 'string', 3600]);
    expect((await callApi(emulator, token, '/x')).status).toBe(200);
    expect(await callApi(emulator, undefined, '/x')).toMatchObject({ status: 419, json: { error: 'old' } });
  });

  it.each(['user', 'key', 'scope'])('refuses a wrong %s in any part of the request', async (name) => {
    const { emulator } = await emulate(custom);
    expect(await requestToken(emulator, { [name]: 'wrong' })).toMatchObject({ status: 403, json: { error: 'no' } });
  });

  it.each([
    ['query', { query: { v: '3' } }, 'expected query parameter v to be 2'],
    ['query', { query: {} }, 'expected one query parameter v, a string'],
    ['headers', { headers: {} }, 'expected one header api-key, a string'],
    ['encoding', { body: { encoding: 'json', fields: {} } }, 'expected content-type application/x-www-form-urlencoded'],
  ] as const)('reports what is wrong with the %s', async (_part, change, reason) => {
    const { emulator } = await emulate(custom);
    const reply = await sendTokenRequest(emulator, { ...definition.request, ...change });
    expect([reply.status, reply.headers.get('x-emulated-reason')]).toEqual([400, reason]);
    expect(reply.json).toEqual({ error: 'invalid_request', error_description: reason });
  });

  it('refreshes without rotation if the refresh response has no refresh token', async () => {
    const { emulator, again } = await tokens();
    const first = await refreshTokens(emulator, again);
    const second = await refreshTokens(emulator, again);
    expect([first.status, second.status]).toEqual([200, 200]);
    expect((await refreshTokens(emulator, 'unknown')).status).toBe(403);
  });

  it.each<[format: ResponseFormat, type: string, token: RegExp]>([
    ['text', 'text/plain; charset=utf-8', /^([^ ]+)$/],
    ['form', 'application/x-www-form-urlencoded', /^token=([^&]+)&/],
  ])('responds in the format %s', async (format, type, pattern) => {
    const response = { format, accessToken: 'token' };
    const samples = { ...custom.samples, tokenResponse: { token: '', ttl: 3600 } };
    const request = { method: 'POST', path: '/login' } as const;
    const { emulator } = await emulate({ ...custom, samples, token: { request, response } });
    const reply = await fetch(`${emulator.authUrl}/login`, { method: 'POST' });
    expect(reply.headers.get('content-type')).toBe(type);
    const [, token = ''] = pattern.exec(await reply.text()) ?? [];
    expect((await callApi(emulator, token, '/x')).status).toBe(200);
  });

  it('compares nested values of a JSON body, and accepts a content type of the definition', async () => {
    const fields = { auth: { keys: ['{key}', 7] }, ttl: 3600 };
    const headers = { 'Content-Type': 'application/vnd.api+json' };
    const request = { method: 'PUT', path: '/login', headers, body: { encoding: 'json', fields } } as const;
    const { emulator } = await emulate({ ...custom, token: { ...custom.token, request } });
    const login = async (body: object) => {
      const url = `${emulator.authUrl}/login`;
      const { status } = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(body) });
      return status;
    };
    const key = emulator.credentials.get('key')?.reveal();
    expect(await login({ auth: { keys: [key, 7] }, ttl: 3600 })).toBe(200);
    expect(await login({ auth: { keys: ['wrong', 7] }, ttl: 3600 })).toBe(403);
    expect(await login({ auth: { keys: [key, 8] }, ttl: 3600 })).toBe(400);
    expect(await login({ auth: null, ttl: 3600 })).toBe(400);
    expect(await login({ auth: { keys: [key, 7] } })).toBe(400);
  });

  it('accepts the token in a query parameter alone', async () => {
    const { emulator, token } = await tokens({ ...custom, tokenQuery: { name: 'key', withHeader: false } });
    expect((await callApi(emulator, undefined, `/x?key=${token}`)).status).toBe(200);
    expect((await callApi(emulator, token, '/x')).status).toBe(419);
  });

  it('accepts a chunked body', async () => {
    const { emulator, token } = await tokens();
    const headers = { authorization: `Bearer ${token}` };
    const pieces = Readable.from(['in ', 'many ', 'pieces'].map((piece) => Buffer.from(piece)));
    const chunked = await send(`${emulator.apiUrl}/x`, { method: 'POST', headers, body: pieces, duplex: 'half' });
    const whole = await send(`${emulator.apiUrl}/x`, { method: 'POST', headers, body: 'in many pieces' });
    expect([chunked.json['body'], whole.json['body']]).toEqual(['in many pieces', 'in many pieces']);
  });

  it('refuses a body of more than 16 MiB, with a content length or chunked', async () => {
    const { emulator } = await tokens();
    const body = Buffer.alloc(16 * 1024 * 1024 + 1);
    const whole = await send(`${emulator.apiUrl}/x`, { method: 'POST', body });
    const chunked = await send(`${emulator.apiUrl}/x`, { method: 'POST', body: Readable.from([body]), duplex: 'half' });
    expect([whole.status, chunked.status]).toEqual([413, 413]);
  });

  it('returns path and query of a call without decoding them', async () => {
    const { emulator, token } = await tokens();
    const reply = await callApi(emulator, token, '/a%2Fb/c?x=%41&x=b+c', { some: ['json'] });
    expect(reply.json).toEqual({
      method: 'POST',
      path: '/a%2Fb/c',
      query: 'x=%41&x=b+c',
      body: { some: ['json'] },
    });
    expect((await callApi(emulator, token, '/')).json).toEqual({ method: 'GET', path: '/', query: '', body: null });
  });

  it('serves an absolute token URL under its path', async () => {
    const request = { ...definition.request, path: 'https://id.example.test/oauth/{scope}' };
    const provider: Provider = { ...custom, token: { ...definition, request } };
    const { emulator } = await emulate(provider);
    const moved = withExchangesAt(provider, emulator.authUrl);
    expect(moved.token).toMatchObject({ request: { path: `${emulator.authUrl}/oauth/{scope}` } });
    expect(moved.refresh).toEqual(custom.refresh);
    const reply = await sendTokenRequest(emulator, { ...definition.request, path: '/oauth/{scope}' });
    expect(reply.status).toBe(200);
  });
});

describe('the emulator of a fixed token', () => {
  it('accepts the emulated token', async () => {
    const { emulator } = await emulate(fixedToken);
    const key = emulator.credentials.get('token')!.reveal();
    expect(key).toBe('emulated-static-token');
    expect((await sampleCall(emulator, key)).status).toBe(200);
    expect((await sampleCall(emulator, 'other')).status).toBe(401);
  });

  it('refuses the token after expire_tokens until reset', async () => {
    const { emulator } = await emulate(fixedToken);
    const key = emulator.credentials.get('token')!.reveal();
    emulator.control({ expire_tokens: true });
    expect((await sampleCall(emulator, key)).status).toBe(401);
    emulator.control({ reset: true });
    expect((await sampleCall(emulator, key)).status).toBe(200);
  });
});

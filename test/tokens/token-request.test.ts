import { describe, expect, it } from 'vitest';
import { jeel } from '../../src/providers/jeel.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { type Exchange, type ExchangeRequest, isRequested, type Provider } from '../../src/providers/provider.ts';
import { type TokenRequest, tokenRequest } from '../../src/tokens/token-request.ts';

const AUTH = 'https://auth.example/api/v1';

function requestOf(
  exchange: ExchangeRequest,
  values: Readonly<Record<string, string>> = {},
  authServer = AUTH,
): Promise<TokenRequest> {
  return tokenRequest(exchange, authServer, (name) => values[name]);
}

function exchangeOf(provider: Provider): Exchange {
  if (!isRequested(provider.token)) throw new Error('no exchange');
  return provider.token;
}

const textOf = (request: TokenRequest) => Buffer.from(request.body ?? '').toString('utf8');

async function formOf({ body, headers }: TokenRequest): Promise<Record<string, unknown>> {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- the form is our own, and small
  const form = await new Response(Buffer.from(body ?? ''), { headers }).formData();
  return Object.fromEntries(form.entries());
}

const QUIET = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'wakala' };

describe('the token request', () => {
  it.each(['https://login.example/token', 'HTTPS://login.example/token'])(
    'goes to a whole URL as it is: %s',
    async (path) => {
      expect((await requestOf({ method: 'POST', path })).url).toBe('https://login.example/token');
    },
  );

  it('of M-Pesa is a GET with Basic authentication and without a body', async () => {
    const request = await requestOf(
      exchangeOf(mpesa).request,
      { consumer_key: 'ck', consumer_secret: 'cs' },
      'https://sandbox.safaricom.co.ke',
    );
    expect(request).toEqual({
      method: 'GET',
      url: 'https://sandbox.safaricom.co.ke/oauth/v1/generate?grant_type=client_credentials',
      headers: { ...QUIET, authorization: `Basic ${Buffer.from('ck:cs').toString('base64')}` },
      body: undefined,
    });
  });

  it('of JPay is a POST with app key and secret as JSON', async () => {
    const request = await requestOf(
      exchangeOf(jpay).request,
      { app_key: 'ak', app_secret: 'as"\\' },
      'https://sandbox.api.jpay.africa/api/v1',
    );
    expect(request).toMatchObject({
      method: 'POST',
      url: 'https://sandbox.api.jpay.africa/api/v1/auth/app/token',
      headers: { ...QUIET, 'content-type': 'application/json' },
    });
    expect(Object.keys(request.headers)).toHaveLength(4);
    expect(JSON.parse(textOf(request))).toEqual({ app_key: 'ak', app_secret: 'as"\\' });
  });

  it('of JPay for a refresh is a POST with only the refresh token as JSON', async () => {
    const values = { app_key: 'ak', app_secret: 'as', refresh_token: 'r.1' };
    const request = await requestOf(jpay.refresh!.request, values, 'https://api.jpay.africa/api/v1');
    expect(request).toMatchObject({ method: 'POST', url: 'https://api.jpay.africa/api/v1/auth/refresh' });
    expect(JSON.parse(textOf(request))).toEqual({ refresh: 'r.1' });
    expect(request.headers).toEqual({ ...QUIET, 'content-type': 'application/json' });
  });

  it('of Jeel is a POST with client credentials as multipart/form-data', async () => {
    const values = { client_id: 'ci', client_secret: 'cs\u00fc"\r\n--x' };
    const request = await requestOf(exchangeOf(jeel).request, values, 'https://auth.sandbox.jeel.co');
    expect(request).toMatchObject({ method: 'POST', url: 'https://auth.sandbox.jeel.co/oauth2/token' });
    expect(request.headers).toEqual({
      ...QUIET,
      'content-type': expect.stringMatching(/^multipart\/form-data; boundary=\S+$/) as string,
    });
    expect(await formOf(request)).toEqual({ ...values, grant_type: 'client_credentials' });
  });

  it('of Paypack is a POST with client id and secret as JSON', async () => {
    const values = { client_id: 'ci', client_secret: 'cs' };
    const request = await requestOf(exchangeOf(paypack).request, values, 'https://payments.paypack.rw/api');
    expect(request).toMatchObject({
      method: 'POST',
      url: 'https://payments.paypack.rw/api/auth/agents/authorize',
      headers: { ...QUIET, 'content-type': 'application/json' },
    });
    expect(JSON.parse(textOf(request))).toEqual(values);
  });

  it('of Paypack for a refresh is a GET with the refresh token in the path', async () => {
    const request = await requestOf(
      paypack.refresh!.request,
      { client_id: 'ci', client_secret: 'cs', refresh_token: 'r-1' },
      'https://payments.paypack.rw/api',
    );
    expect(request).toEqual({
      method: 'GET',
      url: 'https://payments.paypack.rw/api/auth/refresh/r-1',
      headers: QUIET,
      body: undefined,
    });
  });
});

describe('a placeholder', () => {
  it.each(['a/b', 'a?b', 'a#b', 'a%2Fb', '../../admin', 'a b', 'ü/支', 'a\\b', 'a;b', '%', 'https://evil.example/'])(
    'keeps %j one segment of the path',
    async (value) => {
      const { url } = await requestOf(
        { method: 'GET', path: '/refresh/{refresh_token}/now' },
        { refresh_token: value },
      );
      const { origin, pathname, search, hash } = new URL(url);
      expect({ origin, search, hash }).toEqual({ origin: 'https://auth.example', search: '', hash: '' });
      const segments = pathname.split('/');
      expect(segments).toHaveLength(6);
      expect(decodeURIComponent(segments[4]!)).toBe(value);
    },
  );

  it('is percent-encoded in a query', async () => {
    const { url } = await requestOf(
      { method: 'GET', path: '/token', query: { key: '{key}', scope: 'a b&c' } },
      { key: 'a&b=c d+e%ü' },
    );
    expect([...new URL(url).searchParams]).toEqual([
      ['key', 'a&b=c d+e%ü'],
      ['scope', 'a b&c'],
    ]);
  });

  it('is filled in headers, whose names are sent in lower case', async () => {
    const { headers } = await requestOf(
      { method: 'POST', path: '/t', headers: { 'Api-Key': '{api_key}', Accept: 'text/plain', 'User-Agent': 'mine' } },
      { api_key: 'k-1' },
    );
    expect(headers).toEqual({
      accept: 'text/plain',
      'accept-encoding': 'identity',
      'user-agent': 'mine',
      'api-key': 'k-1',
    });
  });

  it('is filled once: braces in a value stay as they are', async () => {
    const request = await requestOf(
      { method: 'POST', path: '/t', body: { encoding: 'json', fields: { a: '{a}', b: '{b}{a}' } } },
      { a: '{b}', b: '$& $1 {a}' },
    );
    expect(JSON.parse(textOf(request))).toEqual({ a: '{b}', b: '$& $1 {a}{b}' });
  });

  it('without a value stays as it is', async () => {
    const request = await requestOf({
      method: 'POST',
      path: '/t',
      body: { encoding: 'form', fields: { note: '{unknown}', json: '{"a":1}' } },
    });
    expect(await formOf(request)).toEqual({ note: '{unknown}', json: '{"a":1}' });
  });
});

describe('the body of a token request', () => {
  const fields = { id: '{id}', 'odd name&=': 'a+b c', empty: '', naïve: '支付 "quoted"' };
  const filled = { ...fields, id: 'i/d+1 &=%' };

  it.each([
    ['json', /^application\/json$/],
    ['form', /^application\/x-www-form-urlencoded$/],
    ['multipart', /^multipart\/form-data; boundary=/],
  ] as const)('arrives whole as %s', async (encoding, contentType) => {
    const request = await requestOf({ method: 'POST', path: '/t', body: { encoding, fields } }, { id: filled.id });
    expect(request.headers['content-type']).toMatch(contentType);
    expect(encoding === 'json' ? JSON.parse(textOf(request)) : await formOf(request)).toEqual(filled);
  });

  it.each(['json', 'form', 'multipart'] as const)('is sent as %s even if it has no fields', async (encoding) => {
    const request = await requestOf({ method: 'POST', path: '/t', body: { encoding, fields: {} } });
    expect(request.body).toBeDefined();
    expect(request.headers).toHaveProperty('content-type');
  });

  it('and its type are left out if the exchange has none', async () => {
    const request = await requestOf({ method: 'POST', path: '/collection/token/' });
    expect(request.body).toBeUndefined();
    expect(request.headers).not.toHaveProperty('content-type');
  });
});

describe('Basic credentials', () => {
  it.each([
    ['plain', 'secret'],
    ['user', 'with:colon:s'],
    ['usér', 'pässwörd 支'],
    ['', ''],
    ['a{b}', '$&'],
  ])('of %j and %j arrive unchanged', async (user, password) => {
    const { headers } = await requestOf({ method: 'GET', path: '/t', basic: ['{u}', '{p}'] }, { u: user, p: password });
    const [scheme, value] = headers['authorization']!.split(' ');
    expect(scheme).toBe('Basic');
    expect(Buffer.from(value!, 'base64').toString('utf8')).toBe(`${user}:${password}`);
  });

  it('take precedence over an authorization header of the exchange', async () => {
    const { headers } = await requestOf({
      method: 'GET',
      path: '/t',
      headers: { Authorization: 'Key 1' },
      basic: ['u', 'p'],
    });
    expect(headers['authorization']).toBe('Basic dTpw');
  });
});

describe('the URL of a token request', () => {
  it.each([
    ['/token', 'https://auth.example/api/v1/token'],
    ['/token/', 'https://auth.example/api/v1/token/'],
    ['https://idp.example/realms/x/token', 'https://idp.example/realms/x/token'],
    ['http://127.0.0.1:9000/token', 'http://127.0.0.1:9000/token'],
  ])('for the path %s is %s', async (path, url) => {
    expect((await requestOf({ method: 'POST', path })).url).toBe(url);
  });

  it('has the query of an absolute URL before that of the exchange', async () => {
    const exchange = { method: 'GET', path: 'https://idp.example/token?v=2', query: { grant: '{g}' } } as const;
    expect((await requestOf(exchange, { g: 'a b' })).url).toBe('https://idp.example/token?v=2&grant=a+b');
  });
});

describe('the body of a token request', () => {
  const fields = { auth: { '{id}': ['{id}', 7, null] }, ttl: 3600, exact: '{id}', on: true };

  it('is any JSON, with placeholders filled in its texts and not in its names', async () => {
    const request = await requestOf({ method: 'PUT', path: '/t', body: { encoding: 'json', fields } }, { id: '1"\\' });
    expect(request.method).toBe('PUT');
    expect(JSON.parse(textOf(request))).toEqual({
      ...{ auth: { '{id}': ['1"\\', 7, null] }, ttl: 3600, exact: '1"\\', on: true },
    });
  });

  it('has numbers as texts in a form', async () => {
    const body = { encoding: 'form', fields: { ttl: 3600, on: true } } as const;
    expect(textOf(await requestOf({ method: 'POST', path: '/t', body }))).toBe('ttl=3600&on=true');
  });

  it.each<[encoding: 'json' | 'form', type: string]>([
    ['json', 'application/vnd.api+json'],
    ['json', 'text/plain'],
    ['form', 'application/x-www-form-urlencoded; charset=utf-8'],
  ])('in %s may have the type %s', async (encoding, type) => {
    const body = { encoding, fields: { a: 'b' } };
    const { headers } = await requestOf({ method: 'POST', path: '/t', headers: { 'Content-Type': type }, body });
    expect(headers['content-type']).toBe(type);
  });
});

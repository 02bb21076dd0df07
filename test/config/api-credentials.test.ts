import { describe, expect, it } from 'vitest';
import { isRequested } from '../../src/providers/provider.ts';
import { expectProblem, mpesaRoute, mpesaWith, problemsOf, routeOf } from './validate-text.ts';

const STATIC = 'routes:\n  /x/*:\n    provider: static\n    upstream: https://a.example\n    credentials: {token: t}\n';

describe('headers', () => {
  it("replace the provider's of the same name", () => {
    const text =
      'routes:\n  /a/*:\n    provider: paypack\n    credentials: {client_id: a, client_secret: b}\n' +
      '    headers: {x-webhook-mode: production, x-a: b}\n';
    const { headers, provider } = routeOf(text);
    expect(headers).toEqual([
      { name: 'x-webhook-mode', value: 'production', mode: 'set' },
      { name: 'x-a', value: 'b', mode: 'set' },
    ]);
    expect(provider.headers).toEqual(headers);
  });

  it('may refer to credentials', () => {
    expect(mpesaRoute('headers: {x-key: "key {consumer_key}"}').headers[0]?.value).toBe('key {consumer_key}');
    expect(problemsOf(mpesaWith('headers: {x-key: "{consumer_kye}"}'))).toEqual([
      '5:22 routes./mpesa/*.headers.x-key | routes./mpesa/*.headers.x-key: unknown placeholder `{consumer_kye}`; did you mean `consumer_key`?',
    ]);
    expect(problemsOf(mpesaWith('headers: {x-key: "{refresh_token}"}'))).toEqual([
      expect.stringContaining('unknown placeholder'),
    ]);
  });

  it('from a reference become separate credentials, including braces', () => {
    const env = { KEY: 'canary-{consumer_key}-{x}' };
    const route = routeOf(mpesaWith('headers: {x-key: "Key ${KEY}"}'), { env });
    expect(route.headers[0]?.value).toBe('Key {value_1}');
    expect(route.credentials.get('value_1')?.reveal()).toBe(env.KEY);
    expect(route.provider.credentials.at(-1)).toEqual({
      name: 'value_1',
      description: 'From `routes./mpesa/*.headers.x-key` of the configuration',
      secret: true,
    });
  });

  it.each([
    'Authorization',
    'authorization',
    'Host',
    'content-length',
    'Transfer-Encoding',
    'connection',
    'proxy-authorization',
    'upgrade',
    'content_length',
  ])('must not set %s', (name) => {
    expect(problemsOf(mpesaWith(`headers: {${name}: x}`))).toEqual([
      expect.stringMatching(/^5:15 .*cannot be set here/),
    ]);
  });

  it.each(['x y', 'x:y', 'é', ''])('must not be named %j', (name) => {
    expect(problemsOf(mpesaWith(`headers: {"${name}": x}`))).toEqual([
      expect.stringMatching(/^5:15 .*not a header name/),
    ]);
  });

  it('must not occur twice in another case or contain a line break', () => {
    expect(problemsOf(mpesaWith('headers: {x-a: "1", X-A: "2"}'))).toEqual([
      expect.stringMatching(/^5:25 .*occurs twice/),
    ]);
    expect(problemsOf(mpesaWith('headers: {x-a: "1\\r\\nx: y"}'))).toEqual([
      expect.stringMatching(/^5:20 .*a header cannot carry/),
    ]);
  });
});

describe('token_header', () => {
  it.each([
    ['token_header: {name: X-Api-Key}', { name: 'X-Api-Key', scheme: '' }],
    ['token_header: {name: X-Api-Key, scheme: Token}', { name: 'X-Api-Key', scheme: 'Token' }],
    ['token_header: {scheme: Token}', { name: 'authorization', scheme: 'Token' }],
    ['token_header: {name: AUTHORIZATION}', { name: 'AUTHORIZATION', scheme: 'Bearer' }],
    ['token_header: {name: Authorization, scheme: ""}', { name: 'Authorization', scheme: '' }],
  ])('%s is %j', (line, expected) => {
    expect(mpesaRoute(line).provider.tokenHeader).toEqual(expected);
  });

  it('is `Authorization: Bearer` by default', () => {
    expect(mpesaRoute().provider.tokenHeader).toBeUndefined();
  });

  it('works for a fixed key too', () => {
    const { provider } = routeOf(`${STATIC}    token_header: {name: X-Api-Key}\n`);
    expect(provider.tokenHeader).toEqual({ name: 'X-Api-Key', scheme: '' });
  });

  it.each([
    ['token_header: {}', '5:5 routes./mpesa/*.token_header.name', 'is empty'],
    ['token_header: {name: "X Api"}', '5:26 routes./mpesa/*.token_header.name', 'not a header name'],
    ['token_header: {name: Host}', '5:26 routes./mpesa/*.token_header.name', 'belongs to the connection'],
    [
      'token_header: {name: proxy_authorization}',
      '5:26 routes./mpesa/*.token_header.name',
      'belongs to the connection',
    ],
    ['token_header: {scheme: "Bearer "}', '5:28 routes./mpesa/*.token_header.scheme', 'one word'],
    ['token_header: {scheme: "a b"}', '5:28 routes./mpesa/*.token_header.scheme', 'one word'],
    ['token_header: {nam: X-Api-Key}', '5:20 routes./mpesa/*.token_header.nam', 'did you mean `name`?'],
  ])('%s is a problem', (line, place, reason) => {
    expectProblem(problemsOf(mpesaWith(line)), place, reason);
  });

  it('cannot be a header of `headers`, in any spelling', () => {
    const text = mpesaWith('headers: {x_api_key: a}', 'token_header: {name: X-Api-Key}');
    expect(problemsOf(text)).toEqual([expect.stringMatching(/^6:26 .*is also set under `headers`/)]);
  });
});

describe('token_query', () => {
  it('carries the token alone, unless `token_header` is set too', () => {
    expect(mpesaRoute('token_query: key').provider.tokenQuery).toEqual({ name: 'key', withHeader: false });
    const both = mpesaRoute('token_query: key', 'token_header: {scheme: Bearer}').provider;
    expect(both.tokenQuery).toEqual({ name: 'key', withHeader: true });
    expect(mpesaRoute().provider.tokenQuery).toBeUndefined();
  });

  it('works for a fixed key too', () => {
    const { provider } = routeOf(`${STATIC}    token_query: key\n`);
    expect(provider.tokenQuery).toEqual({ name: 'key', withHeader: false });
  });

  it.each(['""', '"a b"', '"a=b"', '"key[]"', '"%6b"'])('%s is a problem', (name) => {
    expect(problemsOf(mpesaWith(`token_query: ${name}`))).toEqual([
      expect.stringMatching(/^5:18 routes\.\/mpesa\/\*\.token_query \| .*letters, digits/),
    ]);
  });
});

describe('headers_from_token', () => {
  it('is read from every token response, including a refresh', () => {
    const route = routeOf(
      [
        'routes:',
        '  /jpay/*:',
        '    provider: jpay',
        '    credentials: {app_key: k, app_secret: s}',
        '    headers_from_token: {X-App-Code: app_code}',
        '',
      ].join('\n'),
    );
    const { token, refresh } = route.provider;
    if (!isRequested(token)) throw new Error('fixed');
    const headers = { 'X-App-Code': 'app_code' };
    expect([token.response, refresh?.response]).toEqual([
      { accessToken: 'access', refreshToken: 'refresh', headers },
      { accessToken: 'access', refreshToken: 'refresh', headers },
    ]);
  });

  it('is filled in by the emulator', () => {
    const { samples } = mpesaRoute('headers_from_token: {X-App-Code: data.app_code}').provider;
    expect(samples.tokenResponse).toMatchObject({ data: { app_code: 'emulated-X-App-Code' } });
  });

  it.each([
    ['headers_from_token: {"X App": a}', '5:26 routes./mpesa/*.headers_from_token.X App', 'not a header name'],
    [
      'headers_from_token: {Authorization: a}',
      '5:26 routes./mpesa/*.headers_from_token.Authorization',
      'cannot be set',
    ],
    ['headers_from_token: {Host: a}', '5:26 routes./mpesa/*.headers_from_token.Host', 'belongs to the connection'],
    ['headers_from_token: {X-A: a, x_a: b}', '5:34 routes./mpesa/*.headers_from_token.x_a', 'occurs twice'],
    ['headers_from_token: {X-A: a..b}', '5:31 routes./mpesa/*.headers_from_token.X-A', 'a dotted path'],
    ['headers_from_token: {X-A: ""}', '5:31 routes./mpesa/*.headers_from_token.X-A', 'a dotted path'],
    ['headers_from_token: [a]', '5:25 routes./mpesa/*.headers_from_token', 'a mapping'],
  ])('%s is a problem', (line, place, reason) => {
    expectProblem(problemsOf(mpesaWith(line)), place, reason);
  });

  it('cannot be the header of the token or one of `headers`', () => {
    const token = mpesaWith('token_header: {name: X-Api-Key}', 'headers_from_token: {x-api-key: a}');
    expect(problemsOf(token)).toEqual([expect.stringMatching(/^6:26 .*carries the token/)]);
    const set = mpesaWith('headers: {X-A: a}', 'headers_from_token: {x_a: a}');
    expect(problemsOf(set)).toEqual([expect.stringMatching(/^6:26 .*is also set under `headers`/)]);
  });

  it('is a problem on a route with a fixed key', () => {
    expect(problemsOf(`${STATIC}    headers_from_token: {X-A: a}\n`)).toEqual([
      expect.stringMatching(/^6:5 routes\.\/x\/\*\.headers_from_token \| .*requests no token/),
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import { isFixed } from '../../src/providers/provider.ts';
import { mpesaRoute, mpesaWith, problemsOf, routeOf } from './reading.ts';

const STATIC = 'routes:\n  /x/*:\n    provider: static\n    upstream: https://a.example\n    credentials: {token: t}\n';

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

  it('is `Authorization: Bearer` where nothing is said', () => {
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
    const [problem = ''] = problemsOf(mpesaWith(line));
    expect(problem).toContain(reason);
    expect(problem.slice(0, place.length + 3)).toBe(`${place} | `);
  });

  it('cannot be a header that is set as well, in any spelling', () => {
    const text = mpesaWith('headers: {x_api_key: a}', 'token_header: {name: X-Api-Key}');
    expect(problemsOf(text)).toEqual([expect.stringMatching(/^6:26 .*is set under `headers` as well/)]);
  });
});

describe('headers_from_token', () => {
  it('is read from every token answer, that of a refresh too', () => {
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
    if (isFixed(token)) throw new Error('fixed');
    const headers = { 'X-App-Code': 'app_code' };
    expect([token.response, refresh?.response]).toEqual([
      { accessToken: 'access', refreshToken: 'refresh', headers },
      { accessToken: 'access', refreshToken: 'refresh', headers },
    ]);
  });

  it('finds something in the emulator', () => {
    const { samples } = mpesaRoute('headers_from_token: {X-App-Code: data.app_code}').provider;
    expect(samples.tokenAnswer).toMatchObject({ data: { app_code: 'emulated-X-App-Code' } });
  });

  it.each([
    ['headers_from_token: {"X App": a}', '5:26 routes./mpesa/*.headers_from_token.X App', 'not a header name'],
    [
      'headers_from_token: {Authorization: a}',
      '5:26 routes./mpesa/*.headers_from_token.Authorization',
      'cannot be set',
    ],
    ['headers_from_token: {Host: a}', '5:26 routes./mpesa/*.headers_from_token.Host', 'belongs to the connection'],
    ['headers_from_token: {X-A: a, x_a: b}', '5:34 routes./mpesa/*.headers_from_token.x_a', 'given twice'],
    ['headers_from_token: {X-A: a..b}', '5:31 routes./mpesa/*.headers_from_token.X-A', 'a dotted path'],
    ['headers_from_token: {X-A: ""}', '5:31 routes./mpesa/*.headers_from_token.X-A', 'a dotted path'],
    ['headers_from_token: [a]', '5:25 routes./mpesa/*.headers_from_token', 'a mapping'],
  ])('%s is a problem', (line, place, reason) => {
    const problems = problemsOf(mpesaWith(line));
    expect(problems).toEqual([expect.stringContaining(reason)]);
    expect(problems[0]?.slice(0, place.length + 3)).toBe(`${place} | `);
  });

  it('cannot be the header of the token, nor one that is set', () => {
    const token = mpesaWith('token_header: {name: X-Api-Key}', 'headers_from_token: {x-api-key: a}');
    expect(problemsOf(token)).toEqual([expect.stringMatching(/^6:26 .*carries the token/)]);
    const set = mpesaWith('headers: {X-A: a}', 'headers_from_token: {x_a: a}');
    expect(problemsOf(set)).toEqual([expect.stringMatching(/^6:26 .*is set under `headers` as well/)]);
  });

  it('has no place on a route of a fixed key', () => {
    expect(problemsOf(`${STATIC}    headers_from_token: {X-A: a}\n`)).toEqual([
      expect.stringMatching(/^6:5 routes\.\/x\/\*\.headers_from_token \| .*asks for no token/),
    ]);
  });
});

describe('denied_token', () => {
  it('takes the place of the rules of the provider, and is what the emulator answers', () => {
    const { provider } = mpesaRoute('token: {denied_token: [{status: 500, body: {error: login_failed}}]}');
    expect(provider.deniedToken).toEqual([{ status: 500, body: { error: 'login_failed' } }]);
    expect(provider.samples.deniedAnswer).toEqual({ status: 500, body: { error: 'login_failed' } });
    expect(provider.deadToken).toHaveLength(3);
  });

  it.each([
    ['token: {denied_token: []}', /^5:27 .*is empty/],
    ['token: {denied_token: [{status: 99}]}', /^5:37 .*at least 200/],
    ['token: {denied_token: [{body: {a: b}}]}', /^5:28 .*`status` is missing/],
  ])('%s is a problem', (line, expected) => {
    expect(problemsOf(mpesaWith(line))).toEqual([expect.stringMatching(expected)]);
  });
});

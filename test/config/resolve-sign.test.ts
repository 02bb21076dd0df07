import { describe, expect, it } from 'vitest';
import { NO_TOKEN } from '../../src/providers/provider.ts';
import { routeOf, warningsOf } from './validate-text.ts';

/** A route of the file, with these lines. */
function file(...lines: string[]): string {
  return ['routes:', '  /bank/*:', '    upstream: https://bank.example', ...lines.map((line) => `    ${line}`)].join(
    '\n',
  );
}

describe('sign', () => {
  it('becomes rules in the order of the file, with every `${...}` of a template as a credential', () => {
    const route = routeOf(
      file(
        'token: none',
        'credentials: {login: shop}',
        'sign:',
        "  - calls: ['POST /v1/pay']",
        '    values:',
        '      at: {now: iso8601, zone: "${ZONE}", plus: 60s}',
        '      z: {fields: [json], except: [sig], sort: true, empty: drop, item: "{value}", join: ","}',
        '      s: {hmac_sha256: "{login}{at}${SALT}{z}", key: "${KEY}", key_encoding: hex, encoding: HEX, percent: true}',
        '    headers: {X-Login: "{login}", X-Signature: "v1=${SALT}{s}"}',
        "  - calls: ['* /*']",
        '    query: {x: "\\\\{literal}"}',
      ),
      { env: { ZONE: '+03:00', SALT: '{at}', KEY: 'c0ffee' } },
    );
    expect(route.provider.sign).toEqual([
      {
        calls: ['POST /v1/pay'],
        values: {
          at: { now: 'iso8601', zone: '+03:00', plus: 60_000 },
          z: { fields: ['json'], except: ['sig'], sort: true, empty: 'drop', item: '{value}', join: ',' },
          s: {
            hmac_sha256: '{login}{at}{value_1}{z}',
            key: '{value_2}',
            key_encoding: 'hex',
            encoding: 'HEX',
            percent: true,
          },
        },
        headers: { 'X-Login': '{login}', 'X-Signature': 'v1={value_3}{s}' },
      },
      { calls: ['* /*'], query: { x: String.raw`\{literal}` } },
    ]);
    expect([...route.credentials].map(([name, secret]) => [name, secret.reveal()])).toEqual([
      ['login', 'shop'],
      ['value_1', '{at}'],
      ['value_2', 'c0ffee'],
      ['value_3', '{at}'],
    ]);
    expect(route.provider.credentials.map(({ name, secret }) => [name, secret])).toEqual([
      ['login', true],
      ['value_1', true],
      ['value_2', true],
      ['value_3', true],
    ]);
  });

  it('keeps a backslash before a `${...}`, which is no escape', () => {
    const route = routeOf(file('token: none', "headers: {X-Path: 'c:\\${DIR}'}"), { env: { DIR: 'x' } });
    expect(route.headers).toEqual([{ name: 'X-Path', value: 'c:{value_1}', mode: 'set' }]);
    expect(route.credentials.get('value_1')?.reveal()).toBe(String.raw`\x`);
  });

  it('is no rule on a route without it', () => {
    expect(routeOf(file('token: none')).provider.sign).toEqual([]);
  });
});

describe('token: none', () => {
  it('makes a route without a token', () => {
    const { provider } = routeOf(file('token: none'));
    expect(provider).toMatchObject({ token: NO_TOKEN, deadToken: [], tokenPaths: [], credentials: [] });
  });

  it('allows headers with credentials', () => {
    const { headers } = routeOf(file('token: none', 'credentials: {key: k}', "headers: {X-Api-Key: '{key}'}"));
    expect(headers).toEqual([{ name: 'X-Api-Key', value: '{key}', mode: 'set' }]);
  });
});

describe('token.header_value', () => {
  const STATIC = ['provider: static', 'credentials: {token: t}'];

  it.each([
    ['a text', "'{access_token}.{token}'", { text: '{access_token}.{token}' }],
    ['a function', "{sha256: '{access_token}', encoding: hex}", { sha256: '{access_token}', encoding: 'hex' }],
  ])('is %s', (_, written, value) => {
    const { provider } = routeOf(file(...STATIC, `token: {header_value: ${written}}`));
    expect(provider.tokenHeader).toEqual({ name: 'authorization', scheme: 'Bearer', value });
  });

  it('belongs to the header of `token_header`', () => {
    const lines = ['token_header: {name: X-Token}', "token: {header_value: '{access_token}!'}"];
    const { provider } = routeOf(file(...STATIC, ...lines));
    expect(provider.tokenHeader).toEqual({ name: 'X-Token', scheme: '', value: { text: '{access_token}!' } });
  });
});

describe('token.request.values', () => {
  it('are computed for the token request, whose texts use them by name', () => {
    const { provider } = routeOf(
      file(
        'credentials: {id: i, secret: s}',
        'token:',
        '  request:',
        '    path: /token',
        '    values: {at: {now: epoch_s}, sig: {hmac_sha512: "{id}|{at}", key: "{secret}"}}',
        '    headers: {X-At: "{at}", X-Signature: "{sig}"}',
        '    json: {grant: {type: "{at}"}}',
        '  response: {access_token: token, refresh_token: next}',
        '  refresh:',
        '    request:',
        '      path: /refresh',
        '      values: {r: {sha256: "{refresh_token}"}}',
        '      form: {r: "{r}"}',
      ),
    );
    expect(provider.token).toMatchObject({
      request: {
        values: { at: { now: 'epoch_s' }, sig: { hmac_sha512: '{id}|{at}', key: '{secret}' } },
        headers: { 'X-At': '{at}', 'X-Signature': '{sig}' },
      },
    });
    expect(provider.refresh?.request.values).toEqual({ r: { sha256: '{refresh_token}' } });
  });
});

describe('a rule for GET that reads or changes fields of the body', () => {
  it.each([
    'json: {a: b}',
    'form: {a: b}',
    "headers: {A: '{json:a}'}",
    "values: {f: {fields: [form]}}, headers: {A: '{f}'}",
  ])('is warned of: %s', (targets) => {
    const sign = `sign: [{calls: ['POST /y', 'GET /x'], ${targets}}]`;
    expect(warningsOf(file('token: none', sign))).toEqual([
      expect.stringMatching(/^5:32 .*sign\.0\.calls\.1: .* refuses a GET request without a body; give GET a rule/),
    ]);
  });

  it.each([
    "calls: ['GET /x'], headers: {A: '{json:a?}{body}{query:b}'}",
    "calls: ['GET /x'], values: {f: {fields: [query]}}, headers: {A: '{f}'}",
    "calls: ['* /x', 'POST /y'], json: {a: b}",
  ])('is not, if none is required or the method is another: %s', (rule) => {
    expect(warningsOf(file('token: none', `sign: [{${rule}}]`))).toEqual([]);
  });
});

describe('credentials', () => {
  it('are warned of if no rule and no text uses them', () => {
    const sign = "sign: [{calls: ['* /*'], headers: {X-Id: '{id}'}}]";
    expect(warningsOf(file('token: none', 'credentials: {id: i, key: k}', sign))).toEqual([
      '5:31 routes./bank/*.credentials.key | routes./bank/*.credentials.key: is not used: nothing refers to `{key}`',
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import { mpesa } from '../../src/providers/mpesa.ts';
import { type Exchange, isRequested, type Provider } from '../../src/providers/provider.ts';
import { expectProblem, mpesaRoute, mpesaWith, problemsOf, routeOf, warningsOf } from './validate-text.ts';

describe('denied_token', () => {
  it('replaces the rules of the provider, and is the response of the emulator', () => {
    const { provider } = mpesaRoute('token: {denied_token: [{status: 500, body: {error: login_failed}}]}');
    expect(provider.deniedToken).toEqual([{ status: 500, body: { error: 'login_failed' } }]);
    expect(provider.samples.deniedResponse).toEqual({ status: 500, body: { error: 'login_failed' } });
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

/** A route with these lines of `token`, the first of them line 5, column 7. */
function custom(...lines: string[]): string {
  return [
    'routes:',
    '  /acme/*:',
    '    upstream: https://api.acme.example/v1',
    '    token:',
    ...lines.map((line) => `      ${line}`),
    '    credentials: {id: i, key: k}',
    '',
  ].join('\n');
}

const RESPONSE = 'response: {access_token: data.token}';
const REQUEST = 'request: {path: /login, json: {id: "{id}", key: "{key}"}}';

function exchangeOf(provider: Provider): Exchange {
  if (!isRequested(provider.token)) throw new Error('fixed');
  return provider.token;
}

describe('an exchange without a provider', () => {
  it('has defaults', () => {
    const { provider, authServer } = routeOf(custom(REQUEST, RESPONSE));
    expect(authServer).toBe('https://api.acme.example/v1');
    expect(provider).toMatchObject({
      name: 'custom',
      token: {
        request: { method: 'POST', path: '/login', body: { encoding: 'json', fields: { id: '{id}', key: '{key}' } } },
        response: { accessToken: 'data.token' },
      },
      defaultLifetimeS: 300,
      deadToken: [{ status: 401 }],
      headers: [],
      tokenPaths: [{ method: 'POST', path: '/login' }],
    });
    expect(provider.refresh).toBeUndefined();
    expect(provider.credentials.map((field) => field.name)).toEqual(['id', 'key']);
  });

  it('may set every key', () => {
    const { provider } = routeOf(
      custom(
        'request:',
        '  method: GET',
        '  url: https://auth.acme.example/token',
        '  query: {grant_type: client_credentials}',
        '  headers: {x-id: "{id}", x-key: "Key {key}"}',
        '  basic: {username: "{id}", password: "{key}"}',
        'response: {access_token: a, expires_in: b, expires_at: c, refresh_token: d}',
        'refresh: {request: {path: "/refresh/{refresh_token}"}, response: {access_token: e}}',
        'default_lifetime: 20s',
        'dead_token: [{status: 400, body: {error.code: 17, error.kind: dead}}, {status: 401}]',
      ),
    );
    expect(provider).toMatchObject({
      token: {
        request: {
          method: 'GET',
          path: 'https://auth.acme.example/token',
          query: { grant_type: 'client_credentials' },
          headers: { 'x-id': '{id}', 'x-key': 'Key {key}' },
          basic: ['{id}', '{key}'],
        },
        response: { accessToken: 'a', expiresIn: 'b', expiresAt: 'c', refreshToken: 'd' },
      },
      refresh: {
        request: { method: 'POST', path: '/refresh/{refresh_token}' },
        response: { accessToken: 'e', expiresIn: 'b', refreshToken: 'd' },
      },
      defaultLifetimeS: 20,
      deadToken: [{ status: 400, body: { 'error.code': 17, 'error.kind': 'dead' } }, { status: 401 }],
      tokenPaths: [{ method: 'POST', path: '/refresh/{refresh_token}' }],
    });
  });

  it.each([
    ['response: {format: text}', { format: 'text', accessToken: 'access_token' }],
    [
      'response: {format: form, access_token: token, expires_in: expires}',
      { format: 'form', accessToken: 'token', expiresIn: 'expires' },
    ],
  ])('may have the %s', (line, expected) => {
    expect(exchangeOf(routeOf(custom(REQUEST, line)).provider).response).toEqual(expected);
  });

  it.each([
    ['response: {format: xml, access_token: a}', 'must be one of `json`, `text`, `form`'],
    ['response: {format: text, access_token: a}', 'the whole body is the token; remove `access_token`'],
    ['response: {format: text, expires_in: a}', 'the whole body is the token; remove `expires_in`'],
    ['response: {format: form}', 'the place of the token in the response is missing'],
  ])('%s is a problem', (line, reason) => {
    expect(problemsOf(custom(REQUEST, line))).toEqual([expect.stringContaining(reason)]);
  });

  it.each([
    ['1000', 1000],
    ['"1000"', '1000'],
    ['401.10', '401.10'],
    ['12345678901234567890', '12345678901234567890'],
    ['1e3', '1e3'],
    ['true', true],
    ['False', false],
    ['null', null],
    ['yes', 'yes'],
  ])('keeps the value of a rule as it is written, %s', (written, value) => {
    for (const key of ['dead_token', 'denied_token']) {
      const { provider } = routeOf(custom(REQUEST, RESPONSE, `${key}: [{status: 400, body: {code: ${written}}}]`));
      expect(key === 'dead_token' ? provider.deadToken : provider.deniedToken).toEqual([
        { status: 400, body: { code: value } },
      ]);
    }
  });

  it('may send any JSON, with placeholders in its texts', () => {
    const json = '{auth: {id: "{id}", keys: ["{key}", 7]}, ttl: 3600, on: true, off: null, none: {}}';
    const { provider } = routeOf(custom(`request: {method: PUT, path: /login, json: ${json}}`, RESPONSE));
    expect(exchangeOf(provider).request).toMatchObject({
      method: 'PUT',
      body: {
        encoding: 'json',
        fields: { auth: { id: '{id}', keys: ['{key}', 7] }, ttl: 3600, on: true, off: null, none: {} },
      },
    });
    expect(provider.tokenPaths).toEqual([{ method: 'PUT', path: '/login' }]);
  });

  it.each([
    ['json: {a: {b: ["{id}", "{key}", "{kee}"]}}', 'json.a.b.2', 'did you mean `key`?'],
    ['json: {a: {b: ["{id}", "{key}", "${MISSING}"]}}', 'json.a.b.2', '`MISSING` is not set'],
    ['json: {a: [12345678901234567890], i: "{id}{key}"}', 'json.a.0', 'too many digits'],
    ['form: {a: 3600, i: "{id}{key}"}', 'form.a', 'must be a text; put it in quotes'],
    ['json: [1]', 'json', 'a mapping'],
  ])('a body %s is a problem at %s', (body, key, reason) => {
    const [problem = '', ...others] = problemsOf(custom(`request: {path: /login, ${body}}`, RESPONSE)).filter(
      (text) => !text.includes('is not used'),
    );
    expect(problem).toContain(`.token.request.${key} | `);
    expect(problem).toContain(reason);
    expect(others).toEqual([]);
  });

  it.each([
    ['json: {a: 1}', 'Content-Type: "application/vnd.api+json"'],
    ['form: {a: "1"}', 'content-type: "application/x-www-form-urlencoded; charset=utf-8"'],
  ])('with the body %s may have the header %s', (body, header) => {
    const text = custom(`request: {path: "/login/{id}/{key}", ${body}, headers: {${header}}}`, RESPONSE);
    expect(problemsOf(text)).toEqual([]);
  });

  it.each([
    ['method: GET, headers: {Content-Type: a/b}', '`Content-Type`: the request has no body'],
    ['multipart: {a: b}, headers: {content-type: a/b}', '`content-type`: Wakala sets it for `multipart`'],
    ['basic: {username: a, password: b}, headers: {Authorization: x}', 'HTTP Basic sets this header'],
    ['headers: {X-A: a, x-a: b}', '`x-a`: occurs twice'],
    ['headers: {Content-Length: "7"}', 'belongs to the connection'],
    ['headers: {Transfer-Encoding: chunked}', 'belongs to the connection'],
    ['headers: {Host: a}', 'belongs to the connection'],
    ['headers: {Expect: a}', 'belongs to the connection'],
  ])('with %s is a problem', (parts, reason) => {
    const text = custom(`request: {path: "/login/{id}/{key}", ${parts}}`, RESPONSE);
    expect(problemsOf(text)).toEqual([expect.stringContaining(reason)]);
  });

  it.each(['json', 'form', 'multipart'])('may send its fields as %s', (encoding) => {
    const { provider } = routeOf(custom(`request: {path: /login, ${encoding}: {a: "{id}", b: "{key}"}}`, RESPONSE));
    expect(exchangeOf(provider).request.body).toEqual({ encoding, fields: { a: '{id}', b: '{key}' } });
  });

  it('has samples that its own mapping can read', () => {
    const { samples } = routeOf(
      custom(
        REQUEST,
        'response: {access_token: data.token, expires_in: data.ttl, refresh_token: next}',
        'dead_token: [{status: 400, body: {error.code: 17}}]',
      ),
    ).provider;
    expect(samples).toMatchObject({
      tokenResponse: { data: { token: '', ttl: 3600 }, next: '' },
      tokenFormat: 'opaque',
      accessLifetimeS: 3600,
      deadTokenResponse: { status: 400, body: { error: { code: 17 } } },
    });
    expect(routeOf(custom(REQUEST, RESPONSE, 'default_lifetime: 20s')).provider.samples.accessLifetimeS).toBe(20);
  });

  it('can be requested through the route only if it is on the API host', () => {
    const at = (url: string) => custom(`request: {url: "${url}", json: {id: "{id}", key: "{key}"}}`, RESPONSE);
    expect(routeOf(at('https://api.acme.example/v1/login')).provider.tokenPaths).toEqual([
      { method: 'POST', path: '/login' },
    ]);
    expect(routeOf(at('https://api.acme.example/login')).provider.tokenPaths).toEqual([]);
    expect(routeOf(at('https://auth.acme.example/v1/login')).provider.tokenPaths).toEqual([]);
    const elsewhere = custom(REQUEST, RESPONSE).replace(
      '    token:',
      '    auth_server: https://auth.acme.example\n    token:',
    );
    expect(routeOf(elsewhere).provider.tokenPaths).toEqual([]);
  });

  it.each([
    [[RESPONSE], '4:5 routes./acme/*.token.request.path', 'has no target'],
    [[REQUEST], '4:5 routes./acme/*.token.response.access_token', 'the place of the token in the response is missing'],
    [
      [REQUEST, 'response: {expires_in: a}'],
      '6:7 routes./acme/*.token.response.access_token',
      'the place of the token in the response',
    ],
    [[REQUEST, 'response: {access_token: a..b}'], '6:32 routes./acme/*.token.response.access_token', 'dotted path'],
    [['request: {path: login}', RESPONSE], '5:23 routes./acme/*.token.request.path', 'must start with `/`'],
    [['request: {path: "/login?a=b"}', RESPONSE], '5:23 routes./acme/*.token.request.path', 'under `query`'],
    [['request: {path: /a/../b}', RESPONSE], '5:23 routes./acme/*.token.request.path', '`..`'],
    [['request: {path: /a, url: "https://a.example"}', RESPONSE], '5:27 routes./acme/*.token.request.url', 'both set'],
    [['request: {url: /login}', RESPONSE], '5:22 routes./acme/*.token.request.url', 'an absolute URL'],
    [['request: {url: "http://169.254.169.254/"}', RESPONSE], '5:22 routes./acme/*.token.request.url', 'link-local'],
    [['request: {path: /a, json: {}, form: {}}', RESPONSE], '5:37 routes./acme/*.token.request.form', 'one body'],
    [
      ['request: {method: GET, path: /a, json: {}}', RESPONSE],
      '5:16 routes./acme/*.token.request',
      'a GET request has no body',
    ],
    [
      ['request: {method: PATCH, path: /a}', RESPONSE],
      '5:25 routes./acme/*.token.request.method',
      'one of `GET`, `POST`',
    ],
    [
      ['request: {path: /a, headers: {host: x}}', RESPONSE],
      '5:37 routes./acme/*.token.request.headers.host',
      'cannot be set',
    ],
    [['request: {path: /a, form: {a: 1}}', RESPONSE], '5:37 routes./acme/*.token.request.form.a', 'put it in quotes'],
    [
      [REQUEST, RESPONSE, 'refresh: {request: {path: /refresh}}'],
      '6:7 routes./acme/*.token.response.refresh_token',
      'the place of the refresh token',
    ],
    [
      [REQUEST, 'response: {access_token: a, refresh_token: b}', 'refresh: {}'],
      '7:7 routes./acme/*.token.refresh.request.path',
      'has no target',
    ],
    [['default_lifetime: 0s', REQUEST, RESPONSE], '5:25 routes./acme/*.token.default_lifetime', 'between 1s and'],
  ])('%j is a problem', (lines, place, reason) => {
    expectProblem(problemsOf(custom(...lines)), place, reason);
  });

  it('needs an upstream', () => {
    expect(problemsOf(custom(REQUEST, RESPONSE).replace(/ {4}upstream.*\n/, ''))).toEqual([
      expect.stringMatching(/^2:3 routes\.\/acme\/\*\.upstream \| /),
    ]);
  });

  it('must not use `http:` in production', () => {
    const text = custom('request: {url: "http://auth.acme.example/"}', RESPONSE);
    expect(problemsOf(`environment: production\n${text}`)).toEqual([expect.stringMatching(/^6:22 .*`http:`/)]);
  });

  it('has free credential names that are valid in a placeholder', () => {
    const withNames = (names: string) =>
      custom(REQUEST, RESPONSE).replace('{id: i, key: k}', `{id: i, key: k, ${names}}`);
    expect(warningsOf(withNames('spare: x'))).toEqual([
      '7:41 routes./acme/*.credentials.spare | routes./acme/*.credentials.spare: is not used: nothing refers to `{spare}`',
    ]);
    for (const name of ['refresh_token', 'a-b', 'Key', '1a']) {
      expect(problemsOf(withNames(`${name}: x`))).toEqual([expect.stringMatching(/^7:34 .*choose another name/)]);
    }
  });
});

describe('placeholders', () => {
  it('that are unknown are a problem with a suggestion', () => {
    expect(problemsOf(custom('request: {path: /login, json: {id: "{di}", key: "{keey}"}}', RESPONSE))).toEqual([
      '5:42 routes./acme/*.token.request.json.id | routes./acme/*.token.request.json.id: unknown placeholder `{di}`; did you mean `id`?',
      '5:55 routes./acme/*.token.request.json.key | routes./acme/*.token.request.json.key: unknown placeholder `{keey}`; did you mean `key`?',
    ]);
  });

  it('may be the refresh token only under `refresh`', () => {
    expect(problemsOf(custom('request: {path: "/x/{refresh_token}", json: {a: "{id}{key}"}}', RESPONSE))).toEqual([
      expect.stringMatching(/^5:23 .*unknown placeholder `\{refresh_token\}`; it can be used only under `refresh`/),
    ]);
  });

  it('are only names in braces; other braces are text', () => {
    expect(problemsOf(custom('request: {path: /login, json: {a: "{} {1} { id } {id} {key}"}}', RESPONSE))).toEqual([]);
  });

  it('in a value from a reference are text', () => {
    const text = custom('request: {path: /login, json: {a: "${S}{id}", b: "${S}", c: "{key}"}}', RESPONSE);
    const { provider, credentials } = routeOf(text, { env: { S: 'canary{id}{unknown}' } });
    expect(exchangeOf(provider).request.body?.fields).toEqual({ a: '{value_1}{id}', b: '{value_2}', c: '{key}' });
    expect(credentials.get('value_1')?.reveal()).toBe('canary{id}{unknown}');
  });

  it('for references do not collide with names of the file', () => {
    const text = custom('request: {path: /login, json: {a: "${S}", b: "{value_1}"}}', RESPONSE).replace(
      '{id: i, key: k}',
      '{value_1: v}',
    );
    const { provider } = routeOf(text, { env: { S: 's' } });
    expect(exchangeOf(provider).request.body?.fields).toEqual({ a: '{value_2}', b: '{value_1}' });
  });

  it('may be part of a path that contains references', () => {
    const { provider } = routeOf(custom('request: {path: "/${V}/login", json: {a: "{id}{key}"}}', RESPONSE), {
      env: { V: 'v2' },
    });
    expect(exchangeOf(provider).request.path).toBe('/v2/login');
  });
});

describe('parts of an exchange over that of a provider', () => {
  it('change only what they set', () => {
    const route = mpesaRoute(
      'token: {request: {query: {a: b}, headers: {user-agent: x}}, response: {expires_in: ttl}}',
    );
    expect(route.provider.token).toEqual({
      request: {
        method: 'GET',
        path: '/oauth/v1/generate',
        query: { grant_type: 'client_credentials', a: 'b' },
        headers: { 'user-agent': 'x' },
        basic: ['{consumer_key}', '{consumer_secret}'],
      },
      response: { accessToken: 'access_token', expiresIn: 'ttl' },
    });
    expect(route.provider).toMatchObject({ name: 'mpesa', deadToken: mpesa.deadToken, defaultLifetimeS: 3599 });
    expect(route.provider.samples.tokenResponse).toEqual({ access_token: '', expires_in: '3599', ttl: 3600 });
  });

  it('can move the refresh path of Paypack', () => {
    const route = routeOf(
      [
        'routes:',
        '  /paypack/*:',
        '    provider: paypack',
        '    credentials: {client_id: a, client_secret: b}',
        '    token: { refresh: { request: { path: "/auth/agents/refresh/{refresh_token}" } } }',
        '',
      ].join('\n'),
    );
    expect(route.provider.refresh?.request).toMatchObject({
      method: 'GET',
      path: '/auth/agents/refresh/{refresh_token}',
      headers: { accept: 'application/json' },
    });
    expect(route.provider.tokenPaths).toEqual([
      { method: 'POST', path: '/auth/agents/authorize' },
      { method: 'GET', path: '/auth/refresh/{refresh_token}' },
      { method: 'GET', path: '/auth/agents/refresh/{refresh_token}' },
    ]);
  });

  it('change lifetime and dead token rules', () => {
    const { provider } = mpesaRoute('token: {default_lifetime: 10m, dead_token: [{status: 403}]}');
    expect(provider).toMatchObject({ defaultLifetimeS: 600, deadToken: [{ status: 403 }] });
    expect(provider.samples.deadTokenResponse).toEqual({ status: 403, body: { error: 'invalid_token' } });
  });

  it('do not change the built-in provider', () => {
    const before = JSON.stringify(mpesa);
    mpesaRoute('token: {default_lifetime: 10m, request: {path: /x}}', 'headers: {x-a: b}');
    expect(JSON.stringify(mpesa)).toBe(before);
  });
});

describe('token.timeout', () => {
  const oauth2 = (token: object) =>
    JSON.stringify({
      routes: {
        '/bank/*': {
          provider: 'oauth2',
          upstream: 'https://api.bank.example',
          credentials: { client_id: 'a', client_secret: 'b' },
          oauth2: { issuer: 'https://login.bank.example' },
          token,
        },
      },
    });

  it('applies to every route that requests tokens', () => {
    expect(mpesaRoute().tokenTimeoutMs).toBe(15_000);
    expect(mpesaRoute('token: {timeout: 40s}').tokenTimeoutMs).toBe(40_000);
    expect(routeOf(oauth2({ timeout: '40s' })).tokenTimeoutMs).toBe(40_000);
    expect(routeOf(custom(REQUEST, RESPONSE, 'timeout: 40s')).tokenTimeoutMs).toBe(40_000);
  });

  it.each(['99ms', '301s'])('of %s is out of range', (timeout) => {
    expect(problemsOf(mpesaWith(`token: {timeout: ${timeout}}`))).toEqual([
      '5:22 routes./mpesa/*.token.timeout | routes./mpesa/*.token.timeout: must be between 100ms and 5m',
    ]);
  });

  it('that is longer than `timeout` gets a warning', () => {
    expect(warningsOf(mpesaWith('timeout: 20s', 'token: {timeout: 21s}'))).toEqual([
      expect.stringMatching(/^6:22 .*token\.timeout: is longer than `timeout`/),
    ]);
    expect(warningsOf(mpesaWith('timeout: 20s', 'token: {timeout: 20s}'))).toEqual([]);
    expect(warningsOf(mpesaWith('timeout: 1s'))).toEqual([]);
  });
});

describe('encoding', () => {
  it.each(['form', 'multipart'])('%s cannot carry nested values', (encoding) => {
    const json = 'request: {path: "/login/{id}/{key}", json: {n: 1, a: {b: c}}}';
    const text = `${custom(json, RESPONSE)}    encoding: ${encoding}\n`;
    expect(problemsOf(text)).toEqual([expect.stringContaining('the value of `a` needs a JSON body')]);
  });

  const jeel = (line: string) =>
    `routes:\n  /jeel/*:\n    provider: jeel\n    credentials: {client_id: a, client_secret: b}\n    ${line}\n`;

  it.each(['multipart', 'form', 'json'])('encodes the body of the token request as %s', (encoding) => {
    const { request } = exchangeOf(routeOf(jeel(`encoding: ${encoding}`)).provider);
    expect(request.body).toEqual({
      encoding,
      fields: { client_id: '{client_id}', client_secret: '{client_secret}', grant_type: 'client_credentials' },
    });
  });

  it('is a problem if there is no body', () => {
    expect(problemsOf(mpesaWith('encoding: form'))).toEqual([
      '5:15 routes./mpesa/*.encoding | routes./mpesa/*.encoding: the token request of this provider has no body; remove `encoding`',
    ]);
  });
});

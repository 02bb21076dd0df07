import { describe, expect, it } from 'vitest';
import { SANDBOX_CERTIFICATE } from '../../src/providers/mpesa-certificates.ts';
import { good, mpesaRoute, mpesaWith, problemsOf, routeOf, warningsOf } from './validate-text.ts';

const CREDENTIALS = '{consumer_key: k, consumer_secret: s}';

function named(pattern: string): string {
  return `routes:\n  "${pattern}": {provider: mpesa, credentials: ${CREDENTIALS}}\n`;
}

function custom(...lines: string[]): string {
  return ['routes:', '  /a/*:', ...lines.map((line) => `    ${line}`), ''].join('\n');
}

describe('the pattern of a route', () => {
  it.each([
    ['/*', ''],
    ['/mpesa/*', '/mpesa'],
    ['/a/b/*', '/a/b'],
    ["/a-b_c.d~e!$&'()+,;=:@/*", "/a-b_c.d~e!$&'()+,;=:@"],
    ['/.well-known/*', '/.well-known'],
  ])('%s removes %j', (pattern, prefix) => {
    expect(routeOf(named(pattern))).toMatchObject({ name: pattern, prefix });
  });

  it.each([
    ['mpesa', 'write `/mpesa/*`'],
    ['/mpesa', 'write `/mpesa/*`'],
    ['/mpesa/', 'write `/mpesa/*`'],
    ['/mpesa*', 'write `/mpesa/*`'],
    ['mpesa/*', 'write `/mpesa/*`'],
    ['/', 'write `/*`'],
    ['*', 'write `/*`'],
    ['', 'write `/*`'],
    ['/a/*/b/*', 'only at the end'],
    ['/a//b/*', 'not contain `//`'],
    ['//*', 'not contain `//`'],
    ['/a/../*', '`..`'],
    ['/./*', '`..`'],
    ['/a%20b/*', 'not contain `%`'],
    ['/a?b/*', 'not contain a query'],
    ['/a#b/*', 'or a fragment'],
    ['/a b/*', 'must be ASCII'],
    ['/é/*', 'must be ASCII'],
  ])('%j is a problem: %s', (pattern, reason) => {
    const problems = problemsOf(named(pattern));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^2:3 /);
    expect(problems[0]).toContain(reason);
  });

  it('may be below the pattern of another route', () => {
    expect(good(`${named('/a/*')}${named('/a/b/*').slice('routes:\n'.length)}`).routes).toHaveLength(2);
  });
});

describe('the provider', () => {
  it('is required unless `token` describes the exchange', () => {
    expect(problemsOf('routes:\n  /a/*: {}\n')).toEqual([
      '2:3 routes./a/*.provider | routes./a/*: set `provider` (`wakala providers` lists them), describe the exchange under `token`, or write `token: none` for an API without a token',
    ]);
  });

  it('with a fixed token accepts no exchange', () => {
    const text = custom(
      'provider: static',
      'upstream: https://api.example.com',
      'credentials: {token: t}',
      'encoding: form',
    );
    expect(problemsOf(`${text}    token: {default_lifetime: 5m}\n`)).toEqual([
      expect.stringMatching(/^6:5 routes\.\/a\/\*\.encoding \| .*requests no token/),
      expect.stringMatching(/^7:5 routes\.\/a\/\*\.token \| .*requests no token/),
    ]);
  });

  it('without a host needs an upstream', () => {
    expect(problemsOf(custom('provider: static', 'credentials: {token: t}'))).toEqual([
      '2:3 routes./a/*.upstream | routes./a/*: the API is missing; set `upstream: https://...`',
    ]);
  });
});

describe('credentials', () => {
  it('are secrets under the names of the provider', () => {
    const { credentials } = mpesaRoute();
    expect([...credentials].map(([name, secret]) => [name, secret.reveal()])).toEqual([
      ['consumer_key', 'k'],
      ['consumer_secret', 's'],
      ['certificate', SANDBOX_CERTIFICATE],
    ]);
  });

  it('that are missing are reported with where to find them', () => {
    expect(problemsOf('routes:\n  /mpesa/*:\n    provider: mpesa\n')).toEqual([
      '2:3 routes./mpesa/*.credentials.consumer_key | routes./mpesa/*.credentials: `consumer_key` is missing ' +
        '(Consumer key of the app on developer.safaricom.co.ke)',
      '2:3 routes./mpesa/*.credentials.consumer_secret | routes./mpesa/*.credentials: `consumer_secret` is missing ' +
        '(Consumer secret of the same app)',
    ]);
  });

  it('that are empty are a problem', () => {
    expect(problemsOf(mpesaWith().replace('consumer_key: k', 'consumer_key: ""'))).toEqual([
      expect.stringMatching(/^4:33 routes\.\/mpesa\/\*\.credentials\.consumer_key \| .*is empty/),
    ]);
  });

  it.each([`'"k"'`, `'k"'`, `"'k"`, '" k"', '"k "', '"k\\n"', '"\\tk"'])('written %s are a warning', (value) => {
    const text = mpesaWith().replace('consumer_key: k', `consumer_key: ${value}`);
    expect(problemsOf(text)).toEqual([]);
    expect(warningsOf(text)).toEqual([expect.stringMatching(/^4:33 .*consumer_key: starts or ends with a/)]);
  });

  it('may hold quotes and spaces inside', () => {
    expect(warningsOf(mpesaWith().replace('consumer_key: k', `consumer_key: 'a "b" c'`))).toEqual([]);
  });

  it('that are a fixed token must be valid in a header', () => {
    const withToken = (token: string) =>
      custom('provider: static', 'upstream: https://api.example.com', `credentials: {token: ${token}}`);
    expect(problemsOf(withToken('"a\\nb"'))).toEqual([expect.stringMatching(/^5:26 .*line break/)]);
    expect(warningsOf(withToken('Bearer abc'))).toEqual([expect.stringMatching(/^5:26 .*begins with "Bearer "/)]);
  });
});

describe('upstream and auth_server', () => {
  it.each([
    ['https://api.example.com/', 'https://api.example.com'],
    ['https://API.example.com/v1/', 'https://api.example.com/v1'],
    ['https://api.example.com:8443/v1', 'https://api.example.com:8443/v1'],
    ['http://127.0.0.1:4000', 'http://127.0.0.1:4000'],
    ['http://[::1]:4000', 'http://[::1]:4000'],
  ])('%s becomes %s, also for tokens', (written, used) => {
    expect(mpesaRoute(`upstream: "${written}"`)).toMatchObject({ upstream: used, authServer: used });
    expect(warningsOf(mpesaWith(`upstream: "${written}"`))).toEqual([]);
  });

  it.each([
    ['upstream: "https://a.example/bot{access_token}/"', 'set `token_query`'],
    ['upstream: "https://a.example/{accessToken}"', 'set `token_query`'],
    ['upstream: "https://{tenant}.a.example"', '`{tenant}` is not replaced in a base URL'],
    ['auth_server: "https://a.example/{tenant}"', '`{tenant}` is not replaced in a base URL'],
  ])('must not contain placeholders: %s', (line, reason) => {
    expect(problemsOf(mpesaWith(line))).toEqual([expect.stringContaining(reason)]);
  });

  it('auth_server is used only for tokens', () => {
    expect(mpesaRoute('auth_server: https://auth.example.com/x/')).toMatchObject({
      upstream: 'https://sandbox.safaricom.co.ke',
      authServer: 'https://auth.example.com/x',
    });
  });

  it('the auth host of the provider stays if only upstream is set', () => {
    const text = custom(
      'provider: jeel',
      'upstream: https://mock.example.com',
      'credentials: {client_id: a, client_secret: b}',
    );
    expect(routeOf(text)).toMatchObject({
      upstream: 'https://mock.example.com',
      authServer: 'https://auth.sandbox.jeel.co',
    });
  });

  it.each([
    ['api.example.com', 'an absolute URL'],
    ['', 'an absolute URL'],
    ['/v1', 'an absolute URL'],
    ['ftp://api.example.com', 'must begin with `https://`'],
    ['https://user@api.example.com', 'not contain a user name or password'],
    ['https://:pw@api.example.com', 'not contain a user name or password'],
    ['https://api.example.com/?a=b', 'not contain a query'],
    ['https://api.example.com/?', 'not contain a query'],
    ['https://api.example.com/#a', 'not contain a fragment'],
    ['https://api.example.com/a//b', 'not contain `//`'],
    ['https://api.example.com/a/../b', '`..`'],
    ['https://api.example.com/%2e%2e/b', '`..`'],
    ['https://api.example.com/a b', 'not contain spaces'],
    ['http://169.254.169.254/latest', 'link-local'],
    ['http://2852039166/', 'link-local'],
    ['http://0xa9fea9fe/', 'link-local'],
    ['http://0251.0376.0251.0376/', 'link-local'],
    ['http://169.254.43518/', 'link-local'],
    ['http://169.254.169.254./', 'link-local'],
    ['http://[fd00:ec2::254]/', 'link-local'],
    ['http://100.100.100.200/', 'link-local'],
    ['http://metadata.google.internal./', 'link-local'],
    ['http://[fe80::1]/', 'link-local'],
    ['http://[::ffff:169.254.169.254]/', 'link-local'],
    ['http://metadata.google.internal/', 'metadata'],
  ])('%j is a problem: %s', (url, reason) => {
    for (const [key, column] of [
      ['upstream', 15],
      ['auth_server', 18],
    ] as const) {
      const problems = problemsOf(mpesaWith(`${key}: "${url}"`));
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatch(
        new RegExp(`^5:${column} routes\\./mpesa/\\*\\.${key} \\| routes\\./mpesa/\\*\\.${key}: `),
      );
      expect(problems[0]).toContain(reason);
    }
  });

  it('`http:` is a problem in production, even on loopback', () => {
    for (const url of ['http://api.example.com', 'http://127.0.0.1:4000']) {
      expect(problemsOf(mpesaWith('environment: production', `upstream: ${url}`))).toEqual([
        expect.stringMatching(/^6:15 .*`http:` would send/),
      ]);
      expect(problemsOf(mpesaWith('environment: production', `auth_server: ${url}`))).toEqual([
        expect.stringMatching(/^6:18 .*`http:` would send/),
      ]);
    }
  });

  it.each(['max_websockets: 5', 'websocket_idle_timeout: 1m'])('%s without `websocket` is a warning', (line) => {
    expect(warningsOf(mpesaWith(line))).toEqual([expect.stringContaining('no effect without `websocket: true`')]);
    expect(warningsOf(mpesaWith(line, 'websocket: true'))).toEqual([]);
  });

  it('`http:` to another machine is a warning in the sandbox', () => {
    expect(warningsOf(mpesaWith('upstream: http://api.example.com'))).toEqual([
      expect.stringMatching(/^5:15 .*`http:` would send/),
    ]);
  });

  it.each([
    ['production', 'https://sandbox.safaricom.co.ke', 'the sandbox host of `mpesa`, on a production route'],
    ['production', 'https://SANDBOX.safaricom.co.ke:443/x', 'the sandbox host of `mpesa`'],
    ['production', 'https://auth.sandbox.jeel.co', 'the sandbox host of `jeel`'],
    ['sandbox', 'https://api.safaricom.co.ke', 'the production host of `mpesa`, on a sandbox route'],
    ['sandbox', 'https://api.jpay.africa/api/v1', 'the production host of `jpay`'],
  ])('in %s, %s is a problem', (environment, url, reason) => {
    const problems = problemsOf(mpesaWith(`environment: ${environment}`, `upstream: ${url}`));
    expect(problems).toEqual([expect.stringContaining(reason)]);
    expect(problems[0]).toMatch(/^6:15 /);
  });

  it.each(['sandbox', 'production'])('a host of both environments is valid in %s', (environment) => {
    expect(problemsOf(mpesaWith(`environment: ${environment}`, 'upstream: https://payments.paypack.rw/api'))).toEqual(
      [],
    );
  });
});

describe('limits', () => {
  it('that are set must not contradict each other', () => {
    expect(problemsOf(mpesaWith('timeout: 4s', 'connect_timeout: 4s', 'max_body: 1KiB', 'replay_limit: 1KiB'))).toEqual(
      [],
    );
    expect(
      problemsOf(mpesaWith('timeout: 4s', 'connect_timeout: 4001ms', 'max_body: 1KiB', 'replay_limit: 1025')),
    ).toEqual([
      expect.stringMatching(/^6:22 routes\.\/mpesa\/\*\.connect_timeout \| .*longer than `timeout`/),
      expect.stringMatching(/^8:19 routes\.\/mpesa\/\*\.replay_limit \| .*larger than `max_body`/),
    ]);
  });

  it('that are not set are lowered to those that are', () => {
    expect(mpesaRoute('timeout: 4s', 'max_body: 1KiB')).toMatchObject({
      connectTimeoutMs: 4000,
      replayLimitBytes: 1024,
    });
  });

  it('that are set must not contradict defaults', () => {
    expect(problemsOf(mpesaWith('connect_timeout: 61s', 'replay_limit: 11MiB'))).toHaveLength(2);
    expect(problemsOf(mpesaWith('connect_timeout: 60s', 'replay_limit: 10MiB'))).toEqual([]);
  });
});

describe('replay', () => {
  it('is a boolean or a list of methods', () => {
    expect(mpesaRoute('replay: false').replay).toBe(false);
    expect(mpesaRoute('replay: [GET, POST]').replay).toEqual(new Set(['GET', 'POST']));
    expect(mpesaRoute('replay: []').replay).toEqual(new Set());
  });

  it.each([
    ['post', 'in capitals: `POST`'],
    ['PSOT', 'did you mean `POST`?'],
    ['CONNECT', 'not a method'],
  ])('with %s is a problem', (method, reason) => {
    const problems = problemsOf(mpesaWith(`replay: [GET, ${method}]`));
    expect(problems).toEqual([expect.stringContaining(reason)]);
    expect(problems[0]).toMatch(/^5:19 routes\.\/mpesa\/\*\.replay\.1 /);
  });
});

describe('allow', () => {
  it.each([
    ['GET /*', { method: 'GET', path: '/', prefix: true }],
    ['* /v1/payments', { method: '*', path: '/v1/payments', prefix: false }],
    ['POST /mpesa/stkpush/*', { method: 'POST', path: '/mpesa/stkpush/', prefix: true }],
    ['GET /pay*', { method: 'GET', path: '/pay', prefix: true }],
  ])('%s is parsed', (entry, rule) => {
    expect(mpesaRoute(`allow: ["${entry}"]`).allow).toEqual([rule]);
  });

  it.each(['GET', '/x', 'GET x', 'get /x', 'GTE /x', 'GET /*/x', 'GET /a?b', 'GET //a', 'GET /../a', 'GET /a b', ''])(
    '%j is a problem',
    (entry) => {
      expect(problemsOf(mpesaWith(`allow: ["GET /ok", "${entry}"]`))).toEqual([
        expect.stringMatching(/^5:24 routes\.\/mpesa\/\*\.allow\.1 \| routes\.\/mpesa\/\*\.allow\.1: /),
      ]);
    },
  );
});

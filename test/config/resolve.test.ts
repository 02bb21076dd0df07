import { describe, expect, it } from 'vitest';
import { good, mpesaWith, problemsOf, topWith, warningsOf } from './validate-text.ts';

const KEY = '0123456789abcdef';

describe('defaults', () => {
  it('are the documented ones', () => {
    const { routes, ...top } = good(mpesaWith());
    expect(top).toEqual({
      file: 'proxy.config.yaml',
      listen: { host: '127.0.0.1', port: 8080 },
      tls: undefined,
      admin: { host: '127.0.0.1', port: 9901 },
      adminToken: undefined,
      environment: 'sandbox',
      clients: [],
      open: false,
      allowedHosts: [],
      allowedOrigins: [],
      workers: 1,
      tokenStore: undefined,
      maxConnections: undefined,
      keepAliveTimeoutMs: 65_000,
      drainTimeoutMs: 25_000,
      log: { level: 'info', format: 'auto', requests: false },
      tracing: undefined,
    });
    expect(routes).toHaveLength(1);
    expect(routes[0]).toMatchObject({
      name: '/mpesa/*',
      prefix: '/mpesa',
      environment: 'sandbox',
      upstream: 'https://sandbox.safaricom.co.ke',
      authServer: 'https://sandbox.safaricom.co.ke',
      headers: [],
      timeoutMs: 60_000,
      connectTimeoutMs: 5000,
      hostHeader: undefined,
      maxResponseHeaderBytes: 16 * 1024,
      maxBodyBytes: 10 * 1024 ** 2,
      replayLimitBytes: 64 * 1024,
      replay: true,
      allow: undefined,
      tokenPaths: 'placeholder',
      maxConcurrency: undefined,
      websocket: false,
      maxWebsockets: 1000,
      websocketIdleTimeoutMs: 600_000,
      inspectBodies: false,
    });
  });

  it('yield to the file', () => {
    const config = good(
      topWith(
        'listen: {address: "[::1]:0"}',
        'admin: false',
        'environment: production',
        'max_connections: 100',
        'keep_alive_timeout: 11m',
        'drain_timeout: 5s',
        'log: {level: debug, format: json, requests: true}',
        'tracing: {otlp: "http://127.0.0.1:4318/"}',
        'allowed_hosts: [Wakala.internal, "wakala:8080", "[::1]"]',
        'allowed_origins: ["https://App.example", "http://localhost:3000"]',
      ),
    );
    expect(config).toMatchObject({
      listen: { host: '::1', port: 0 },
      admin: undefined,
      environment: 'production',
      maxConnections: 100,
      keepAliveTimeoutMs: 660_000,
      drainTimeoutMs: 5000,
      log: { level: 'debug', format: 'json', requests: true },
      tracing: { otlp: 'http://127.0.0.1:4318' },
      allowedHosts: ['wakala.internal', 'wakala:8080', '[::1]'],
      allowedOrigins: ['https://app.example', 'http://localhost:3000'],
    });
    expect(config.routes[0]?.upstream).toBe('https://api.safaricom.co.ke');
  });

  it('yield to the command line', () => {
    const listen = { host: '127.0.0.2', port: 1 };
    expect(good(topWith('admin: 127.0.0.1:5'), { listen, admin: false })).toMatchObject({ listen, admin: undefined });
  });
});

describe('access', () => {
  const remedies = expect.stringMatching(
    /^5:9 listen \| listen: .*`clients`.*`listen: \{.*client_ca\}\}`.*`open: true`/,
  ) as string;

  it.each(['0.0.0.0:8080', '[::]:8080', '10.0.0.1:8080', 'proxy.internal:8080'])(
    'must be configured on %s',
    (address) => {
      expect(problemsOf(topWith(`listen: "${address}"`))).toEqual([remedies]);
      expect(problemsOf(topWith(`listen: "${address}"`, 'open: false'))).toEqual([remedies]);
      expect(problemsOf(topWith(`listen: "${address}"`, 'open: true'))).toEqual([]);
      expect(problemsOf(topWith(`listen: "${address}"`, `clients: [{name: a, key: ${KEY}}]`))).toEqual([]);
    },
  );

  it.each(['127.0.0.1:8080', '127.9.9.9:8080', '[::1]:8080', 'localhost:8080'])(
    'need not be configured on %s',
    (address) => {
      expect(problemsOf(topWith(`listen: "${address}"`))).toEqual([]);
    },
  );

  it('must be configured for an address of the command line too', () => {
    expect(problemsOf(mpesaWith(), { listen: { host: '0.0.0.0', port: 80 } })).toEqual([
      expect.stringMatching(/^1:1 listen \| .*0\.0\.0\.0:80/),
    ]);
  });

  it('with both `open: true` and `clients` is a problem', () => {
    expect(problemsOf(topWith('open: true', `clients: [{name: a, key: ${KEY}}]`))).toEqual([
      '5:7 open | open: `open: true` contradicts `clients`; keep one of them',
    ]);
  });
});

describe('an upstream that leads to this proxy', () => {
  const loop = (address: string) => `leads back to this proxy, which listens on ${address}; write the URL of the API`;
  const routed = (listen: string, line: string) => `listen: "${listen}"\nopen: true\n${mpesaWith(line)}`;

  it.each([
    ['127.0.0.1:8080', 'http://127.0.0.1:8080/mpesa'],
    ['127.0.0.1:8080', 'http://localhost:8080'],
    ['0.0.0.0:8080', 'http://127.0.0.1:8080'],
    ['0.0.0.0:443', 'https://localhost'],
    ['[::1]:80', 'http://[::1]'],
  ])('is a problem: listening on %s, going to %s', (listen, url) => {
    for (const key of ['upstream', 'auth_server']) {
      const column = `    ${key}: `.length + 1;
      expect(problemsOf(routed(listen, `${key}: "${url}"`))).toEqual([
        `7:${column} routes./mpesa/*.${key} | routes./mpesa/*.${key}: ${loop(listen)}`,
      ]);
    }
  });

  it('is a problem for the admin listener too, in any spelling', () => {
    const spellings = [
      'localhost',
      'LOCALHOST.',
      'a.localhost',
      '127.0.0.1',
      '127.1',
      '0x7f.1',
      '2130706433',
      '0.0.0.0',
    ];
    for (const host of [...spellings, '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]']) {
      expect(problemsOf(mpesaWith(`upstream: "http://${host}:9901/x"`))).toEqual([
        '5:15 routes./mpesa/*.upstream | routes./mpesa/*.upstream: leads to the admin listener of this proxy ' +
          '(127.0.0.1:9901), which clients must not reach; write the URL of the API',
      ]);
    }
  });

  it.each([
    ['0.0.0.0:9901', 'http://127.0.0.1:9901', 1],
    ['0.0.0.0:9901', 'http://[::1]:9901', 1],
    ['"[::]:9901"', 'http://localhost:9901', 1],
    ['"[::1]:9901"', 'http://localhost:9901', 1],
    ['"[::1]:9901"', 'http://[0:0:0:0:0:0:0:1]:9901', 1],
    ['127.0.0.1:9902', 'http://127.0.0.1:9901', 0],
    ['127.0.0.1:0', 'http://127.0.0.1:9901', 0],
    ['false', 'http://127.0.0.1:9901', 0],
    ['127.0.0.1:9901', 'http://api.example.com:9901', 0],
  ])('leads to the admin listener at %s, with %s: %i', (admin, url, problems) => {
    expect(problemsOf(`admin: ${admin}\n${mpesaWith(`upstream: "${url}"`)}`)).toHaveLength(problems);
  });

  it('is a problem in every URL of a route', () => {
    const route = (lines: string) => `routes:\n  /x/*:\n    upstream: https://api.example.com\n${lines}`;
    const response = 'response: {access_token: a, refresh_token: r}';
    const at = (token: string, refresh: string) =>
      route(
        `    token: {request: {url: "${token}"}, ${response}, ` +
          `refresh: {request: {url: "${refresh}", json: {r: "{refresh_token}"}}}}\n`,
      );
    const good = 'https://api.example.com/token';
    expect(problemsOf(at(good, good))).toEqual([]);
    for (const port of [8080, 9901]) {
      const own = `http://localhost:${port}/token`;
      expect(problemsOf(at(own, good))).toEqual([expect.stringContaining('/x/*.token.request.url: leads ')]);
      expect(problemsOf(at(good, own))).toEqual([expect.stringContaining('/x/*.token.refresh.request.url: leads ')]);
    }
  });

  it('counts the address of the command line', () => {
    const text = mpesaWith('upstream: http://localhost:9000');
    expect(problemsOf(text)).toEqual([]);
    expect(problemsOf(text, { listen: { host: '127.0.0.1', port: 9000 } })).toEqual([
      `5:15 routes./mpesa/*.upstream | routes./mpesa/*.upstream: ${loop('127.0.0.1:9000')}`,
    ]);
  });

  it.each([
    ['127.0.0.1:8080', 'http://127.0.0.1:8081'],
    ['127.0.0.1:0', 'http://127.0.0.1:8080'],
    ['0.0.0.0:443', 'https://api.example.com'],
  ])('is not reported for another address: listening on %s, going to %s', (listen, url) => {
    expect(problemsOf(routed(listen, `upstream: "${url}"`))).toEqual([]);
  });

  it('is allowed on emulated routes', () => {
    expect(problemsOf(mpesaWith('upstream: http://localhost:8080'), { emulated: true })).toEqual([]);
  });
});

describe('clients', () => {
  it('are resolved with their keys as secrets', () => {
    const [all, some] = good(
      topWith('clients:', `  - {name: all, key: "${KEY}"}`, `  - {name: some, key: "${KEY}1", routes: [/mpesa/*]}`),
    ).clients;
    expect(all?.key?.reveal()).toBe(KEY);
    expect(all?.routes).toBeUndefined();
    expect(some?.routes).toEqual(['/mpesa/*']);
  });

  it.each([
    [`{name: a, key: "${KEY.slice(1)}"}`, '6:20 clients.0.key', 'shorter than 16'],
    [`{name: a, key: "${'x'.repeat(4097)}"}`, '6:20 clients.0.key', 'longer than 4096'],
    [`{name: a, key: "${KEY} x"}`, '6:20 clients.0.key', 'contains a space'],
    [`{name: a, key: "${KEY}é"}`, '6:20 clients.0.key', 'beyond ASCII'],
    [`{name: "a:b", key: "${KEY}"}`, '6:12 clients.0.name', 'letters, digits'],
    [`{name: "", key: "${KEY}"}`, '6:12 clients.0.name', 'letters, digits'],
    [`{name: a}`, '6:5 clients.0.key', '`key` is missing'],
    [`{name: a, key: "${KEY}", routes: []}`, '6:48 clients.0.routes', 'is empty'],
    [`{name: a, key: "${KEY}", routes: [/mpsea/*]}`, '6:49 clients.0.routes.0', 'did you mean `/mpesa/*`?'],
  ])('%s is a problem', (client, place, reason) => {
    const [problem = '', ...others] = problemsOf(topWith('clients:', `  - ${client}`)).map((text) => text);
    expect(others).toEqual([]);
    expect(problem.startsWith(`${place} | `)).toBe(true);
    expect(problem).toContain(reason);
  });

  it('may have keys of 16 to 4096 characters', () => {
    expect(problemsOf(topWith(`clients: [{name: a, key: "${KEY}"}, {name: b, key: "${'x'.repeat(4096)}"}]`))).toEqual(
      [],
    );
  });

  it('must have different names and keys', () => {
    expect(problemsOf(topWith('clients:', `  - {name: a, key: ${KEY}}`, `  - {name: a, key: ${KEY}}`))).toEqual([
      '7:12 clients.1.name | clients.1.name: another client has this name already; choose another',
      '7:20 clients.1.key | clients.1.key: is also the key of another client; give each client a different key',
    ]);
  });
});

describe('admin', () => {
  it.each([
    ['127.0.0.1:8080', '127.0.0.1:8080', 1],
    ['[::]:8080', '127.0.0.1:8080', 1],
    ['127.0.0.1:8080', '127.0.0.2:8080', 0],
    ['127.0.0.1:0', '127.0.0.1:0', 0],
  ])('with listen on %s and admin on %s has %d problems', (listen, admin, count) => {
    const problems = problemsOf(topWith('open: true', `listen: "${listen}"`, `admin: "${admin}"`));
    expect(problems).toHaveLength(count);
    if (count > 0) expect(problems[0]).toMatch(/^7:8 admin \| admin: is on the same port as `listen`/);
  });

  it('keeps its token as a secret', () => {
    const config = good(topWith(`admin: {address: "0.0.0.0:9901", token: "\${T}"}`), { env: { T: KEY } });
    expect(config.admin).toEqual({ host: '0.0.0.0', port: 9901 });
    expect(config.adminToken?.reveal()).toBe(KEY);
    expect(JSON.stringify(config)).not.toContain(KEY);
  });

  it('keeps its token with an address of the command line, and has none if it is off', () => {
    const text = topWith(`admin: {address: "127.0.0.1:9901", token: "${KEY}"}`);
    const admin = { host: '127.0.0.1', port: 1 };
    const moved = good(text, { admin });
    expect([moved.admin, moved.adminToken?.reveal()]).toEqual([admin, KEY]);
    expect(good(text, { admin: false })).toMatchObject({ admin: undefined, adminToken: undefined });
    expect(good(topWith('admin: 127.0.0.1:9901')).adminToken).toBeUndefined();
  });

  it.each([
    [KEY.slice(1), 'is shorter than 16 characters'],
    ['', 'is shorter than 16 characters'],
    ['x'.repeat(4097), 'is longer than 4096 characters'],
    [`${KEY} x`, 'contains a space'],
  ])('rejects the token %j', (token, reason) => {
    const [problem = '', ...others] = problemsOf(topWith(`admin: {address: "127.0.0.1:9901", token: "${token}"}`));
    expect(others).toEqual([]);
    expect(problem).toContain(`5:43 admin.token | admin.token: ${reason}`);
  });
});

describe('allowed hosts and origins', () => {
  it.each(['https://a.example', 'a.example/path', '*', '*.example', '', 'a b', 'a.example:x', '[zz]'])(
    'reject the host %j',
    (host) => {
      expect(problemsOf(topWith(`allowed_hosts: ["${host}"]`))).toEqual([
        expect.stringMatching(/^5:17 allowed_hosts\.0 \| .*host name/),
      ]);
    },
  );

  it.each([
    ['https://a.example', 'a.example'],
    ['https://A.example:8443/x?y', 'a.example:8443'],
    ['a.example/path', 'a.example'],
    ['a.example/', 'a.example'],
  ])('suggest for the host %s: %s', (host, hint) => {
    expect(problemsOf(topWith(`allowed_hosts: ["${host}"]`))).toEqual([
      '5:17 allowed_hosts.0 | allowed_hosts.0: must be a host name such as `wakala.internal` or ' +
        `\`wakala.internal:8080\`, without scheme or path; write \`${hint}\``,
    ]);
  });

  it.each([
    ['https://a.example/', 'https://a.example'],
    ['https://A.example:8443/x?y#z', 'https://a.example:8443'],
    ['https://u:p@a.example', 'https://a.example'],
    ['a.example', 'https://a.example'],
    ['localhost:3000', 'http://localhost:3000'],
  ])('suggest for the origin %s: %s', (origin, hint) => {
    expect(problemsOf(topWith(`allowed_origins: ["${origin}"]`))).toEqual([
      '5:19 allowed_origins.0 | allowed_origins.0: must be an origin such as `https://app.example`, without path, ' +
        `trailing \`/\` or \`*\`; write \`${hint}\``,
    ]);
  });

  it.each(['*', 'null', 'ftp://a.example', 'https://*.example', 'https://'])(
    'suggest nothing for the origin %s',
    (origin) => {
      const [problem = ''] = problemsOf(topWith(`allowed_origins: ["${origin}"]`));
      expect(problem).toMatch(/trailing `\/` or `\*`$/);
    },
  );

  it('show no value from a reference', () => {
    const text = topWith('allowed_hosts: ["${V}"]', 'allowed_origins: ["${V}"]');
    const problems = problemsOf(text, { env: { V: 'https://canary.example/' } });
    expect(problems).toHaveLength(2);
    expect(JSON.stringify(problems)).not.toContain('canary');
  });

  it('may have a port up to 65535', () => {
    const text = topWith(
      'allowed_hosts: [a.example, "a.example:65535", "127.0.0.1", "[::1]:80"]',
      'allowed_origins: ["https://a.example:443", "http://[::1]:65535"]',
    );
    expect(good(text).allowedOrigins).toEqual(['https://a.example', 'http://[::1]:65535']);
    expect(problemsOf(topWith('allowed_hosts: ["a.example:65536"]'))).toHaveLength(1);
    expect(problemsOf(topWith('allowed_origins: ["http://a.example:65536"]'))).toHaveLength(1);
  });

  it.each([
    '*',
    'null',
    'a.example',
    'https://a.example/',
    'https://a.example/x',
    'https://u@a.example',
    'ftp://a.example',
    '',
  ])('reject the origin %j', (origin) => {
    expect(problemsOf(topWith(`allowed_origins: ["${origin}"]`))).toEqual([
      expect.stringMatching(/^5:19 allowed_origins\.0 \| .*an origin such as/),
    ]);
  });
});

it('a valid file has no warnings', () => {
  expect(warningsOf(mpesaWith())).toEqual([]);
});

describe('inspect_bodies and tracing', () => {
  it('keep the bodies of the sandbox, never those of production', () => {
    const written = topWith('inspect_bodies: true', 'environment: production');
    expect(good(topWith('inspect_bodies: true')).routes[0]?.inspectBodies).toBe(true);
    expect(good(written).routes[0]?.inspectBodies).toBe(false);
  });

  it.each([
    ['"127.0.0.1:4318"', 'must be the URL of a collector such as `http://127.0.0.1:4318`, without a user name'],
    ['"http://u:p@127.0.0.1"', 'must be the URL of a collector such as `http://127.0.0.1:4318`, without a user name'],
    ['"http://127.0.0.1?x=1"', 'must not contain a query (`?...`) or a fragment (`#...`)'],
  ])('reject the collector %s', (otlp, problem) => {
    expect(problemsOf(topWith(`tracing: {otlp: ${otlp}}`))).toEqual([`5:17 tracing.otlp | tracing.otlp: ${problem}`]);
  });

  it.each(['http://127.0.0.1:4318/', 'http://127.0.0.1:4318/v1/traces'])('accept the collector %s', (otlp) => {
    expect(good(topWith(`tracing: {otlp: "${otlp}"}`)).tracing).toEqual({ otlp: 'http://127.0.0.1:4318' });
  });
});

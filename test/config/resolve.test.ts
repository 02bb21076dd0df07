import { describe, expect, it } from 'vitest';
import { good, mpesaWith, problemsOf, topWith, warningsOf } from './reading.ts';

const KEY = '0123456789abcdef';

describe('defaults', () => {
  it('are those of the contract', () => {
    const { routes, ...top } = good(mpesaWith());
    expect(top).toEqual({
      file: 'proxy.config.yaml',
      listen: { host: '127.0.0.1', port: 8080 },
      admin: { host: '127.0.0.1', port: 9901 },
      environment: 'sandbox',
      clients: [],
      open: false,
      allowedHosts: [],
      allowedOrigins: [],
      maxConnections: undefined,
      drainTimeoutMs: 25_000,
      log: { level: 'info', format: 'auto' },
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
      maxBodyBytes: 10 * 1024 ** 2,
      replayLimitBytes: 64 * 1024,
      replay: true,
      allow: undefined,
      tokenPaths: 'placeholder',
      maxConcurrency: undefined,
      websocket: false,
    });
  });

  it('give way to what the file says', () => {
    const config = good(
      topWith(
        'listen: {address: "[::1]:0"}',
        'admin: false',
        'environment: production',
        'max_connections: 100',
        'drain_timeout: 5s',
        'log: {level: debug, format: json}',
        'allowed_hosts: [Wakala.internal, "wakala:8080", "[::1]"]',
        'allowed_origins: ["https://App.example", "http://localhost:3000"]',
      ),
    );
    expect(config).toMatchObject({
      listen: { host: '::1', port: 0 },
      admin: undefined,
      environment: 'production',
      maxConnections: 100,
      drainTimeoutMs: 5000,
      log: { level: 'debug', format: 'json' },
      allowedHosts: ['wakala.internal', 'wakala:8080', '[::1]'],
      allowedOrigins: ['https://app.example', 'http://localhost:3000'],
    });
    expect(config.routes[0]?.upstream).toBe('https://api.safaricom.co.ke');
  });

  it('give way to the command line', () => {
    const listen = { host: '127.0.0.2', port: 1 };
    expect(good(topWith('admin: 127.0.0.1:5'), { listen, admin: false })).toMatchObject({ listen, admin: undefined });
  });
});

describe('who may call', () => {
  const remedies = expect.stringMatching(/^5:9 listen \| listen: .*`clients`.*`open: true`/) as string;

  it.each(['0.0.0.0:8080', '[::]:8080', '10.0.0.1:8080', 'proxy.internal:8080'])('must be said on %s', (address) => {
    expect(problemsOf(topWith(`listen: "${address}"`))).toEqual([remedies]);
    expect(problemsOf(topWith(`listen: "${address}"`, 'open: false'))).toEqual([remedies]);
    expect(problemsOf(topWith(`listen: "${address}"`, 'open: true'))).toEqual([]);
    expect(problemsOf(topWith(`listen: "${address}"`, `clients: [{name: a, key: ${KEY}}]`))).toEqual([]);
  });

  it.each(['127.0.0.1:8080', '127.9.9.9:8080', '[::1]:8080', 'localhost:8080'])('need not be said on %s', (address) => {
    expect(problemsOf(topWith(`listen: "${address}"`))).toEqual([]);
  });

  it('must be said for an address from the command line too', () => {
    expect(problemsOf(mpesaWith(), { listen: { host: '0.0.0.0', port: 80 } })).toEqual([
      expect.stringMatching(/^1:1 listen \| .*0\.0\.0\.0:80/),
    ]);
  });

  it('is said once: `open: true` beside `clients` is a problem', () => {
    expect(problemsOf(topWith('open: true', `clients: [{name: a, key: ${KEY}}]`))).toEqual([
      '5:7 open | open: `open: true` contradicts `clients`; keep one of them',
    ]);
  });
});

describe('clients', () => {
  it('are resolved with their keys as secrets', () => {
    const [all, some] = good(
      topWith('clients:', `  - {name: all, key: "${KEY}"}`, `  - {name: some, key: "${KEY}1", routes: [/mpesa/*]}`),
    ).clients;
    expect(all?.key.reveal()).toBe(KEY);
    expect(all?.routes).toBeUndefined();
    expect(some?.routes).toEqual(['/mpesa/*']);
  });

  it.each([
    [`{name: a, key: "${KEY.slice(1)}"}`, '6:20 clients.0.key', 'too short'],
    [`{name: a, key: "${'x'.repeat(4097)}"}`, '6:20 clients.0.key', 'too long'],
    [`{name: a, key: "${KEY} x"}`, '6:20 clients.0.key', 'holds a space'],
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

  it('have each a name and a key of their own', () => {
    expect(problemsOf(topWith('clients:', `  - {name: a, key: ${KEY}}`, `  - {name: a, key: ${KEY}}`))).toEqual([
      '7:12 clients.1.name | clients.1.name: another client is named `a` already',
      '7:20 clients.1.key | clients.1.key: is the key of another client already; give each its own',
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
});

describe('allowed hosts and origins', () => {
  it.each(['https://a.example', 'a.example/path', '*', '*.example', '', 'a b', 'a.example:x', '[zz]'])(
    'refuse the host %j',
    (host) => {
      expect(problemsOf(topWith(`allowed_hosts: ["${host}"]`))).toEqual([
        expect.stringMatching(/^5:17 allowed_hosts\.0 \| .*host name/),
      ]);
    },
  );

  it.each([
    '*',
    'null',
    'a.example',
    'https://a.example/',
    'https://a.example/x',
    'https://u@a.example',
    'ftp://a.example',
    '',
  ])('refuse the origin %j', (origin) => {
    expect(problemsOf(topWith(`allowed_origins: ["${origin}"]`))).toEqual([
      expect.stringMatching(/^5:19 allowed_origins\.0 \| .*an origin such as/),
    ]);
  });
});

it('a good file has no warnings', () => {
  expect(warningsOf(mpesaWith())).toEqual([]);
});

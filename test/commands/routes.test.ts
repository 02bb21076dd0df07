import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { check, routes } from '../../src/commands/config-commands.ts';
import { issue } from '../config/certificate.ts';
import { PFX } from '../config/pfx.ts';

const folder = mkdtempSync(join(tmpdir(), 'wakala-routes-'));

const FILE = `routes:
  /mpesa/*:
    provider: mpesa
    credentials: {consumer_key: "\${KEY}", consumer_secret: "\${KEY}"}
    allow: ["POST /mpesa/stkpush/*", "GET /"]
    timeout: 10s
    websocket: true
  /jeel/*:
    provider: jeel
    environment: production
    credentials: {client_id: "\${KEY}", client_secret: "\${KEY}"}
  /paystack/*:
    provider: static
    upstream: https://api.paystack.co
    credentials: {token: "\${KEY}"}
    connect_timeout: 1500ms
    replay: [GET, PUT]
    max_concurrency: 5
    token_paths: refuse
    websocket: true
    max_websockets: 50
    websocket_idle_timeout: 90s
`;
const env = { KEY: 'canary-key' };

function run(text: string, json = false, command = routes) {
  const config = join(folder, 'proxy.config.yaml');
  writeFileSync(config, text);
  let [stdout, stderr] = ['', ''];
  const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s), env };
  const code = command({ config, json }, io);
  return { code, stdout: stdout.replaceAll(config, 'FILE'), stderr: stderr.replaceAll(config, 'FILE') };
}

/** A connection with the authorities of Node, without client certificate and proxy. */
const DIRECT = { client_certificate: null, authorities: 0, server_name: null, min_version: null, egress_proxy: null };

describe('routes', () => {
  it('lists the calls of `sign`, and says that a route has no token', () => {
    const route = 'upstream: "https://a.example", token: none, credentials: {k: "${KEY}"}';
    const rule = (calls: string) => `{calls: ${calls}, headers: {X-Key: "{k}"}}`;
    const sign = `[${rule('["POST /v1/pay"]')}, ${rule('["GET /v1/{id}"]')}]`;
    const text = `routes:\n  /a/*: {${route}, sign: ${sign}}\n`;
    expect(run(text).stdout.split('\n').slice(2)).toEqual(['  token  none', '  sign   POST /v1/pay, GET /v1/{id}', '']);
    const { routes } = JSON.parse(run(text, true).stdout) as { routes: unknown[] };
    expect(routes).toMatchObject([{ token: 'none', token_endpoint: null, sign: ['POST /v1/pay', 'GET /v1/{id}'] }]);
    expect(run(text).stdout).not.toContain('canary');
  });

  it('lists `token_query` and `token.timeout`', () => {
    const fixed = 'provider: static, upstream: "https://a.example", credentials: {token: "${KEY}"}, token_query: key';
    expect(run(`routes:\n  /a/*: {${fixed}}\n`).stdout).toContain('set    token_query key\n');
    const mpesa = 'credentials: {consumer_key: "${KEY}", consumer_secret: "${KEY}"}, token: {timeout: 20s}';
    expect(run(`routes:\n  /mpesa/*: {provider: mpesa, ${mpesa}}\n`).stdout).toContain('set    token.timeout 20s\n');
  });

  it('lists the target of each route, production in capitals, and settings that differ from the default', () => {
    expect(run(FILE)).toEqual({
      code: 0,
      stdout: `ROUTE        PROVIDER  ENVIRONMENT  UPSTREAM
/mpesa/*     mpesa     sandbox      https://sandbox.safaricom.co.ke
  token  GET https://sandbox.safaricom.co.ke/oauth/v1/generate
  allow  POST /mpesa/stkpush/*, GET /
  set    timeout 10s, websocket
/jeel/*      jeel      PRODUCTION   https://api.jeel.co
  token  POST https://auth.jeel.co/oauth2/token
/paystack/*  static    sandbox      https://api.paystack.co
  token  a fixed key; not requested
  set    connect_timeout 1500ms, replay GET PUT, token_paths refuse, max_concurrency 5, websocket,
         max_websockets 50, websocket_idle_timeout 90s
`,
      stderr: '',
    });
  });

  it('shows sizes that differ from their defaults', () => {
    const { stdout } = run(FILE.replace('timeout: 10s', 'max_body: 32KiB'));
    expect(stdout).toContain('  set    max_body 32KiB, websocket\n');
  });

  it('shows `replay false`', () => {
    expect(run(FILE.replace('[GET, PUT]', 'false')).stdout).toContain('replay false');
  });

  it('does not show a connect_timeout that was lowered to the timeout', () => {
    const { stdout } = run(FILE.replace('timeout: 10s', 'timeout: 2s'));
    expect(stdout).toContain('  set    timeout 2s, websocket\n');
  });

  it('wraps a long allow list between its rules at 100 columns', () => {
    const rules = Array.from({ length: 30 }, (_, i) => `POST /payments/v${i}/*`);
    const { stdout } = run(FILE.replace('["POST /mpesa/stkpush/*", "GET /"]', JSON.stringify(rules)));
    const lines = stdout.split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
    const start = lines.findIndex((line) => line.startsWith('  allow  '));
    const end = lines.findIndex((line) => line.startsWith('  set'));
    const block = lines.slice(start, end);
    expect(block.slice(1).every((line) => /^ {9}POST/.test(line))).toBe(true);
    expect(
      block
        .map((line) => line.slice(9))
        .join(' ')
        .split(', '),
    ).toEqual(rules);
  });

  it('shows the token endpoint of a service without a provider, and no credential in it', () => {
    const { stdout } = run(`routes:
  /acme/*:
    upstream: https://api.acme.example/v1
    credentials: {id: "\${KEY}"}
    token:
      request: {method: POST, url: "https://login.acme.example/{id}/token", form: {a: b}}
      response: {access_token: token}
`);
    expect(stdout).toContain('  token  POST https://login.acme.example/{id}/token\n');
  });

  describe('connections that are not plain', () => {
    const ca = issue({ name: 'authority', isCa: true });
    const client = issue({ name: 'shop', issuer: ca, to: new Date('2030-03-01') });
    const nowMs = Date.parse('2030-01-01');
    for (const [name, text] of Object.entries({ ca: ca.cert, cert: client.cert, key: client.key })) {
      writeFileSync(join(folder, `${name}.pem`), text, { mode: 0o600 });
    }
    writeFileSync(join(folder, 'client.p12'), Buffer.from(PFX.good, 'base64'), { mode: 0o600 });
    const tls = '{ca: ca.pem, cert: cert.pem, key: key.pem, server_name: api.bank.example, min_version: TLSv1.3}';
    const file = (...lines: string[]) =>
      [
        'routes:',
        '  /bank/*:',
        '    provider: oauth2',
        '    upstream: https://lb.bank.example',
        '    credentials: {client_id: i, client_secret: s}',
        '    oauth2: {token_endpoint: "https://login.bank.example/token"}',
        ...lines.map((line) => `    ${line}`),
        '',
      ].join('\n');
    const printed = (text: string, json = false, variables = {}) => {
      const stdout: string[] = [];
      const config = join(folder, 'proxy.config.yaml');
      writeFileSync(config, text);
      const io = { stdout: (s: string) => void stdout.push(s), stderr: () => {}, env: variables };
      routes({ config, json, nowMs }, io);
      return stdout.join('');
    };

    it('are shown without secrets, with the origin of the proxy', () => {
      const proxy = 'egress_proxy: http://user:canary-password@proxy.internal:3128';
      const text = file(`tls: ${tls}`, proxy);
      expect(printed(text)).toBe(`ROUTE    PROVIDER  ENVIRONMENT  UPSTREAM
/bank/*  oauth2    sandbox      https://lb.bank.example
  token  POST https://login.bank.example/token
  via    client certificate CN=shop (59 days left), server name api.bank.example, 1 more authority,
         TLSv1.3 or newer, proxy http://proxy.internal:3128 (egress_proxy)
  tokens proxy http://proxy.internal:3128 (egress_proxy)
`);
      expect(run(text, false, check).stdout).toContain('  via    client certificate CN=shop (');
      expect(printed(text, true) + run(text, true, check).stdout).not.toContain('canary');
    });

    it('name the variable that set the proxy, and the token endpoint that is reached directly', () => {
      const env = { https_proxy: 'proxy.internal:3128', NO_PROXY: 'login.bank.example' };
      expect(printed(file(), false, env)).toContain(`
  via    proxy http://proxy.internal:3128 (https_proxy)
  tokens a direct connection
`);
      expect(printed(file(), false, { ...env, NO_PROXY: '.bank.example' })).not.toContain('via');
    });

    it('show the certificate of a PKCS#12 file, and one that is expired', () => {
      const text = file('tls: {pfx: client.p12, passphrase: pw, token_endpoint: true}');
      expect(printed(text)).toContain('  via    client certificate CN=shop (7,304 days left)\n');
      expect(printed(text)).not.toContain('tokens');
      const expired = issue({ name: 'old', to: new Date('2029-01-01') });
      writeFileSync(join(folder, 'old.pem'), expired.cert);
      writeFileSync(join(folder, 'old.key'), expired.key, { mode: 0o600 });
      expect(printed(file('tls: {cert: old.pem, key: old.key}'))).toContain('CN=old (expired)');
    });

    it('are objects in JSON', () => {
      const parsed = JSON.parse(printed(file(`tls: ${tls}`, 'egress_proxy: https://proxy'), true)) as {
        routes: object[];
      };
      const direct = { client_certificate: null, authorities: 0, server_name: null, min_version: null };
      expect(parsed.routes[0]).toMatchObject({
        connection: {
          client_certificate: { subject: 'CN=shop', valid_until: '2030-03-01T00:00:00.000Z', days_left: 59 },
          authorities: 1,
          server_name: 'api.bank.example',
          min_version: 'TLSv1.3',
          egress_proxy: { url: 'https://proxy:443', source: 'egress_proxy' },
        },
        token_connection: { ...direct, egress_proxy: { url: 'https://proxy:443', source: 'egress_proxy' } },
      });
    });
  });

  it('prints nothing but JSON with --json, in snake_case', () => {
    const { code, stdout, stderr } = run(FILE, true);
    expect([code, stderr]).toEqual([0, '']);
    const printed = JSON.parse(stdout) as { routes: unknown[] };
    expect(printed).toMatchObject({ ok: true, problems: [], warnings: [] });
    expect(printed.routes[0]).toEqual({
      name: '/mpesa/*',
      prefix: '/mpesa',
      provider: 'mpesa',
      environment: 'sandbox',
      upstream: 'https://sandbox.safaricom.co.ke',
      token: 'requested',
      token_endpoint: { method: 'GET', url: 'https://sandbox.safaricom.co.ke/oauth/v1/generate' },
      sign: [],
      allow_addresses: null,
      connection: DIRECT,
      token_connection: DIRECT,
      allow: ['POST /mpesa/stkpush/*', 'GET /'],
      websocket: true,
      max_websockets: 1000,
      websocket_idle_timeout_ms: 600_000,
      token_paths: 'placeholder',
      timeout_ms: 10_000,
      connect_timeout_ms: 5000,
      host_header: null,
      max_response_header_bytes: 16 * 1024,
      rewrite_location: true,
      max_body_bytes: 10 * 1024 ** 2,
      replay_limit_bytes: 64 * 1024,
      replay: true,
      max_concurrency: null,
    });
    expect(printed.routes[2]).toMatchObject({
      token: 'fixed',
      token_endpoint: null,
      token_connection: null,
      allow: null,
      replay: ['GET', 'PUT'],
      max_concurrency: 5,
      max_websockets: 50,
      websocket_idle_timeout_ms: 90_000,
      token_paths: 'refuse',
    });
  });

  it.each([true, false])('prints the same as check for an invalid file, with exit code 3 (--json: %s)', (json) => {
    const bad = `${FILE}opne: true\nlog: {level: 1}\n`;
    const { code, stdout, stderr } = run(bad, json);
    expect(code).toBe(3);
    expect({ code, stdout, stderr }).toEqual(run(bad, json, check));
    expect(stdout + stderr).toContain('did you mean `open`');
  });

  it('prints warnings to stderr', () => {
    const { code, stdout, stderr } = run(FILE.replace('https://api.paystack.co', 'http://api.paystack.co'));
    expect([code, stdout.split('\n')[0]?.slice(0, 5)]).toEqual([0, 'ROUTE']);
    expect(stderr).toMatch(/^FILE:14:\d+: warning: .*`https:`\n$/);
  });

  it('never prints a secret', () => {
    for (const json of [true, false]) expect(JSON.stringify(run(FILE, json))).not.toContain('canary');
  });
});

import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { check } from '../../src/commands/config-commands.ts';

const folder = mkdtempSync(join(tmpdir(), 'wakala-check-'));

const TWO = `routes:
  /mpesa/*:
    provider: mpesa
    credentials: {consumer_key: "\${KEY}", consumer_secret: "\${KEY}"}
  /jpay/*:
    provider: jpay
    environment: production
    credentials: {app_key: "\${KEY}", app_secret: "\${QUOTED}"}
`;
const env = { KEY: 'canary-key', QUOTED: '"canary-quoted"' };

function run(text: string, json = false) {
  const config = join(folder, 'proxy.config.yaml');
  writeFileSync(config, text);
  let [stdout, stderr] = ['', ''];
  const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s), env };
  const code = check({ config, json }, io);
  return { code, stdout: stdout.replaceAll(config, 'FILE'), stderr: stderr.replaceAll(config, 'FILE') };
}

describe('check', () => {
  it('lists the routes of a valid file, production in capitals, and prints warnings to stderr', () => {
    expect(run(TWO)).toEqual({
      code: 0,
      stdout: [
        'FILE: ok, 2 routes',
        '  /mpesa/*  mpesa  sandbox     https://sandbox.safaricom.co.ke',
        '  /jpay/*   jpay   PRODUCTION  https://api.jpay.africa/api/v1',
        '',
      ].join('\n'),
      stderr:
        'FILE:8:50: warning: routes./jpay/*.credentials.app_secret: starts or ends with a quote; remove it unless it is part of the value\n',
    });
  });

  it('prints every problem of an invalid file to stderr, with exit code 3', () => {
    expect(run(`${TWO}opne: true\nlog: {level: 1}\n`)).toEqual({
      code: 3,
      stdout: '',
      stderr: [
        'FILE:9:1: unknown key `opne`; did you mean `open`?',
        'FILE:10:14: log.level: must be one of `debug`, `info`, `warn`, `error`, `silent`',
        'FILE:8:50: warning: routes./jpay/*.credentials.app_secret: starts or ends with a quote; remove it unless it is part of the value',
        'FILE: 2 problems',
        '',
      ].join('\n'),
    });
  });

  it('rejects a secret file that others can read in production, with a hint', () => {
    const secret = join(folder, 'secret');
    writeFileSync(secret, 'canary-file');
    const text = TWO.replace('"${QUOTED}"', '"${file:secret}"');
    chmodSync(secret, 0o644);
    expect(run(text)).toEqual({
      code: 3,
      stdout: '',
      stderr:
        'FILE:8:50: routes./jpay/*.credentials.app_secret: other users of this machine can read ' +
        `\`${secret}\`; run \`chmod 600 ${secret}\` (in Kubernetes, set \`defaultMode: 0440\` on the volume and \`fsGroup\` on the pod)\n` +
        'FILE: 1 problem\n',
    });
    chmodSync(secret, 0o600);
    expect(run(text)).toMatchObject({ code: 0, stderr: '' });
  });

  it('reports a missing file', () => {
    let stderr = '';
    const io = { stdout: () => undefined, stderr: (s: string) => void (stderr += s), env };
    expect(check({ config: '/nowhere/a.yaml', json: false }, io)).toBe(3);
    expect(stderr).toMatch(/^\/nowhere\/a\.yaml:1:1: there is no such file/);
  });

  it('prints nothing but JSON with --json', () => {
    const good = run(TWO, true);
    expect(good).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(good.stdout)).toMatchObject({
      ok: true,
      problems: [],
      warnings: [
        {
          file: 'FILE',
          line: 8,
          column: 50,
          key: 'routes./jpay/*.credentials.app_secret',
          message:
            'routes./jpay/*.credentials.app_secret: starts or ends with a quote; remove it unless it is part of the value',
        },
      ],
      routes: [
        { name: '/mpesa/*', provider: 'mpesa', environment: 'sandbox', upstream: 'https://sandbox.safaricom.co.ke' },
        { name: '/jpay/*', provider: 'jpay', environment: 'production', upstream: 'https://api.jpay.africa/api/v1' },
      ],
    });
    const bad = run('routes: {}\n', true);
    expect(bad).toMatchObject({ code: 3, stderr: '' });
    expect(JSON.parse(bad.stdout)).toMatchObject({
      ok: false,
      problems: [{ line: 1, column: 9, key: 'routes' }],
      routes: [],
    });
  });

  it('never prints a secret', () => {
    for (const text of [TWO, `${TWO}opne: true\n`]) {
      for (const json of [true, false]) expect(JSON.stringify(run(text, json))).not.toContain('canary');
    }
  });

  it('accepts the file of this repository once its variables are set', () => {
    const names = ['JPAY_APP_KEY', 'JPAY_APP_SECRET', 'MPESA_CONSUMER_KEY', 'MPESA_CONSUMER_SECRET', 'JEEL_CLIENT_ID'];
    names.push('JEEL_CLIENT_SECRET', 'PAYPACK_CLIENT_ID', 'PAYPACK_CLIENT_SECRET');
    let stdout = '';
    const io = { stdout: (s: string) => void (stdout += s), stderr: () => undefined };
    const set = Object.fromEntries(names.map((name) => [name, 'x']));
    expect(check({ config: 'proxy.config.yaml', json: false }, { ...io, env: set })).toBe(0);
    expect(stdout.split('\n')[0]).toBe('proxy.config.yaml: ok, 4 routes');
  });
});

describe('check --explain', () => {
  const SIGNED = `routes:
  /bank/*:
    upstream: https://bank.example/api
    token: none
    credentials: {login: shop, secret: "\${KEY}"}
    sign:
      - calls: ['POST /v1/pay/{id}']
        values:
          at: {now: iso8601}
          base: {text: '{method} {path}?{query:x} {header:x-a} {login} {secret} {body}'}
          mac: {hmac_sha256: '{base}', key: '{secret}'}
        headers: {X-At: '{at}', X-Signature: 'v1={mac}'}
  /shop/*:
    upstream: https://shop.example
    token: none
    allow: ['POST /v1/pay']
    credentials: {secret: "\${KEY}"}
    sign:
      - calls: ['* /*']
        headers: {X-Key: '{secret}'}
      - calls: ['POST /v1/pay', 'POST /v1/refund']
        headers: {X-Sum: '{json:sum}'}
  /gate/*:
    upstream: https://shop.example
    token: none
    allow: ['GET /v1']
    sign: [{calls: ['* /*'], headers: {X-Sum: '{json:sum}'}}]
  /plain/*: {upstream: "https://plain.example", token: none}
`;
  const body = join(folder, 'body.json');
  const nowMs = Date.UTC(2026, 0, 1, 12);

  function explain(
    call: string | undefined,
    options: Partial<Parameters<typeof check>[0]> = {},
    content = '{"amount":1}\n',
  ) {
    const config = join(folder, 'signed.yaml');
    writeFileSync(config, SIGNED);
    writeFileSync(body, content);
    let [stdout, stderr] = ['', ''];
    const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s), env };
    const code = check({ config, json: false, nowMs, explain: 'bank', call, ...options }, io);
    expect(stdout + stderr).not.toContain('canary');
    return { code, stdout, stderr: stderr.replaceAll(folder, 'FOLDER') };
  }

  it('shows the texts of a rule, without secrets and signatures', () => {
    expect(explain('POST /v1/pay/7?x=1', { body, header: ['X-A: b'] })).toEqual({
      code: 0,
      stderr: '',
      stdout: [
        '/bank/* POST /v1/pay/7',
        '  sign.0: POST /v1/pay/{id}',
        '    at                   now          "2026-01-01T12:00:00Z"',
        '    base                 text         "POST /api/v1/pay/7?1 b [login] [secret] {"amount":1}\\n"',
        '    mac                  hmac_sha256  "POST /api/v1/pay/7?1 b [login] [secret] {"amount":1}\\n"',
        '    headers.X-At                      "2026-01-01T12:00:00Z"',
        '    headers.X-Signature               "v1=[hmac_sha256]"',
        '',
      ].join('\n'),
    });
  });

  it('escapes what a terminal does not show', () => {
    const content = ' a\r\n\t"b\\n"\u001b[31m\u00a0é\u200b ';
    const { stdout } = explain('POST /v1/pay/7?x=1', { body, header: ['X-A: b'] }, content);
    expect(stdout).toContain(String.raw`[secret]  a\r\n\t"b\\n"\u{1b}[31m\u{a0}é\u{200b} "`);
  });

  it('prints the same as JSON', () => {
    const { code, stdout } = explain('POST /v1/pay/7?x=1', { body, header: ['X-A: b'], json: true });
    expect([code, JSON.parse(stdout)]).toMatchObject([
      0,
      { route: '/bank/*', call: 'POST /v1/pay/7', nearest: null, refused: null, rules: [{ from: 'sign.0' }] },
    ]);
  });

  it.each([
    [
      'no rule applies',
      'GET /v1/pay/7',
      'bank',
      0,
      'No rule applies to this call. The nearest is for `POST /v1/pay/{id}`.',
    ],
    [
      'the path has the prefix of the route',
      'POST /bank/v1/pay/7',
      'bank',
      0,
      'No rule applies to this call.\n  Name the path below the prefix of the route. Did you mean `POST /v1/pay/7`?\n',
    ],
    [
      'the call would be refused, after the rules before',
      'POST /v1/pay',
      'shop',
      1,
      'headers.X-Key    "[secret]"\n  The call would be refused with 400 `signature_impossible`: The body is empty',
    ],
    [
      '`allow` would refuse the call',
      'POST /v1/refund',
      'shop',
      1,
      '"[secret]"\n  The call would be refused with 403 `path_refused`: This call is not in the `allow` list of /shop/*.\n',
    ],
    [
      '`allow` would refuse a call that cannot be signed',
      'POST /v1/pay/8',
      'gate',
      1,
      '/gate/* POST /v1/pay/8\n  The call would be refused with 403 `path_refused`: ',
    ],
    ['the route has none', 'GET /v1', '/plain/*', 0, 'No rule applies to this call. The route has none.'],
    [
      'the call would be refused',
      'POST /v1/pay/7',
      'bank',
      1,
      'The call would be refused with 400 `signature_impossible`: ',
    ],
  ])('says that %s', (_, call, route, code, text) => {
    const result = explain(call, { explain: route });
    expect(result).toMatchObject({ code, stderr: '' });
    expect(result.stdout).toContain(text);
  });

  it.each([
    ['an unknown route', 'GET /', { explain: 'bnk' }, 'no route is named `bnk`; did you mean `bank`?'],
    ['no call', undefined, {}, 'name a call after the route'],
    ['a call without a path', 'POST', {}, 'name a call after the route'],
    ['a method in lower case', 'post /v1', {}, '`post /v1`: methods are written in capitals: `POST`'],
    ['a path without a slash', 'POST v1', {}, '`POST v1`: must start with `/`'],
    ['a malformed header', 'POST /v1', { header: ['X'] }, '`--header` must be `Name: value`'],
    ['an unreadable body', 'POST /v1', { body: join(folder, 'gone') }, 'cannot read the file `FOLDER/gone`'],
    ['a call without a route', 'POST /v1', { explain: undefined }, 'a call needs `--explain` with the route'],
    ['a body without a route', undefined, { explain: undefined, body }, '`--body` needs `--explain` with the route'],
  ])('refuses %s', (_, call, options, text) => {
    const { code, stdout, stderr } = explain(call, options);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`wakala check: ${text}`);
  });
});

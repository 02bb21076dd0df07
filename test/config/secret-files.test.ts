import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { validateConfig } from '../../src/config/load.ts';
import { issue } from './certificate.ts';
import { mpesaWith, problemsOf, type Surroundings, warningsOf } from './validate-text.ts';

const SECRET = '0123456789abcdef';

/** One reference to `/run/s` in each place that may contain a secret. */
function places(environment: string): string {
  return [
    `environment: ${environment}`,
    'admin: {address: "127.0.0.1:9901", token: "${file:/run/s}"}',
    'clients: [{name: a, key: "${file:/run/s}"}]',
    'token_store: {redis: "rediss://:${file:/run/s}@redis.example", encryption_key: "${file:/run/s} and then some, to be long"}',
    'routes:',
    '  /mpesa/*:',
    '    provider: mpesa',
    '    credentials: {consumer_key: k, consumer_secret: "${file:/run/s}"}',
    '    headers: {x-key: "Key ${file:/run/s}"}',
    '    token: {request: {query: {k: "${file:/run/s}"}}}',
    '',
  ].join('\n');
}

function surroundings(mode: number | undefined, more: Surroundings = {}): Surroundings {
  return { files: { '/run/s': SECRET }, modes: mode === undefined ? {} : { '/run/s': mode }, ...more };
}

const REMEDY =
  'other users of this machine can read `/run/s`; run `chmod 600 /run/s` (in Kubernetes, set `defaultMode: 0440` on the volume and `fsGroup` on the pod)';
const SHARED = [
  `2:43 admin.token | admin.token: ${REMEDY}`,
  `3:26 clients.0.key | clients.0.key: ${REMEDY}`,
  `4:22 token_store.redis | token_store.redis: ${REMEDY}`,
  `4:80 token_store.encryption_key | token_store.encryption_key: ${REMEDY}`,
  `8:53 routes./mpesa/*.credentials.consumer_secret | routes./mpesa/*.credentials.consumer_secret: ${REMEDY}`,
  `9:22 routes./mpesa/*.headers.x-key | routes./mpesa/*.headers.x-key: ${REMEDY}`,
  `10:34 routes./mpesa/*.token.request.query.k | routes./mpesa/*.token.request.query.k: ${REMEDY}`,
];

describe('a secret file that others can read', () => {
  it.each([0o100644, 0o100640, 0o100604, 0o100444])('is a warning in the sandbox (mode %o)', (mode) => {
    expect(problemsOf(places('sandbox'), surroundings(mode))).toEqual([]);
    expect(warningsOf(places('sandbox'), surroundings(mode))).toEqual(SHARED);
  });

  it('is a problem in production', () => {
    expect(problemsOf(places('production'), surroundings(0o100644))).toEqual(SHARED);
    expect(warningsOf(places('production'), surroundings(0o100644))).toEqual([]);
  });

  it('is a warning where production is emulated', () => {
    expect(problemsOf(places('production'), surroundings(0o100644, { emulated: true }))).toEqual([]);
    expect(warningsOf(places('production'), surroundings(0o100644, { emulated: true }))).toEqual(SHARED);
  });

  it.each([0o100600, 0o100400, 0o100700, 0o100611, undefined])('is not reported with mode %o', (mode) => {
    expect(problemsOf(places('production'), surroundings(mode))).toEqual([]);
    expect(warningsOf(places('production'), surroundings(mode))).toEqual([]);
  });

  it('is a problem in a signing rule too', () => {
    const text = `environment: production
routes:
  /a/*:
    upstream: https://a.example
    token: none
    sign: [{calls: ['* /*'], values: {h: {hmac_sha256: x, key: '\${file:/run/s}'}}, headers: {X: '{h}'}}]
`;
    const at = 'routes./a/*.sign.0.values.h.key';
    expect(problemsOf(text, surroundings(0o100644))).toEqual([`6:64 ${at} | ${at}: ${REMEDY}`]);
  });

  it.each([
    ['a public key', 'PUBLIC KEY', ''],
    ['a public RSA key', 'RSA PUBLIC KEY', ''],
    ['a certificate', 'CERTIFICATE', ''],
    ['a certificate with a key', 'CERTIFICATE', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    ['a private key', 'PRIVATE KEY', ''],
  ])('is reported for %s only if it holds a secret', (name, label, more) => {
    const pem = `-----BEGIN ${label}-----\nAAA+/=\n-----END ${label}-----\n${more}`;
    const text = `routes: {/a/*: {provider: static, upstream: https://a.example, credentials: {token: '\${file:/run/s}', k: x}, headers: {X: '{k}'}}}`;
    const warnings = warningsOf(text, { files: { '/run/s': pem }, modes: { '/run/s': 0o100644 } });
    expect(warnings.some((each) => each.includes(REMEDY))).toBe(name.includes('private') || more !== '');
  });

  it('is a problem if a production route uses it', () => {
    const text = [
      places('sandbox').trimEnd(),
      '  /jpay/*:',
      '    provider: jpay',
      '    environment: production',
      '    credentials: {app_key: k, app_secret: "${file:/run/s}"}',
      '',
    ].join('\n');
    expect(problemsOf(text, surroundings(0o644)).map((problem) => problem.split(' ')[0])).toEqual([
      '2:43',
      '3:26',
      '4:22',
      '4:80',
      '14:43',
    ]);
    expect(warningsOf(text, surroundings(0o644)).map((warning) => warning.split(' ')[0])).toEqual([
      '8:53',
      '9:22',
      '10:34',
    ]);
  });

  it('is found beside the configuration file', () => {
    const text = mpesaWith().replace('consumer_key: k', 'consumer_key: "${file:k}"');
    const path = resolve('k');
    const [warning = ''] = warningsOf(text, { files: { [path]: 'k' }, modes: { [path]: 0o644 } });
    expect(warning).toContain(`4:33 routes./mpesa/*.credentials.consumer_key | `);
    expect(warning).toContain(`run \`chmod 600 ${path}\``);
  });

  it('includes the key of TLS, but not its certificates', () => {
    const { cert, key } = issue({ name: 'localhost' });
    const head =
      'listen: {address: "127.0.0.1:8443", tls: {cert: /c, key: /k, client_ca: /c}}\nenvironment: production\n';
    const tls = { files: { '/c': cert, '/k': key }, modes: { '/c': 0o644, '/k': 0o640 } };
    expect(problemsOf(head + mpesaWith(), tls)).toEqual([
      '1:58 listen.tls.key | listen.tls.key: other users of this machine can read `/k`; run `chmod 600 /k` ' +
        '(in Kubernetes, set `defaultMode: 0440` on the volume and `fsGroup` on the pod)',
    ]);
    const [hidden = ''] = problemsOf(head.replace('key: /k', 'key: "${K}"') + mpesaWith(), {
      ...tls,
      env: { K: '/k' },
    });
    expect(hidden).toContain('1:58 listen.tls.key | listen.tls.key: other users of this machine can read this file');
    expect(hidden).not.toContain('/k');
  });

  it('does not include files of other keys', () => {
    const text = mpesaWith('timeout: "${file:/run/t}"', 'upstream: "${file:/run/u}"');
    const files = { '/run/t': '5s', '/run/u': 'https://api.example.com' };
    expect(warningsOf(text, { files, modes: { '/run/t': 0o644, '/run/u': 0o644 } })).toEqual([]);
  });
});

describe.skipIf(process.platform === 'win32')('on the disk', () => {
  function warningsFor(prepare: (secret: string) => string): number {
    const folder = mkdtempSync(join(tmpdir(), 'wakala-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const secret = join(folder, 'secret');
    writeFileSync(secret, 's');
    const file = join(folder, 'proxy.config.yaml');
    writeFileSync(file, mpesaWith().replace('consumer_key: k', `consumer_key: "\${file:${prepare(secret)}}"`));
    return validateConfig(file, { env: {} }).warnings.length;
  }

  it.each([
    [0o600, 0],
    [0o640, 1],
    [0o604, 1],
  ])('a file of mode %o gives %d warnings', (mode, count) => {
    const prepared = (secret: string) => {
      chmodSync(secret, mode);
      return secret;
    };
    expect(warningsFor(prepared)).toBe(count);
  });

  it('the mode of the file behind a link counts', () => {
    const linked = (secret: string) => {
      chmodSync(secret, 0o600);
      symlinkSync(secret, `${secret}.link`);
      return `${secret}.link`;
    };
    expect(warningsFor(linked)).toBe(0);
  });
});

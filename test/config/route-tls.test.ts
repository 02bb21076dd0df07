import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clientCertificateOf } from '../../src/config/certificates.ts';
import { issue } from './certificate.ts';
import { PFX, RC4_KEY } from './pfx.ts';
import { mpesaWith, problemsOf, routeOf, type Surroundings, validateText, warningsOf } from './validate-text.ts';

const ca = issue({ name: 'authority', isCa: true });
const client = issue({ name: 'shop', issuer: ca });
const other = issue({ name: 'other' });

function encrypted(type: 'pkcs8' | 'sec1'): string {
  const cipher = 'aes-256-cbc';
  return client.keys.privateKey.export({ type, format: 'pem', cipher, passphrase: 'pw' }).toString();
}

const files = {
  '/tls/ca.pem': ca.cert + other.cert,
  '/tls/cert.pem': client.cert + ca.cert,
  '/tls/key.pem': client.key,
  '/tls/encrypted.pem': encrypted('pkcs8'),
  '/tls/old.pem': encrypted('sec1'),
  '/tls/rc4.pem': RC4_KEY,
  '/tls/other.pem': other.key,
  '/tls/junk': 'junk',
  '/tls/good.p12': PFX.good,
  '/tls/open.p12': PFX.withoutPassphrase,
  '/tls/legacy.p12': PFX.legacy,
  '/tls/no-key.p12': PFX.withoutKey,
  '/tls/no-cert.p12': PFX.withoutCertificate,
  '/tls/cut.p12': PFX.good.slice(0, 400),
  '/tls/pem.p12': Buffer.from(client.cert).toString('base64'),
};

/** `tls` is on line 5, and its text begins in column 10. */
function withTls(tls: string, ...lines: string[]): string {
  return mpesaWith(`tls: ${tls}`, ...lines);
}

function tlsOf(tls: string) {
  return routeOf(withTls(tls), { files }).connection.tls;
}

describe('tls of a route', () => {
  it('is the text of each file, the key as a secret', () => {
    const tls = tlsOf(
      '{ca: /tls/ca.pem, cert: /tls/cert.pem, key: /tls/key.pem, server_name: api.bank.example, min_version: TLSv1.3}',
    );
    expect(tls).toMatchObject({ cert: client.cert + ca.cert, serverName: 'api.bank.example', minVersion: 'TLSv1.3' });
    expect(tls?.ca).toEqual([ca.cert, other.cert]);
    expect(tls?.key?.reveal()).toBe(client.key);
    expect(tls?.passphrase).toBeUndefined();
    expect(tls && clientCertificateOf(tls)?.subject).toBe('CN=shop');
  });

  it.each(['encrypted', 'old'])('may have an encrypted key with its passphrase: %s', (name) => {
    const tls = tlsOf(`{cert: /tls/cert.pem, key: /tls/${name}.pem, passphrase: pw}`);
    expect(tls?.passphrase?.reveal()).toBe('pw');
  });

  it('may have a PKCS#12 file in place of certificate and key', () => {
    const tls = tlsOf('{pfx: /tls/good.p12, passphrase: pw}');
    expect(tls).toEqual({ pfx: expect.anything() as unknown, passphrase: expect.anything() as unknown });
    expect(tls?.pfx?.reveal()).toBe(PFX.good);
    expect(tls && clientCertificateOf(tls)?.subject).toBe('CN=shop');
    expect(tlsOf('{pfx: /tls/open.p12}')?.passphrase).toBeUndefined();
  });

  it('names its files, also those that are missing', () => {
    const found = validateText(withTls('{ca: tls/ca.pem, cert: c.pem, key: k.pem}'));
    expect(found.files.slice(1)).toEqual(['tls/ca.pem', 'c.pem', 'k.pem'].map((path) => resolve(path)));
    expect(validateText(withTls('{pfx: c.p12}')).files.slice(1)).toEqual([resolve('c.p12')]);
  });

  it('is not read for emulated routes', () => {
    const route = routeOf(withTls('{pfx: /gone.p12}', 'egress_proxy: http://p:3128'), { emulated: true });
    expect([route.connection, route.tokenConnection]).toEqual([{}, {}]);
  });

  it('never appears in a printed configuration', () => {
    for (const tls of ['{pfx: /tls/good.p12, passphrase: pw}', '{cert: /tls/cert.pem, key: /tls/key.pem}']) {
      const printed = JSON.stringify(validateText(withTls(tls), { files }).config);
      expect(printed).not.toContain('PRIVATE KEY');
      expect(printed).not.toContain(PFX.good);
    }
  });
});

describe('tls of a route is a problem', () => {
  const AT = 'routes./mpesa/*.tls';
  const CERT = `5:17 ${AT}.cert | ${AT}.cert: `;
  const KEY = `5:37 ${AT}.key | ${AT}.key: `;
  const PFX_AT = `5:16 ${AT}.pfx | ${AT}.pfx: `;

  it.each([
    ['{cert: /tls/cert.pem, key: /gone.pem}', `${KEY}cannot read the file \`/gone.pem\`: there is no such file; a relative path starts at the folder of this configuration`],
    ['{cert: /tls/cert.pem, key: ""}', `${KEY}is empty; write the path of a PEM file`],
    ['{cert: /tls/key.pem , key: /tls/key.pem}', `${CERT}contains no certificate; are \`cert\` and \`key\` swapped?`],
    ['{cert: /tls/cert.pem, key: /tls/cert.pem}', `${KEY}contains no private key; are \`cert\` and \`key\` swapped?`],
    ['{cert: /tls/cert.pem, key: /tls/other.pem}', `${KEY}does not belong to the certificate in \`cert\`; use the key that the certificate was requested with, or request a certificate for this key`],
    ['{cert: /tls/cert.pem, key: /tls/encrypted.pem}', `${KEY}is encrypted; add its \`passphrase\``],
    ['{cert: /tls/cert.pem, key: /tls/old.pem}', `${KEY}is encrypted; add its \`passphrase\``],
    ['{cert: /tls/cert.pem, key: /tls/encrypted.pem, passphrase: no}', `5:69 ${AT}.passphrase | ${AT}.passphrase: does not decrypt \`key\``],
    ['{cert: /tls/cert.pem, key: /tls/rc4.pem, passphrase: pw}', `${KEY}is encrypted with an algorithm that OpenSSL 3 no longer supports; run \`openssl pkey -provider legacy -provider default -in OLD -aes256 -out NEW\``],
    ['{cert: /tls/cert.pem}', `5:5 ${AT}.key | ${AT}: \`key\` is missing; add the file of the private key of \`cert\``],
    ['{key: /tls/key.pem}', `5:5 ${AT}.cert | ${AT}: \`cert\` is missing; add the file of the client certificate that belongs to \`key\``],
    ['{passphrase: pw}', `5:11 ${AT}.passphrase | ${AT}: \`passphrase\` has no effect without an encrypted \`key\` or \`pfx\`; remove it`],
    ['{pfx: /tls/good.p12}', `${PFX_AT}is encrypted; add its \`passphrase\``],
    ['{pfx: /tls/good.p12, passphrase: no}', `5:43 ${AT}.passphrase | ${AT}.passphrase: does not open \`pfx\`, or that file is damaged`],
    ['{pfx: /tls/legacy.p12, passphrase: pw}', `${PFX_AT}is encrypted with algorithms that OpenSSL 3 no longer supports; run \`openssl pkcs12 -legacy -in OLD -nodes -out TEMP.pem\`, then \`openssl pkcs12 -export -in TEMP.pem -out NEW\`, and delete TEMP.pem`],
    ['{pfx: /tls/no-key.p12, passphrase: pw}', `${PFX_AT}contains no private key; export it with its key`],
    ['{pfx: /tls/no-cert.p12, passphrase: pw}', `${PFX_AT}contains no certificate; export it with the key`],
    ['{pfx: /tls/cut.p12, passphrase: pw}', `${PFX_AT}is not a PKCS#12 file, or is damaged; copy the whole file again`],
    ['{pfx: /tls/pem.p12}', `${PFX_AT}is not a PKCS#12 file, or is damaged; it is PEM, so name it in \`cert\` and \`key\``],
    ['{pfx: /tls/open.p12, cert: /tls/cert.pem, key: /tls/key.pem}', `5:11 ${AT}.pfx | ${AT}: \`pfx\` has the certificate and its key; remove \`cert\` and \`key\`, or remove \`pfx\``],
    ['{ca: /tls/junk}', `5:15 ${AT}.ca | ${AT}.ca: contains no certificate; it must be PEM, with \`-----BEGIN CERTIFICATE-----\``],
    ['{server_name: https://a}', `5:24 ${AT}.server_name | ${AT}.server_name: must be a host name such as \`api.example.com\`, without scheme, port or path`],
    ['{min_version: 1.3}', `5:24 ${AT}.min_version | ${AT}.min_version: must be one of \`TLSv1.2\`, \`TLSv1.3\``],
  ])('%s', (tls, problem) => {
    expect(problemsOf(withTls(tls), { files })).toEqual([problem]);
  }); // prettier-ignore

  it('on a route without TLS', () => {
    expect(problemsOf(withTls('{server_name: a.example}', 'upstream: http://127.0.0.1:1'), { files })).toEqual([
      `5:10 ${AT} | ${AT}: has no effect, because \`upstream\` begins with \`http:\`; use \`https:\`, or remove it`,
    ]);
  });

  it.each(['key.pem', 'good.p12'])('if other users can read its secret file: %s', (name) => {
    const tls =
      name === 'key.pem' ? '{cert: /tls/cert.pem, key: /tls/key.pem}' : '{pfx: /tls/good.p12, passphrase: pw}';
    const surroundings: Surroundings = { files, modes: { [`/tls/${name}`]: 0o644, '/tls/cert.pem': 0o644 } };
    const problems = problemsOf(withTls(tls, 'environment: production'), surroundings);
    expect(problems).toEqual([expect.stringContaining(`other users of this machine can read \`/tls/${name}\``)]);
  });

  it('without showing a path that came from a variable, nor a passphrase', () => {
    const env = { KEY: '/secret-path.pem', PASS: 'wrong-secret' };
    const found = [
      ...problemsOf(withTls('{cert: /tls/cert.pem, key: "${KEY}"}'), { files, env }),
      ...problemsOf(withTls('{pfx: /tls/good.p12, passphrase: "${PASS}"}'), { files, env }),
    ];
    expect(found).toHaveLength(2);
    expect(found.join()).not.toContain('secret');
  });
});

describe('the certificate of a route', () => {
  const nowMs = Date.parse('2049-12-25');
  const warnings = (tls: string) => warningsOf(withTls(tls), { files, nowMs });

  it('causes a warning in its last 14 days', () => {
    expect(warnings('{cert: /tls/cert.pem, key: /tls/key.pem}')).toContain(
      '5:17 routes./mpesa/*.tls.cert | routes./mpesa/*.tls.cert: expires soon, on 2049-12-31; renew it, or the server ' +
        'refuses it',
    );
    expect(warnings('{pfx: /tls/good.p12, passphrase: pw}')).toEqual([
      '5:16 routes./mpesa/*.tls.pfx | routes./mpesa/*.tls.pfx: expires soon, on 2049-12-31; renew it, or the server ' +
        'refuses it',
    ]);
    expect(warnings('{ca: /tls/ca.pem}')[0]).toContain('renew it, or connections to its servers fail');
  });

  it('has no use for a passphrase without an encrypted key', () => {
    expect(warningsOf(withTls('{cert: /tls/cert.pem, key: /tls/key.pem, passphrase: pw}'), { files })).toEqual([
      expect.stringMatching(/tls\.passphrase: has no effect: `key` is not encrypted$/),
    ]);
  });
});

describe('the token endpoint', () => {
  const tls = 'cert: /tls/cert.pem, key: /tls/key.pem, server_name: lb.internal';
  const connections = (...lines: string[]) => {
    const { connection, tokenConnection } = routeOf(mpesaWith(...lines), { files });
    return { api: connection.tls, token: tokenConnection.tls };
  };

  it('gets the same settings on the host of the API, whatever the port', () => {
    const { api, token } = connections(
      `tls: {${tls}}`,
      'upstream: https://api.bank.example:8443/v1',
      'auth_server: https://api.bank.example',
    );
    expect(api?.cert).toBeDefined();
    expect(token).toEqual(api);
  });

  it('gets none of them on another host', () => {
    const { api, token } = connections(`tls: {${tls}}`, 'auth_server: https://login.bank.example');
    expect(api?.cert).toBeDefined();
    expect(token).toBeUndefined();
    const url = 'token: {request: {url: "https://login.bank.example/token"}}';
    expect(connections(`tls: {${tls}}`, url).token).toBeUndefined();
  });

  it('gets them on another host if the route says so, except for the server name', () => {
    const { api, token } = connections(
      `tls: {${tls}, token_endpoint: true}`,
      'auth_server: https://login.bank.example',
    );
    expect(token).toEqual({ ...api, serverName: undefined });
  });

  it('gets none on the same host if the route says so', () => {
    expect(connections(`tls: {${tls}, token_endpoint: false}`).token).toBeUndefined();
  });
});

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { issue } from './certificate.ts';
import { good, problemsOf, type Surroundings, topWith, validateText, warningsOf } from './validate-text.ts';

const ca = issue({ name: 'authority', isCa: true });
const server = issue({ name: 'localhost', issuer: ca });
const other = issue({ name: 'other' });

const files = {
  '/tls/cert.pem': server.cert,
  '/tls/key.pem': server.key,
  '/tls/ca.pem': ca.cert,
  '/tls/chain.pem': server.cert + ca.cert,
};
const TLS = '{cert: /tls/cert.pem, key: /tls/key.pem}';
const MUTUAL = '{cert: /tls/cert.pem, key: /tls/key.pem, client_ca: /tls/ca.pem}';

/** `tls` is on line 7, where the paths of `TLS` and `MUTUAL` begin in columns 15, 35 and 60. */
function listening(tls = TLS, address = '127.0.0.1:8443', ...lines: string[]): string {
  return topWith('listen:', `  address: ${address}`, `  tls: ${tls}`, ...lines);
}

function withFile(path: string, text: string): Surroundings {
  return { files: { ...files, [path]: text } };
}

describe('listen.tls', () => {
  it('is the text of each file, the key as a secret', () => {
    const config = good(listening(MUTUAL), { files });
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 8443 });
    expect(config.tls).toMatchObject({
      cert: server.cert,
      clientCa: ca.cert,
    });
    expect(config.tls?.key.reveal()).toBe(server.key);
    expect(JSON.stringify(config)).not.toContain('PRIVATE KEY');
  });

  it('needs no client_ca', () => {
    expect(good(listening(), { files }).tls).toMatchObject({ clientCa: undefined });
  });

  it('finds files beside the configuration file, and names them all', () => {
    const beside = { [resolve('tls/c.pem')]: server.cert, [resolve('k.pem')]: server.key };
    const found = validateText(listening('{cert: tls/c.pem, key: k.pem, client_ca: gone.pem}'), { files: beside });
    expect(found.files.slice(1)).toEqual(['tls/c.pem', 'k.pem', 'gone.pem'].map((path) => resolve(path)));
  });

  it('takes paths from variables', () => {
    const env = { CERT: '/tls/chain.pem' };
    const { tls } = good(listening('{cert: "${CERT}", key: /tls/key.pem}'), { files, env });
    expect(tls).toMatchObject({ cert: server.cert + ca.cert });
  });

  it('stays with an address of the command line, and in an emulated configuration', () => {
    const listen = { host: '127.0.0.1', port: 1 };
    expect(good(listening(), { files, listen, emulated: true })).toMatchObject({ listen, tls: { cert: server.cert } });
    expect(problemsOf(listening(), { emulated: true })).toHaveLength(2);
  });

  it('works with a TLS server and its clients', async () => {
    const { tls } = good(listening(MUTUAL), { files });
    const client = issue({ name: 'shop', issuer: ca });
    const listener = createServer({
      cert: tls?.cert,
      key: tls?.key.reveal(),
      ca: tls?.clientCa,
      requestCert: true,
      rejectUnauthorized: true,
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void listener.close());
    await once(listener, 'listening');
    const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>;
    const { port } = listener.address() as AddressInfo;
    const caller = connect({ port, host: '127.0.0.1', ca: ca.cert, cert: client.cert, key: client.key });
    const [socket] = await accepted;
    expect(socket.getPeerCertificate().subject.CN).toBe('shop');
    caller.destroy();
  });
});

describe('a TLS file is a problem', () => {
  const CERT = '7:15 listen.tls.cert | listen.tls.cert: ';
  const KEY = '7:35 listen.tls.key | listen.tls.key: ';
  const FOLDER = 'a relative path starts at the folder of this configuration';

  it('if it does not exist', () => {
    expect(problemsOf(listening(MUTUAL))).toEqual([
      `${CERT}cannot read the file \`/tls/cert.pem\`: there is no such file; ${FOLDER}`,
      `${KEY}cannot read the file \`/tls/key.pem\`: there is no such file; ${FOLDER}`,
      '7:60 listen.tls.client_ca | listen.tls.client_ca: cannot read the file `/tls/ca.pem`: there is no such file; ' +
        FOLDER,
    ]);
  });

  it('if its path is empty or is the text of the file', () => {
    expect(problemsOf(listening('{cert: /tls/cert.pem, key: ""}'), { files })).toEqual([
      `${KEY}is empty; write the path of a PEM file`,
    ]);
    const text = listening('{cert: /tls/cert.pem, key: "${file:/tls/key.pem}"}');
    const found = validateText(text, { files });
    expect(found.problems.map(({ message }) => message)).toEqual([
      'listen.tls.key: is the text of a PEM file; write the path of the file instead',
    ]);
    expect(JSON.stringify(found)).not.toContain('PRIVATE');
  });

  it('if its variable is not set, reported once', () => {
    const text = listening('{cert: /tls/cert.pem, key: "${GONE}", client_ca: /tls/ca.pem}', '0.0.0.0:8443');
    expect(problemsOf(text, { files })).toEqual([
      expect.stringMatching(/^7:35 listen\.tls\.key \| .*`GONE` is not set/),
    ]);
  });

  it.each([
    [
      '/tls/cert.pem',
      'nothing',
      `${CERT}contains no certificate; it must be PEM, with \`-----BEGIN CERTIFICATE-----\``,
    ],
    ['/tls/cert.pem', server.key, `${CERT}contains no certificate; are \`cert\` and \`key\` swapped?`],
    [
      '/tls/cert.pem',
      server.cert.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
      `${CERT}certificate 1 is damaged; get it from its issuer again`,
    ],
    ['/tls/key.pem', '', `${KEY}contains no private key; it must be PEM, with \`-----BEGIN PRIVATE KEY-----\``],
    ['/tls/key.pem', server.cert, `${KEY}contains no private key; are \`cert\` and \`key\` swapped?`],
    [
      '/tls/key.pem',
      server.key.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
      `${KEY}its private key is damaged; copy the whole file again`,
    ],
    [
      '/tls/key.pem',
      server.keys.privateKey
        .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
        .toString(),
      `${KEY}is encrypted, and Wakala cannot ask for a passphrase; decrypt it with \`openssl pkey -in OLD -out NEW\``,
    ],
    [
      '/tls/key.pem',
      other.key,
      `${KEY}does not belong to the certificate in \`cert\`; use the key that the certificate was requested with, or ` +
        'request a certificate for this key',
    ],
    [
      '/tls/cert.pem',
      ca.cert + server.cert,
      `${CERT}the certificate that belongs to \`key\` must come first, before its chain`,
    ],
    [
      '/tls/ca.pem',
      server.key,
      '7:60 listen.tls.client_ca | listen.tls.client_ca: contains no certificate; it must be PEM, with ' +
        '`-----BEGIN CERTIFICATE-----`',
    ],
  ])('%#: %s', (path, text, problem) => {
    expect(problemsOf(listening(MUTUAL), withFile(path, text))).toEqual([problem]);
  });

  it('if its key is too weak', () => {
    const weak = issue({ name: 'weak', issuer: ca, keys: generateKeyPairSync('rsa', { modulusLength: 512 }) });
    const surroundings = { files: { ...files, '/tls/cert.pem': weak.cert, '/tls/key.pem': weak.key } };
    expect(problemsOf(listening(), surroundings)).toEqual([`${CERT}cannot be used: ERR_SSL_EE_KEY_TOO_SMALL`]);
  });
});

describe('the dates of a certificate', () => {
  const to = new Date('2030-06-30T12:00:00Z');
  const from = new Date('2030-01-01T00:00:00Z');
  const dated = issue({ name: 'dated', from, to });
  const warnings = (date: Date) => {
    const surroundings = {
      files: { ...files, '/tls/cert.pem': dated.cert, '/tls/key.pem': dated.key },
      nowMs: date.getTime(),
    };
    expect(problemsOf(listening(), surroundings)).toEqual([]);
    return warningsOf(listening(), surroundings);
  };
  const DAYS = 86_400_000;
  const at = (offset: number) => new Date(to.getTime() + offset);

  it('cause no warning until 14 days before the end', () => {
    expect(warnings(at(-14 * DAYS))).toEqual([]);
    expect(warnings(from)).toEqual([]);
  });

  it('cause a warning in the last 14 days', () => {
    const soon = [
      '7:15 listen.tls.cert | listen.tls.cert: expires soon, on 2030-06-30; renew it, or clients refuse to connect',
    ];
    expect(warnings(at(-14 * DAYS + 1))).toEqual(soon);
    expect(warnings(to)).toEqual(soon);
  });

  it('cause only a warning after the end', () => {
    expect(warnings(at(1))).toEqual([
      '7:15 listen.tls.cert | listen.tls.cert: expired on 2030-06-30, by the clock of this machine; renew it, or ' +
        'clients refuse to connect',
    ]);
  });

  it('cause a warning before the beginning', () => {
    expect(warnings(new Date(from.getTime() - 1))).toEqual([
      '7:15 listen.tls.cert | listen.tls.cert: is valid only from 2030-01-01; check the clock of this machine',
    ]);
  });

  it('count for the issuers of client certificates too', () => {
    const old = issue({ name: 'old', isCa: true, to });
    const surroundings = { ...withFile('/tls/ca.pem', ca.cert + old.cert), nowMs: at(1).getTime() };
    expect(warningsOf(listening(MUTUAL), surroundings)).toEqual([
      '7:60 listen.tls.client_ca | listen.tls.client_ca: expired on 2030-06-30, by the clock of this machine; ' +
        'renew it, or no client can connect',
    ]);
  });
});

describe('client_ca', () => {
  const KEY = '0123456789abcdef';

  it('replaces `clients` and `open` on an address that others can reach', () => {
    expect(problemsOf(listening(MUTUAL, '0.0.0.0:8443'), { files })).toEqual([]);
    expect(problemsOf(listening(TLS, '0.0.0.0:8443'), { files })).toEqual([
      expect.stringMatching(/^6:3 listen \| listen: anyone who can reach 0\.0\.0\.0:8443 .*client_ca/),
    ]);
  });

  it('that cannot be read is reported once', () => {
    const surroundings = withFile('/tls/ca.pem', '');
    expect(problemsOf(listening(MUTUAL, '0.0.0.0:8443', 'clients: [{name: a}]'), surroundings)).toHaveLength(1);
    expect(problemsOf(listening('1', '0.0.0.0:8443', 'clients: [{name: a}]'), surroundings)).toHaveLength(1);
  });

  it('makes the keys of clients optional', () => {
    const clients = `clients: [{name: a}, {name: b, key: ${KEY}}]`;
    const config = good(listening(MUTUAL, '0.0.0.0:8443', clients), { files });
    expect(config.clients.map(({ name, key }) => [name, key?.reveal()])).toEqual([
      ['a', undefined],
      ['b', KEY],
    ]);
    expect(problemsOf(listening(TLS, '0.0.0.0:8443', clients), { files })).toEqual([
      '8:11 clients.0.key | clients.0: `key` is missing; add the bearer token of the client, or require certificates ' +
        'with `listen.tls.client_ca`',
    ]);
  });
});

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type KeyFunction, type ReadKey, readKeyFor, readPrivateKey, readPublicKey } from '../../src/signing/keys.ts';
import { issue } from '../config/certificate.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ec521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
const ed25519 = generateKeyPairSync('ed25519');
const certificate = issue({ name: 'bank', keys: rsa, to: new Date('2021-01-01') }).cert;

const pkcs8 = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const spki = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();
const jwk = (key: KeyObject) => JSON.stringify(key.export({ format: 'jwk' }));
const der = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' | 'spki') =>
  (key.export({ type, format: 'der' } as { type: 'pkcs1'; format: 'der' }) as Buffer).toString('base64');
const problemOf = (read: ReadKey) => ('problem' in read ? read.problem : 'none');

const PRIVATE = {
  'PKCS#8': pkcs8(rsa.privateKey),
  'PKCS#1': rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  'SEC1, with parameters': `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${ec.privateKey.export({ type: 'sec1', format: 'pem' }).toString()}`,
  Ed25519: pkcs8(ed25519.privateKey),
  'a key after its certificate': `${certificate}${pkcs8(rsa.privateKey)}`,
  'attributes before the key': `Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n${pkcs8(rsa.privateKey)}`,
};

const PUBLIC = {
  SPKI: spki(rsa.publicKey),
  'PKCS#1': rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  'an expired certificate': certificate,
};

const SPELLINGS: Readonly<Record<string, (pem: string) => string>> = {
  'as it is': (pem) => pem,
  'without its last line break': (pem) => pem.trimEnd(),
  'with CRLF': (pem) => pem.replaceAll('\n', '\r\n'),
  'with \\n spelled out': (pem) => pem.replaceAll('\n', String.raw`\n`),
  'with \\r\\n spelled out': (pem) => pem.replaceAll('\n', String.raw`\r\n`),
  'on one line with spaces': (pem) => pem.trim().replaceAll('\n', ' '),
  indented: (pem) => pem.replaceAll(/^/gm, '    '),
  'encoded in base64': (pem) => Buffer.from(pem).toString('base64'),
};

const isSame = (read: ReadKey, keys: readonly KeyObject[]) => 'key' in read && keys.some((key) => key.equals(read.key));

describe.each(Object.entries(SPELLINGS))('PEM %s', (_, spelled) => {
  it.each(Object.entries(PRIVATE))('holds a private key: %s', (_name, pem) => {
    expect(isSame(readPrivateKey(spelled(pem)), [rsa.privateKey, ec.privateKey, ed25519.privateKey])).toBe(true);
  });

  it.each(Object.entries(PUBLIC))('holds a public key: %s', (_name, pem) => {
    expect(isSame(readPublicKey(spelled(pem)), [rsa.publicKey])).toBe(true);
  });
});

describe('a key', () => {
  it.each([
    ['PKCS#8', der(rsa.privateKey, 'pkcs8')],
    ['PKCS#1', der(rsa.privateKey, 'pkcs1')],
    ['SEC1', der(ec.privateKey, 'sec1')],
    ['PKCS#8 with line breaks', der(rsa.privateKey, 'pkcs8').replaceAll(/.{64}/g, '$&\n')],
    ['PKCS#8 with \\n spelled out', der(rsa.privateKey, 'pkcs8').replaceAll(/.{64}/g, String.raw`$&\n`)],
    ['a JWK of RSA', jwk(rsa.privateKey)],
    ['a JWK of EC', jwk(ec.privateKey)],
    ['a JWK of Ed25519', `\n${jwk(ed25519.privateKey)}`],
  ])('is a private one, without PEM: %s', (_, text) => {
    expect(isSame(readPrivateKey(text), [rsa.privateKey, ec.privateKey, ed25519.privateKey])).toBe(true);
    expect(problemOf(readPublicKey(text))).toBe('is a private key; use the public key or the certificate');
  });

  it.each([
    ['SPKI', der(rsa.publicKey, 'spki')],
    ['PKCS#1', der(rsa.publicKey, 'pkcs1')],
    ['a certificate', certificate.replaceAll(/-----.*-----/g, '')],
    ['a JWK', jwk(rsa.publicKey)],
  ])('is a public one, without PEM: %s', (_, text) => {
    expect(isSame(readPublicKey(text), [rsa.publicKey])).toBe(true);
    expect(problemOf(readPrivateKey(text))).toMatch(
      /is a public key or a certificate|is a public key; use the private key/,
    );
  });

  it('has its JWK', () => {
    const text = JSON.stringify({ ...rsa.privateKey.export({ format: 'jwk' }), kid: 'k-1', alg: 'PS256' });
    expect(readPrivateKey(text)).toMatchObject({ jwk: { kid: 'k-1', alg: 'PS256' } });
    expect(readPrivateKey(PRIVATE['PKCS#8'])).not.toHaveProperty('jwk');
  });

  const encrypted = { type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  const old =
    '-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----';
  const ENCRYPTED = 'is encrypted; decrypt it with `openssl pkey -in OLD -out NEW`';
  const NO_KEY = 'is not a key; use PEM or a JWK, and to read it from a file, write `${file:/path}`';
  const NO_PRIVATE_KEY = 'is a public key or a certificate; use the private key that belongs to it';
  const DAMAGED = 'is damaged; copy the whole key again';
  it.each([
    ['nothing', '', NO_KEY],
    ['a path', '/run/secrets/key.pem', NO_KEY],
    ['a password', 'c2VjcmV0', NO_KEY],
    ['a public key', PUBLIC.SPKI, NO_PRIVATE_KEY],
    ['a certificate', certificate, NO_PRIVATE_KEY],
    ['encrypted', rsa.privateKey.export({ ...encrypted, format: 'pem' }).toString(), ENCRYPTED],
    ['encrypted, in the older form', old, ENCRYPTED],
    [
      'encrypted, in base64 of DER',
      rsa.privateKey.export({ ...encrypted, format: 'der' }).toString('base64'),
      ENCRYPTED,
    ],
    [
      'in the format of OpenSSH',
      '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----',
      'is in the format of OpenSSH; convert it with `ssh-keygen -p -m PKCS8 -f FILE`',
    ],
    ['two keys', PRIVATE['PKCS#8'] + PRIVATE['PKCS#1'], 'has several keys or certificates; keep the one that is meant'],
    ['half of PEM', PRIVATE['PKCS#8'].slice(0, 80), DAMAGED],
    ['PEM with a hole', PRIVATE['PKCS#8'].replace(/\n.*\n/, '\n'), DAMAGED],
    ['PEM with a foreign character', PRIVATE['PKCS#8'].replace('\n', '\n*'), DAMAGED],
    ['half of DER', der(rsa.privateKey, 'pkcs8').slice(0, 200), DAMAGED],
    [
      'a certificate request',
      '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----',
      'is PEM of something else; use a key',
    ],
    ['half of a JWK', jwk(rsa.privateKey).slice(0, 80), 'starts like a JWK, but is not valid JSON'],
    ['a set of keys', `{"keys":[${jwk(rsa.privateKey)}]}`, 'is a set of keys; use one of them'],
    ['a shared secret', '{"kty":"oct","k":"c2VjcmV0"}', 'is a shared secret; use a private key'],
    ['a JWK with invalid values', '{"kty":"EC","crv":"P-256","d":"AA"}', DAMAGED],
    [
      'a short RSA key',
      pkcs8(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey),
      'is an RSA key of 1024 bits; use one of at least 2048 bits',
    ],
  ])('cannot be a private one: %s', (_, text, problem) => {
    expect(problemOf(readPrivateKey(text))).toBe(problem);
  });

  it.each([
    ['a private key', PRIVATE['PKCS#8'], 'is a private key; use the public key or the certificate'],
    [
      'a private key with its certificate',
      PRIVATE['a key after its certificate'],
      'is a private key; use the public key or the certificate',
    ],
    ['a chain', certificate + certificate, 'has several keys or certificates; keep the one that is meant'],
    [
      'in the format of OpenSSH',
      'ssh-rsa AAAAB3NzaC1yc2E= me@host',
      'is in the format of OpenSSH; convert it with `ssh-keygen -e -m PKCS8 -f FILE`',
    ],
    ['half of a certificate', certificate.slice(0, 80), DAMAGED],
    ['a shared secret', '{"kty":"oct","k":"c2VjcmV0"}', 'is a shared secret; use a public key'],
    [
      'a short RSA key',
      spki(generateKeyPairSync('rsa', { modulusLength: 768 }).publicKey),
      'is an RSA key of 768 bits; use one of at least 1024 bits',
    ],
  ])('cannot be a public one: %s', (_, text, problem) => {
    expect(problemOf(readPublicKey(text))).toBe(problem);
  });

  it('of a provider may have 1024 bits', () => {
    expect(readPublicKey(spki(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey))).toHaveProperty('key');
  });
});

describe('the key of a function', () => {
  const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
  const pss512 = generateKeyPairSync('rsa-pss', { modulusLength: 2048, hashAlgorithm: 'sha512' });
  const KEYS = {
    RSA: pkcs8(rsa.privateKey),
    PSS: pkcs8(pss.privateKey),
    'PSS with SHA-512': pkcs8(pss512.privateKey),
    'P-256': pkcs8(ec.privateKey),
    'P-384': pkcs8(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey),
    'P-521': pkcs8(ec521.privateKey),
    Ed25519: pkcs8(ed25519.privateKey),
    X25519: pkcs8(generateKeyPairSync('x25519').privateKey),
  };
  it.each<[KeyFunction, readonly string[]]>([
    ['rsa_sha256', ['RSA']],
    ['rsa_pss_sha256', ['RSA', 'PSS']],
    ['ecdsa_sha256', ['P-256']],
    ['ecdsa_sha512', ['P-521']],
    ['ed25519', ['Ed25519']],
    ['rsa_encrypt', []],
  ])('%s can be %j', (name, fitting) => {
    const read = Object.entries(KEYS).filter(([, text]) => 'key' in readKeyFor(name, text));
    expect(read.map(([kind]) => kind)).toEqual(fitting);
  });

  it('rsa_encrypt can be a public RSA key only', () => {
    expect(readKeyFor('rsa_encrypt', spki(rsa.publicKey))).toHaveProperty('key');
    expect(problemOf(readKeyFor('rsa_encrypt', spki(ec.publicKey)))).toBe(
      'is an EC key on prime256v1; `rsa_encrypt` needs an RSA key',
    );
  });

  it('is described if it does not fit', () => {
    const problems = Object.values(KEYS).map((text) => problemOf(readKeyFor('ecdsa_sha256', text)));
    expect(problems).toEqual([
      'is an RSA key; `ecdsa_sha256` needs an EC key on P-256',
      'is an RSA key for PSS only; `ecdsa_sha256` needs an EC key on P-256',
      'is an RSA key for PSS only; `ecdsa_sha256` needs an EC key on P-256',
      'none',
      'is an EC key on secp384r1; `ecdsa_sha256` needs an EC key on P-256',
      'is an EC key on secp521r1; `ecdsa_sha256` needs an EC key on P-256',
      'is of type ed25519; `ecdsa_sha256` needs an EC key on P-256',
      'is of type x25519; `ecdsa_sha256` needs an EC key on P-256',
    ]);
  });
});

import { generateKeyPairSync } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { ASSERTION_ALGORITHMS } from '../../src/providers/provider.ts';
import { clientAssertion, readSigningKey } from '../../src/signing/client-assertion.ts';
import { issue } from '../config/certificate.ts';
import { jwkOf, pairFor, pemOf } from '../e2e/oauth2/keys.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 9);
const INPUT = { clientId: 'shop', audience: 'https://login.example', keyId: undefined, nowMs: NOW_MS } as const;

describe('a client assertion', () => {
  it.each(ASSERTION_ALGORITHMS)('is verified by another library: %s', async (algorithm) => {
    const pair = pairFor(algorithm);
    const jwt = clientAssertion({ ...INPUT, key: pemOf(pair), algorithm });
    const { payload, protectedHeader } = await jwtVerify(jwt, pair.publicKey, {
      algorithms: [algorithm],
      issuer: 'shop',
      subject: 'shop',
      audience: 'https://login.example',
      typ: 'JWT',
      currentDate: new Date(NOW_MS),
      requiredClaims: ['iss', 'sub', 'aud', 'jti', 'iat', 'exp'],
    });
    expect(protectedHeader).toEqual({ alg: algorithm, typ: 'JWT' });
    expect([payload.iat, payload.exp]).toEqual([NOW_MS / 1000, NOW_MS / 1000 + 60]);
  });

  it.each(ASSERTION_ALGORITHMS)('is not verified with the public key of another key: %s', async (algorithm) => {
    const jwt = clientAssertion({ ...INPUT, key: pemOf(pairFor(algorithm)), algorithm });
    const verified = jwtVerify(jwt, pairFor(algorithm).publicKey, { currentDate: new Date(NOW_MS) });
    await expect(verified).rejects.toMatchObject({ code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' });
  });

  it('names its key if the key has an id', () => {
    const key = pemOf(pairFor('ES256'));
    const kidOf = (keyId?: string) =>
      decodeProtectedHeader(clientAssertion({ ...INPUT, key, keyId, algorithm: 'ES256' })).kid;
    expect([kidOf(), kidOf('k-1')]).toEqual([undefined, 'k-1']);
  });

  it('is new each time, also at the same time', () => {
    const key = pemOf(pairFor('ES256'));
    const made = Array.from({ length: 20 }, () => clientAssertion({ ...INPUT, key, algorithm: 'ES256' }).split('.')[1]);
    expect(new Set(made).size).toBe(20);
  });
});

describe('a signing key', () => {
  it.each([
    ['ES256', ['ES256']],
    ['RS256', ['RS256', 'PS256']],
    ['EdDSA', ['EdDSA']],
  ] as const)('for %s can sign with %j, as PEM and as JWK', (algorithm, algorithms) => {
    const pair = pairFor(algorithm);
    expect(readSigningKey(pemOf(pair))).toMatchObject({ algorithms });
    expect(readSigningKey(jwkOf(pair))).toMatchObject({ algorithms });
  });

  it('for PSS only can sign with PS256 only', () => {
    const pair = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
    expect(readSigningKey(pemOf(pair))).toMatchObject({ algorithms: ['PS256'] });
  });

  it('has an id and an algorithm if it is a JWK with these', () => {
    const jwk = jwkOf(pairFor('RS256'), { kid: 'k-1', alg: 'PS256' });
    expect(readSigningKey(jwk)).toMatchObject({ keyId: 'k-1', algorithm: 'PS256' });
    expect(readSigningKey(jwkOf(pairFor('RS256')))).toMatchObject({ keyId: undefined, algorithm: undefined });
  });

  const ec = pairFor('ES256');
  const encrypted = ec.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
  const elsewhere = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 });
  it.each([
    [
      'a path',
      '/run/secrets/key.pem',
      'is not a key; use PEM or a JWK, and to read it from a file, write `${file:/path}`',
    ],
    ['a certificate', issue({ name: 'x' }).cert, 'is a public key or a certificate'],
    [
      'a public key',
      ec.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      'is a public key or a certificate',
    ],
    ['an encrypted key', encrypted.toString(), 'is encrypted'],
    ['half a PEM', pemOf(ec).slice(0, 80), 'damaged'],
    ['half a JWK', jwkOf(ec).slice(0, 80), 'not valid JSON'],
    ['the public half of a JWK', JSON.stringify(ec.publicKey.export({ format: 'jwk' })), 'is a public key'],
    ['a set of keys', `{"keys":[${jwkOf(ec)}]}`, 'use one of them'],
    ['a shared secret', '{"kty":"oct","k":"c2VjcmV0"}', 'a shared secret'],
    ['a JWK with invalid values', '{"kty":"EC","crv":"P-256","d":"AA"}', 'damaged'],
    ['a key on another curve', pemOf(elsewhere), 'is an EC key on secp384r1; use RSA, EC on P-256, or Ed25519'],
    ['a key of another kind', pemOf(generateKeyPairSync('x25519')), 'is of type x25519'],
    ['a short RSA key', pemOf(short), 'is an RSA key of 1024 bits; use one of at least 2048 bits'],
    ['nothing', '', 'use PEM or a JWK'],
  ])('cannot be %s', (_, text, reason) => {
    const read = readSigningKey(text);
    expect('problem' in read ? read.problem : 'none').toContain(reason);
  });
});

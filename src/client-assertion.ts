import { constants, createPrivateKey, type KeyObject, randomUUID, sign, type SignKeyObjectInput } from 'node:crypto';
import type { JsonObject } from './json.ts';

/** Signatures that a client assertion may have (RFC 7518 3.1, RFC 8037 3.1). */
export const ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** How long a client assertion is good: it is sent at once. Seconds. */
const LIFETIME_S = 60;

const MIN_RSA_BITS = 2048;

export interface SigningKey {
  readonly object: KeyObject;
  /** What it can sign with, the usual one first; never empty. */
  readonly algorithms: readonly Algorithm[];
  /** What a JWK says of itself (RFC 7517 4.4, 4.5). */
  readonly keyId: string | undefined;
  readonly algorithm: string | undefined;
}

/** Reads a private key from PEM (PKCS#8, and what else OpenSSL knows) or a JWK, or says in words why it is none. */
export function readSigningKey(text: string): SigningKey | { readonly fault: string } {
  const read = text.trim().startsWith('{') ? fromJwk(text) : fromPem(text);
  if ('fault' in read) return read;
  const algorithms = algorithmsOf(read.object);
  return typeof algorithms === 'string' ? { fault: algorithms } : { ...read, algorithms };
}

type ReadKey = Omit<SigningKey, 'algorithms'> | { readonly fault: string };

function fromPem(text: string): ReadKey {
  if (/-----BEGIN (PUBLIC KEY|CERTIFICATE)-----/.test(text) && !text.includes('PRIVATE KEY-----')) {
    return { fault: 'holds no private key; it must be PEM with `-----BEGIN PRIVATE KEY-----`, or a JWK' };
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    return { fault: 'is no key; it must be PEM or a JWK, and to read it from a file, write `$' + '{file:/path}`' };
  }
  if (text.includes('ENCRYPTED')) {
    const remedy = 'decrypt it with `openssl pkey -in OLD -out NEW`';
    return { fault: `is encrypted, and there is nobody to ask for its passphrase; ${remedy}` };
  }
  return keyFrom(() => createPrivateKey(text));
}

function fromJwk(text: string): ReadKey {
  let jwk: JsonObject;
  try {
    jwk = JSON.parse(text) as JsonObject;
  } catch {
    return { fault: 'begins like a JWK, but is no JSON' };
  }
  if (Array.isArray(jwk['keys'])) return { fault: 'is a set of keys; give one of them alone' };
  if (jwk['kty'] === 'oct') return { fault: 'is a shared secret; it must be a private key' };
  if (typeof jwk['d'] !== 'string') return { fault: 'holds the public half alone; the private one has a `d`' };
  const read = keyFrom(() => createPrivateKey({ key: jwk, format: 'jwk' }));
  return 'fault' in read ? read : { ...read, keyId: textIn(jwk, 'kid'), algorithm: textIn(jwk, 'alg') };
}

/** Messages of OpenSSL are not for users, and may quote what they could not read. */
function keyFrom(create: () => KeyObject): ReadKey {
  try {
    return { object: create(), keyId: undefined, algorithm: undefined };
  } catch {
    return { fault: 'its private key is damaged; copy the whole of it once more' };
  }
}

function textIn(jwk: JsonObject, name: string): string | undefined {
  const value = jwk[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** What a key can sign with, or in words why nothing. */
function algorithmsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject) {
  if (type === 'rsa' || type === 'rsa-pss') {
    const bits = details.modulusLength ?? 0;
    // RFC 7518 3.3, 3.5.
    if (bits < MIN_RSA_BITS) return `is an RSA key of ${bits} bits; it must have at least ${MIN_RSA_BITS}`;
    return type === 'rsa' ? (['RS256', 'PS256'] as const) : (['PS256'] as const);
  }
  if (type === 'ec' && details.namedCurve === 'prime256v1') return ['ES256'] as const;
  if (type === 'ed25519') return ['EdDSA'] as const;
  const kind = type === 'ec' ? `an EC key on ${details.namedCurve ?? 'another curve'}` : `of type ${type ?? 'unknown'}`;
  return `is ${kind}; it must be RSA, EC on P-256, or Ed25519`;
}

export interface ClientAssertionOptions {
  readonly clientId: string;
  readonly audience: string;
  /** PEM or JWK. */
  readonly key: string;
  readonly algorithm: Algorithm;
  readonly keyId: string | undefined;
  /** By the clock of whoever reads it. Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/**
 * A JWT with which a client shows who it is (RFC 7523 2.2, 3), another one at each call.
 * @throws TypeError if the key cannot be read
 */
export function clientAssertion({ clientId, audience, key, algorithm, keyId, nowMs }: ClientAssertionOptions): string {
  const signing = readSigningKey(key);
  if ('fault' in signing) throw new TypeError(`the key of the client assertion ${signing.fault}`);
  const iat = Math.floor(nowMs / 1000);
  const header = { alg: algorithm, typ: 'JWT', ...(keyId === undefined ? {} : { kid: keyId }) };
  const claims = { iss: clientId, sub: clientId, aud: audience, jti: randomUUID(), iat, exp: iat + LIFETIME_S };
  const content = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${content}.${signed(content, signing.object, algorithm)}`;
}

function signed(content: string, key: KeyObject, algorithm: Algorithm): string {
  const how: SignKeyObjectInput = {
    key,
    ...(algorithm === 'ES256' && { dsaEncoding: 'ieee-p1363' }),
    ...(algorithm === 'PS256' && {
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    }),
  };
  // Ed25519 has its hash in itself.
  return sign(algorithm === 'EdDSA' ? null : 'sha256', Buffer.from(content), how).toString('base64url');
}

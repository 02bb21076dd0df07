import { constants, createPrivateKey, type KeyObject, randomUUID, sign, type SignKeyObjectInput } from 'node:crypto';
import type { JsonObject } from './json.ts';

/** Signature algorithms of client assertions (RFC 7518 3.1, RFC 8037 3.1). */
export const ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** A client assertion is sent at once, so it is valid for a short time only. */
const LIFETIME_S = 60;

const MIN_RSA_BITS = 2048;

export interface SigningKey {
  readonly object: KeyObject;
  /** The algorithms of this kind of key, the usual one first. Never empty. */
  readonly algorithms: readonly Algorithm[];
  /** `kid` of a JWK (RFC 7517 4.5). */
  readonly keyId: string | undefined;
  /** `alg` of a JWK (RFC 7517 4.4). */
  readonly algorithm: string | undefined;
}

/**
 * Reads a private key from PEM or a JWK.
 * @returns the key, or what is wrong with the text. `problem` completes "The key ...".
 */
export function readSigningKey(text: string): SigningKey | { readonly problem: string } {
  const read = text.trim().startsWith('{') ? fromJwk(text) : fromPem(text);
  if ('problem' in read) return read;
  const algorithms = algorithmsOf(read.object);
  return typeof algorithms === 'string' ? { problem: algorithms } : { ...read, algorithms };
}

type ReadKey = Omit<SigningKey, 'algorithms'> | { readonly problem: string };

function fromPem(text: string): ReadKey {
  if (/-----BEGIN (PUBLIC KEY|CERTIFICATE)-----/.test(text) && !text.includes('PRIVATE KEY-----')) {
    return { problem: 'has no private key; use PEM with `-----BEGIN PRIVATE KEY-----`, or a JWK' };
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    return { problem: 'is not a key; use PEM or a JWK, and to read it from a file, write `$' + '{file:/path}`' };
  }
  if (text.includes('ENCRYPTED')) {
    return { problem: 'is encrypted; decrypt it with `openssl pkey -in OLD -out NEW`' };
  }
  return keyFrom(() => createPrivateKey(text));
}

function fromJwk(text: string): ReadKey {
  let jwk: JsonObject;
  try {
    jwk = JSON.parse(text) as JsonObject;
  } catch {
    return { problem: 'starts like a JWK, but is not valid JSON' };
  }
  if (Array.isArray(jwk['keys'])) return { problem: 'is a set of keys; use one of them' };
  if (jwk['kty'] === 'oct') return { problem: 'is a shared secret; use a private key' };
  if (typeof jwk['d'] !== 'string') return { problem: 'is a public key; use the private key, which has a `d`' };
  const read = keyFrom(() => createPrivateKey({ key: jwk, format: 'jwk' }));
  return 'problem' in read ? read : { ...read, keyId: textIn(jwk, 'kid'), algorithm: textIn(jwk, 'alg') };
}

/** Drops the messages of OpenSSL, which may quote the key. */
function keyFrom(create: () => KeyObject): ReadKey {
  try {
    return { object: create(), keyId: undefined, algorithm: undefined };
  } catch {
    return { problem: 'is damaged; copy the whole key again' };
  }
}

function textIn(jwk: JsonObject, name: string): string | undefined {
  const value = jwk[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** @returns the algorithms of a key, or why it cannot be used */
function algorithmsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject) {
  if (type === 'rsa' || type === 'rsa-pss') {
    const bits = details.modulusLength ?? 0;
    // RFC 7518 3.3, 3.5.
    if (bits < MIN_RSA_BITS) return `is an RSA key of ${bits} bits; use one of at least ${MIN_RSA_BITS} bits`;
    return type === 'rsa' ? (['RS256', 'PS256'] as const) : (['PS256'] as const);
  }
  if (type === 'ec' && details.namedCurve === 'prime256v1') return ['ES256'] as const;
  if (type === 'ed25519') return ['EdDSA'] as const;
  const kind = type === 'ec' ? `an EC key on ${details.namedCurve ?? 'another curve'}` : `of type ${type ?? 'unknown'}`;
  return `is ${kind}; use RSA, EC on P-256, or Ed25519`;
}

export interface ClientAssertionOptions {
  readonly clientId: string;
  readonly audience: string;
  /** PEM or JWK. */
  readonly key: string;
  readonly algorithm: Algorithm;
  readonly keyId: string | undefined;
  /** Epoch milliseconds, by the clock of the token endpoint. */
  readonly nowMs: number;
}

/**
 * A new JWT that authenticates a client (RFC 7523 2.2, 3).
 * @throws TypeError if the key cannot be read
 */
export function clientAssertion({ clientId, audience, key, algorithm, keyId, nowMs }: ClientAssertionOptions): string {
  const signing = readSigningKey(key);
  if ('problem' in signing) throw new TypeError(`the key of the client assertion ${signing.problem}`);
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
  // Ed25519 includes its own hash.
  return sign(algorithm === 'EdDSA' ? null : 'sha256', Buffer.from(content), how).toString('base64url');
}

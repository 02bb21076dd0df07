import { constants, type KeyObject, randomUUID, sign, type SignKeyObjectInput } from 'node:crypto';
import type { JsonObject } from '../json.ts';
import type { AssertionAlgorithm } from '../providers/provider.ts';
import { describeKey, readPrivateKey } from './keys.ts';

/** A client assertion is sent at once, so it is valid for a short time only. */
const LIFETIME_S = 60;

export interface SigningKey {
  readonly object: KeyObject;
  /** The algorithms of this kind of key, the usual one first. Never empty. */
  readonly algorithms: readonly AssertionAlgorithm[];
  /** `kid` of a JWK (RFC 7517 4.5). */
  readonly keyId: string | undefined;
  /** `alg` of a JWK (RFC 7517 4.4). */
  readonly algorithm: string | undefined;
}

/**
 * Reads the private key of client assertions.
 * @returns the key, or what is wrong with the text. `problem` completes "The key ...".
 */
export function readSigningKey(text: string): SigningKey | { readonly problem: string } {
  const read = readPrivateKey(text);
  if ('problem' in read) return read;
  const { key, jwk } = read;
  const algorithms = algorithmsOf(key);
  if (algorithms === undefined) return { problem: `is ${describeKey(key)}; use RSA, EC on P-256, or Ed25519` };
  return { object: key, algorithms, keyId: textIn(jwk, 'kid'), algorithm: textIn(jwk, 'alg') };
}

function textIn(jwk: JsonObject | undefined, name: string): string | undefined {
  const value = jwk?.[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function algorithmsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject) {
  if (type === 'rsa') return ['RS256', 'PS256'] as const;
  if (type === 'rsa-pss') return ['PS256'] as const;
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return ['ES256'] as const;
  return type === 'ed25519' ? (['EdDSA'] as const) : undefined;
}

export interface ClientAssertionOptions {
  readonly clientId: string;
  readonly audience: string;
  /** PEM or JWK. */
  readonly key: string;
  readonly algorithm: AssertionAlgorithm;
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

function signed(content: string, key: KeyObject, algorithm: AssertionAlgorithm): string {
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

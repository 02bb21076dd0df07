import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { JsonObject } from '../json.ts';
import type { SIGNATURES } from '../providers/sign-rule.ts';

/** A key, or what is wrong with its text. `problem` completes "The key ..." and never quotes the text. */
export type ReadKey = FoundKey | { readonly problem: string };

interface FoundKey {
  readonly key: KeyObject;
  /** The JWK that it was read from (RFC 7517 4). */
  readonly jwk?: JsonObject;
}

type Kind = 'private' | 'public';

/** Own keys should have the size that is usual today; what a provider has cannot be chosen. */
const MIN_RSA_BITS = { private: 2048, public: 1024 };

const LABELS: Readonly<Record<string, Kind>> = {
  'PRIVATE KEY': 'private',
  'RSA PRIVATE KEY': 'private',
  'EC PRIVATE KEY': 'private',
  'PUBLIC KEY': 'public',
  'RSA PUBLIC KEY': 'public',
  CERTIFICATE: 'public',
};

const ENCRYPTED = { problem: 'is encrypted; decrypt it with `openssl pkey -in OLD -out NEW`' };
const DAMAGED = { problem: 'is damaged; copy the whole key again' };
const WRONG_KIND = {
  private: { problem: 'is a public key or a certificate; use the private key that belongs to it' },
  public: { problem: 'is a private key; use the public key or the certificate' },
};

/**
 * Reads a private key: PEM (line breaks may be spaces or written as `\n`), a JWK, or base64 of DER or PEM. RSA keys must
 * have 2048 bits or more.
 */
export function readPrivateKey(text: string): ReadKey {
  return read(text, 'private');
}

/** Reads a public key: the same forms, or a certificate, whose dates do not matter. RSA keys must have 1024 bits or more. */
export function readPublicKey(text: string): ReadKey {
  return read(text, 'public');
}

/** The functions whose key is private or public. */
export type KeyFunction = (typeof SIGNATURES)[number] | 'rsa_encrypt';

/** Reads the key of a function: a private key that fits a signature, or a public RSA key for `rsa_encrypt`. */
export function readKeyFor(name: KeyFunction, text: string): ReadKey {
  const found = read(text, name === 'rsa_encrypt' ? 'public' : 'private');
  if ('problem' in found || fits(name, found.key)) return found;
  return { problem: `is ${describeKey(found.key)}; \`${name}\` needs ${NEEDED[name]}` };
}

const NEEDED: Readonly<Record<KeyFunction, string>> = {
  rsa_sha256: 'an RSA key',
  rsa_pss_sha256: 'an RSA key',
  ecdsa_sha256: 'an EC key on P-256',
  ecdsa_sha512: 'an EC key on P-521',
  ed25519: 'an Ed25519 key',
  rsa_encrypt: 'an RSA key',
};

function fits(name: KeyFunction, { asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): boolean {
  switch (name) {
    case 'rsa_sha256':
    case 'rsa_encrypt':
      return type === 'rsa';
    case 'rsa_pss_sha256':
      // A key for PSS may be restricted to a hash and to longer salts (RFC 4055 3.1).
      return (
        type === 'rsa' ||
        (type === 'rsa-pss' && (details.hashAlgorithm ?? 'sha256') === 'sha256' && (details.saltLength ?? 0) <= 32)
      );
    case 'ecdsa_sha256':
      return details.namedCurve === 'prime256v1';
    case 'ecdsa_sha512':
      return details.namedCurve === 'secp521r1';
    case 'ed25519':
      return type === 'ed25519';
  }
}

/** `an EC key on secp384r1`. */
export function describeKey({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): string {
  switch (type) {
    case 'rsa':
      return 'an RSA key';
    case 'rsa-pss':
      return 'an RSA key for PSS only';
    case 'ec':
      return `an EC key on ${details.namedCurve ?? 'another curve'}`;
    default:
      return `of type ${type ?? 'unknown'}`;
  }
}

function read(text: string, wanted: Kind): ReadKey {
  const trimmed = text.trim();
  const found = trimmed.startsWith('{') ? fromJwk(trimmed, wanted) : fromText(trimmed, wanted);
  if ('problem' in found) return found;
  const bits = found.key.asymmetricKeyDetails?.modulusLength;
  const least = MIN_RSA_BITS[wanted];
  return bits === undefined || bits >= least
    ? found
    : { problem: `is an RSA key of ${bits} bits; use one of at least ${least} bits` };
}

function fromText(text: string, wanted: Kind): ReadKey {
  const lines = text.replaceAll(String.raw`\r`, '').replaceAll(String.raw`\n`, '\n');
  if (lines.includes('-----BEGIN')) return fromPem(lines, wanted);
  if (/^(ssh|ecdsa|sk)-[a-z\d@.-]+ /.test(lines)) {
    return { problem: 'is in the format of OpenSSH; convert it with `ssh-keygen -e -m PKCS8 -f FILE`' };
  }
  const bytes = bytesOf(lines);
  const inner = bytes?.toString('latin1').trim();
  if (inner?.includes('-----BEGIN') === true) return fromPem(inner, wanted);
  // DER of every key is a sequence.
  if (bytes?.[0] === 0x30) return fromDer(bytes, wanted);
  return { problem: 'is not a key; use PEM or a JWK, and to read it from a file, write `$' + '{file:/path}`' };
}

/** The bytes of base64, with or without line breaks. */
function bytesOf(text: string): Buffer | undefined {
  const base64 = text.replaceAll(/\s+/g, '');
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64') : undefined;
}

function fromPem(text: string, wanted: Kind): ReadKey {
  if (/-----BEGIN ENCRYPTED |Proc-Type:[^\n]*ENCRYPTED/.test(text)) return ENCRYPTED;
  if (text.includes('-----BEGIN OPENSSH ')) {
    return { problem: 'is in the format of OpenSSH; convert it with `ssh-keygen -p -m PKCS8 -f FILE`' };
  }
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g)].flatMap(
    ([, label = '', content = '']) => {
      const kind = Object.hasOwn(LABELS, label) ? LABELS[label] : undefined;
      return kind === undefined ? [] : [{ kind, content }];
    },
  );
  // A certificate is often in one file with its private key. A public key should not be.
  const ofKind = blocks.filter(({ kind }) => kind === wanted);
  if (blocks.length > ofKind.length && (wanted === 'public' || ofKind.length === 0)) return WRONG_KIND[wanted];
  const [block, second] = ofKind;
  if (block === undefined) {
    return /-----BEGIN [A-Z ]*(KEY|CERTIFICATE)-----/.test(text)
      ? DAMAGED
      : { problem: 'is PEM of something else; use a key' };
  }
  if (second !== undefined) return { problem: 'has several keys or certificates; keep the one that is meant' };
  const bytes = bytesOf(block.content);
  return bytes === undefined ? DAMAGED : fromDer(bytes, wanted);
}

function fromDer(bytes: Buffer, wanted: Kind): ReadKey {
  // First, because OpenSSL also reads a public key from a private one.
  const own = privateKeyFrom(bytes);
  if (own === 'encrypted') return ENCRYPTED;
  const key = own ?? publicKeyFrom(bytes);
  if (key === undefined) return DAMAGED;
  return key.type === wanted ? { key } : WRONG_KIND[wanted];
}

function privateKeyFrom(key: Buffer): KeyObject | 'encrypted' | undefined {
  for (const type of ['pkcs8', 'pkcs1', 'sec1'] as const) {
    try {
      return createPrivateKey({ key, format: 'der', type });
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ERR_MISSING_PASSPHRASE') return 'encrypted';
      // Messages of OpenSSL may quote the key.
    }
  }
  return undefined;
}

function publicKeyFrom(key: Buffer): KeyObject | undefined {
  const ways = [
    () => createPublicKey({ key, format: 'der', type: 'spki' }),
    () => createPublicKey({ key, format: 'der', type: 'pkcs1' }),
    () => new X509Certificate(key).publicKey,
  ];
  for (const way of ways) {
    try {
      return way();
    } catch {
      // It may be another of these.
    }
  }
  return undefined;
}

function fromJwk(text: string, wanted: Kind): ReadKey {
  let jwk: JsonObject;
  try {
    jwk = JSON.parse(text) as JsonObject;
  } catch {
    return { problem: 'starts like a JWK, but is not valid JSON' };
  }
  if (Array.isArray(jwk['keys'])) return { problem: 'is a set of keys; use one of them' };
  if (jwk['kty'] === 'oct') return { problem: `is a shared secret; use a ${wanted} key` };
  const isPrivate = typeof jwk['d'] === 'string';
  if (wanted === 'private' && !isPrivate) {
    return { problem: 'is a public key; use the private key, which has a `d`' };
  }
  if (wanted === 'public' && isPrivate) return WRONG_KIND.public;
  try {
    const input = { key: jwk, format: 'jwk' } as const;
    return { key: wanted === 'private' ? createPrivateKey(input) : createPublicKey(input), jwk };
  } catch {
    return DAMAGED;
  }
}

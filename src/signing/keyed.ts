import {
  constants,
  createCipheriv,
  createHmac,
  type KeyObject,
  publicEncrypt,
  sign,
  type SignKeyObjectInput,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { DerivedValue, KeyEncoding, ValueFunction } from '../providers/sign-rule.ts';
import { type KeyFunction, readKeyFor } from './keys.ts';
import { type ByteString, fillTemplate, impossible, type Lookup } from './rule-template.ts';
import type { CheckedTemplate, Scope, SignProblem } from './scope.ts';

/** The functions with a key. */
export type KeyedFunction = Exclude<ValueFunction, 'text' | 'now' | 'uuid' | 'random' | 'sha256' | 'sha512' | 'fields'>;

/** What a function makes of its input. @throws ProxyError `signature_impossible` */
export type Operation = (data: Buffer, lookup: Lookup) => Buffer | Promise<Buffer>;

type Path = SignProblem['path'];

const AES_256_KEY_BYTES = 32;
const AES_BLOCK_BYTES = 16;

/** Lets a limited number in at a time. The others wait in order. */
class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    // The next one takes over the place.
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/**
 * Enough signatures to keep the four threads of the process busy. If more were in the queue of the thread pool, DNS
 * lookups and file reads would wait behind them.
 */
const threadPool = new Places(8);

/** Reads the keys of a function. @returns undefined if there is a problem, which is reported */
export function compileKeyed(
  name: KeyedFunction,
  value: DerivedValue,
  scope: Scope,
  path: Path,
): Operation | undefined {
  switch (name) {
    case 'hmac_sha256':
    case 'hmac_sha512': {
      const hash = name.slice('hmac_'.length);
      const key = symmetricKey(name, 'key', value, scope, path);
      return key && ((data, lookup) => createHmac(hash, key(lookup)).update(data).digest());
    }
    case 'aes_256_cbc': {
      const key = symmetricKey(name, 'key', value, scope, path, AES_256_KEY_BYTES);
      const iv = symmetricKey(name, 'iv', value, scope, path, AES_BLOCK_BYTES);
      return key && iv && ((data, lookup) => aes256Cbc(data, key(lookup), iv(lookup)));
    }
    case 'rsa_encrypt':
      return withKeyObject(name, value, scope, path, (key) => rsaEncryption(key, value.padding));
    default:
      return withKeyObject(name, value, scope, path, (key) => signature(name, key, value.format));
  }
}

// Symmetric keys

/** @param size in bytes. Undefined: any but 0 */
function symmetricKey(
  name: KeyedFunction,
  option: 'key' | 'iv',
  value: DerivedValue,
  scope: Scope,
  path: Path,
  size?: number,
): ((lookup: Lookup) => Buffer) | undefined {
  const at = [...path, option];
  const { key_encoding: encoding = 'utf8' } = value;
  const checked = keyTemplate(scope, at, value[option] ?? '');
  if (checked === undefined) return undefined;
  const { template, constant } = checked;
  if (constant === undefined) {
    return (lookup) => {
      const key = decodeKey(fillTemplate(template, lookup), encoding, size);
      if ('problem' in key) throw impossible(`The \`${option}\` ${key.problem}.`);
      return key;
    };
  }
  const key = decodeKey(constant, encoding, size);
  if (!('problem' in key)) return () => key;
  const { credential } = checked;
  const use = credential === undefined ? '' : `is the \`${option}\` of \`${name}\` and `;
  scope.problem(at, `${use}${key.problem}`, ofCredential(checked));
  return undefined;
}

/** No caller may choose a key. */
function keyTemplate(scope: Scope, path: Path, text: string): CheckedTemplate | undefined {
  const checked = scope.template(path, text, true);
  if (checked === undefined || isBareName(scope, path, text)) return undefined;
  if (!checked.dependsOnRequest) return checked;
  scope.problem(path, 'must not depend on the request; use credentials, `{access_token}`, and values made of them');
  return undefined;
}

/** Reports a name without its braces: as a key, it would be the letters of the name. */
function isBareName(scope: Scope, path: Path, text: string): boolean {
  const isName = scope.isKnown(text);
  if (isName) scope.problem(path, `is the text \`${text}\` itself; write \`{${text}}\` for its value`);
  return isName;
}

function ofCredential({ credential }: CheckedTemplate): { credential?: string } {
  return credential === undefined ? {} : { credential };
}

function decodeKey(text: ByteString, encoding: KeyEncoding, size: number | undefined): Buffer | { problem: string } {
  const key = bytesOf(text, encoding);
  if (key === undefined) return { problem: `is not ${encoding}; write it so, or change \`key_encoding\`` };
  if (key.length === 0) return { problem: 'is empty; write a key' };
  const unit = encoding === 'utf8' ? '; its `key_encoding` is `utf8`' : '';
  return size === undefined || key.length === size
    ? key
    : { problem: `has ${key.length} ${key.length === 1 ? 'byte' : 'bytes'}, but needs ${size}${unit}` };
}

function bytesOf(text: ByteString, encoding: KeyEncoding): Buffer | undefined {
  switch (encoding) {
    case 'utf8':
      return Buffer.from(text, 'latin1');
    case 'hex':
      return /^(?:[0-9a-f]{2})*$/i.test(text) ? Buffer.from(text, 'hex') : undefined;
    case 'base64':
      // Also reads base64url.
      return /^[\w+/-]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined;
  }
}

function aes256Cbc(data: Buffer, key: Buffer, iv: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  return Buffer.concat([cipher.update(data), cipher.final()]);
}

// Private and public keys

function withKeyObject(
  name: KeyFunction,
  value: DerivedValue,
  scope: Scope,
  path: Path,
  operation: (key: KeyObject) => Operation,
): Operation | undefined {
  const at = [...path, 'key'];
  const checked = scope.template(at, value.key ?? '', true);
  if (checked === undefined || isBareName(scope, at, value.key ?? '')) return undefined;
  if (!checked.isConstant) {
    scope.problem(at, 'must be a credential, such as `{private_key}`');
    return undefined;
  }
  if (checked.constant === undefined) {
    return () => {
      throw impossible(`The key of \`${name}\` is missing.`);
    };
  }
  const read = readKeyFor(name, Buffer.from(checked.constant, 'latin1').toString());
  if (!('problem' in read)) return operation(read.key);
  scope.problem(at, `the key ${read.problem}`, ofCredential(checked));
  return undefined;
}

function signature(
  name: Exclude<KeyFunction, 'rsa_encrypt'>,
  key: KeyObject,
  format: DerivedValue['format'] = 'der',
): Operation {
  switch (name) {
    case 'rsa_sha256':
      return (data) => signOnThreadPool('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING });
    case 'rsa_pss_sha256':
      return (data) =>
        signOnThreadPool('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 });
    case 'ecdsa_sha256':
    case 'ecdsa_sha512': {
      const how: SignKeyObjectInput = { key, dsaEncoding: format === 'der' ? 'der' : 'ieee-p1363' };
      // On P-521 it takes as long as with RSA.
      return name === 'ecdsa_sha256'
        ? (data) => sign('sha256', data, how)
        : (data) => signOnThreadPool('sha512', data, how);
    }
    case 'ed25519':
      // It includes its own hash.
      return (data) => sign(null, data, key);
  }
}

const signInThreadPool = promisify(sign);

async function signOnThreadPool(hash: string, data: Buffer, key: SignKeyObjectInput): Promise<Buffer> {
  await threadPool.enter();
  try {
    return await signInThreadPool(hash, data, key);
  } catch {
    // The error of OpenSSL is not kept: it may quote the key.
    throw impossible('The private key cannot be used for this signature.');
  } finally {
    threadPool.leave();
  }
}

function rsaEncryption(key: KeyObject, padding: DerivedValue['padding']): Operation {
  const modulusBytes = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  // RFC 8017 7.1.1, 7.2.1.
  const [overheadBytes, options] =
    padding === 'pkcs1'
      ? [11, { padding: constants.RSA_PKCS1_PADDING }]
      : padding === 'oaep_sha1'
        ? [2 + 2 * 20, { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }]
        : [2 + 2 * 32, { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }];
  const maxBytes = modulusBytes - overheadBytes;
  return (data) => {
    if (data.length > maxBytes) {
      throw impossible(`The text to encrypt is longer than the ${maxBytes} bytes that fit the key.`);
    }
    return publicEncrypt({ key, ...options }, data);
  };
}

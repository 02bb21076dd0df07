import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { Secret } from '../../secret.ts';
import { type LifetimeSource, makeToken, type Token } from '../token.ts';

/**
 * The parts of a token that are encrypted. Replicas of several versions read it during a rolling update: do not rename
 * a field. It has no time by the clock of a replica, since these clocks may differ.
 */
interface TokenPayload {
  /** Access token. */
  readonly a: string;
  /** Refresh token. */
  readonly r?: string;
  /** Lifetime from issue to expiry, in milliseconds. */
  readonly l: number;
  /** Time of issue by the clock of the token endpoint, in epoch milliseconds, if that is known. */
  readonly d?: number;
  readonly s: LifetimeSource;
  /** Headers for API calls. */
  readonly h?: readonly (readonly [name: string, value: string])[];
  /** Token endpoints that the issuer's metadata named. */
  readonly e?: readonly string[];
}

const ALGORITHM = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Longest text that is decrypted, in characters. A token response, at most 64 KiB, always fits. */
export const MAX_ENCRYPTED_LENGTH = 256 * 1024;

/** A text that cannot be decrypted, and what is wrong with it. */
export class CipherError extends Error {
  override readonly name = 'CipherError';
}

/**
 * Encrypts what replicas share, with AES-256-GCM. The associated data says what a text belongs to. This prevents its use
 * in another place. For a token that is the name of its credential and its generation.
 */
export class TokenCipher {
  readonly #current: Key;
  readonly #byId: ReadonlyMap<string, Key>;

  /** @param keys the first encrypts, each decrypts. A key is a secret text of any length. */
  constructor(keys: readonly [Secret, ...Secret[]]) {
    const all = keys.map((secret) => keyOf(secret));
    this.#current = all[0] as Key;
    this.#byId = new Map(all.map((key) => [key.id, key]));
  }

  /** @param name of the credential */
  encrypt(token: Token, name: string, generation: number): string {
    const { accessToken, refreshToken, issuedAtMs, expiresAtMs, clockSkewMs, lifetimeSource, headers, endpoints } =
      token;
    const payload: TokenPayload = {
      a: accessToken.reveal(),
      ...(refreshToken === undefined ? {} : { r: refreshToken.reveal() }),
      l: expiresAtMs - issuedAtMs,
      ...(clockSkewMs === undefined ? {} : { d: issuedAtMs + clockSkewMs }),
      s: lifetimeSource,
      ...(headers.length === 0 ? {} : { h: headers.map(([header, value]) => [header, value.reveal()] as const) }),
      ...(endpoints === undefined ? {} : { e: endpoints }),
    };
    return this.encryptJson(payload, associatedData(name, generation));
  }

  /**
   * @param remainingMs until the token expires. The result never lives longer than the token did when it was issued.
   * @throws CipherError if the text has another key, name or generation, or was changed
   */
  decrypt(encrypted: string, name: string, generation: number, remainingMs: number, nowMs: number): Token {
    const payload = this.decryptJson(encrypted, associatedData(name, generation)) as Partial<TokenPayload>;
    return tokenOf(payload, generation, remainingMs, nowMs);
  }

  /** @param context the associated data: `decryptJson` needs the same */
  encryptJson(value: object, context: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#current.bytes, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(context));
    const parts = [iv, cipher.update(JSON.stringify(value), 'utf8'), cipher.final(), cipher.getAuthTag()];
    return `${this.#current.id}.${Buffer.concat(parts).toString('base64url')}`;
  }

  /** @throws CipherError if the text has another key or context, or was changed */
  decryptJson(encrypted: string, context: string): object {
    if (encrypted.length > MAX_ENCRYPTED_LENGTH) throw new CipherError('too long');
    const [id = '', text = ''] = encrypted.split('.', 2);
    const key = this.#byId.get(id);
    if (key === undefined) {
      const shownId = /^[0-9a-f]{8}$/.test(id) ? ` (${id})` : '';
      throw new CipherError(`encrypted with another key${shownId}`);
    }
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < IV_BYTES + TAG_BYTES) throw new CipherError('cut short');
    const decipher = createDecipheriv(ALGORITHM, key.bytes, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
      return Object(JSON.parse(plain.toString('utf8'))) as object;
    } catch {
      throw new CipherError('changed, or belongs to another credential');
    }
  }
}

interface Key {
  readonly id: string;
  readonly bytes: Buffer;
}

function keyOf(secret: Secret): Key {
  const bytes = createHash('sha256').update(`wakala token store\0${secret.reveal()}`).digest();
  return { bytes, id: createHash('sha256').update(bytes).digest('hex').slice(0, 8) };
}

function associatedData(name: string, generation: number): string {
  return `${name}\0${generation}`;
}

function tokenOf(
  { a, r, l = 0, d, s = 'default', h = [], e }: Partial<TokenPayload>,
  generation: number,
  remainingMs: number,
  nowMs: number,
): Token {
  if (typeof a !== 'string' || !(l > 0)) throw new CipherError('from another version of Wakala');
  const headers = h.map(([name, value]) => [name, new Secret(value)] as const);
  const issuedAtMs = nowMs - Math.max(0, l - remainingMs);
  return {
    ...makeToken(a, r, { lifetimeMs: l, source: s }, issuedAtMs, headers),
    generation,
    ...(Number.isFinite(d) && { clockSkewMs: Number(d) - issuedAtMs }),
    ...(e !== undefined && { endpoints: e }),
  };
}

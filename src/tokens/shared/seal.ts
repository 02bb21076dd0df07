import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { Secret } from '../../secret.ts';
import type { LifetimeSource, Token } from '../token.ts';
import { makeToken } from '../token.ts';

/** What is sealed of a token. Its times are told apart from any clock: how long it lives in all. */
interface Content {
  readonly a: string;
  readonly r?: string;
  readonly l: number;
  readonly s: LifetimeSource;
  /** Headers of API calls. */
  readonly h?: readonly (readonly [name: string, value: string])[];
}

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** A sealed token that no key here opens. */
export class SealError extends Error {
  override readonly name = 'SealError';
}

/** Seals tokens for the board: AES-256-GCM, with the board's name and the generation as associated data. */
export class Seal {
  readonly #current: Key;
  readonly #byId: ReadonlyMap<string, Key>;

  /** The first key seals; every key opens. Each is any secret text of some length. */
  constructor(keys: readonly [Secret, ...Secret[]]) {
    const all = keys.map((secret) => keyOf(secret));
    this.#current = all[0] as Key;
    this.#byId = new Map(all.map((key) => [key.id, key]));
  }

  seal(token: Token, name: string, generation: number): string {
    const { accessToken, refreshToken, issuedAtMs, expiresAtMs, lifetimeSource, headers } = token;
    const content: Content = {
      a: accessToken.reveal(),
      ...(refreshToken === undefined ? {} : { r: refreshToken.reveal() }),
      l: expiresAtMs - issuedAtMs,
      s: lifetimeSource,
      ...(headers.length === 0 ? {} : { h: headers.map(([header, value]) => [header, value.reveal()] as const) }),
    };
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.#current.bytes, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(associated(name, generation));
    const sealed = [iv, cipher.update(JSON.stringify(content), 'utf8'), cipher.final(), cipher.getAuthTag()];
    return `${this.#current.id}.${Buffer.concat(sealed).toString('base64url')}`;
  }

  /**
   * @param remainingMs how long it still lives
   * @throws SealError if it was sealed with another key, for another place, or was changed
   */
  open(sealed: string, name: string, generation: number, remainingMs: number, nowMs: number): Token {
    const [id = '', text = ''] = sealed.split('.');
    const key = this.#byId.get(id);
    if (key === undefined) throw new SealError(`it was sealed with another encryption key (${id.slice(0, 8)})`);
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < IV_BYTES + TAG_BYTES) throw new SealError('it is cut short');
    const decipher = createDecipheriv(CIPHER, key.bytes, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(associated(name, generation));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
      return tokenOf(JSON.parse(plain.toString('utf8')) as Content, generation, remainingMs, nowMs);
    } catch {
      throw new SealError('it was changed, or is of another credential');
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

function associated(name: string, generation: number): Buffer {
  return Buffer.from(`${name}\0${generation}`);
}

function tokenOf({ a, r, l, s, h = [] }: Content, generation: number, remainingMs: number, nowMs: number): Token {
  const lifetime = { lifetimeMs: l, source: s };
  const headers = h.map(([name, value]) => [name, new Secret(value)] as const);
  return { ...makeToken(a, r, lifetime, nowMs - (l - remainingMs), headers), generation };
}

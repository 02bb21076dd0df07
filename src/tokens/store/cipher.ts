import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { Secret } from '../../secret.ts';
import { type LifetimeSource, makeToken, type Token } from '../token.ts';

/** What is sealed of a token. Its times are told apart from any clock: how long it lives in all. */
interface Content {
  readonly a: string;
  readonly r?: string;
  readonly l: number;
  readonly s: LifetimeSource;
  /** Headers of API calls. */
  readonly h?: readonly (readonly [name: string, value: string])[];
  /** Token endpoints that an issuer named. */
  readonly e?: readonly string[];
}

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Longest sealed text that is opened, in characters. Nothing that a token endpoint may send (64 KiB) needs as much. */
export const MAX_ENCRYPTED_LENGTH = 256 * 1024;

/** A sealed text that no key here opens. */
export class CipherError extends Error {
  override readonly name = 'SealError';
}

/** Seals what replicas share: AES-256-GCM. Of a token, the store's name and the generation are associated data. */
export class TokenCipher {
  readonly #current: Key;
  readonly #byId: ReadonlyMap<string, Key>;

  /** The first key seals; every key opens. Each is any secret text of some length. */
  constructor(keys: readonly [Secret, ...Secret[]]) {
    const all = keys.map((secret) => keyOf(secret));
    this.#current = all[0] as Key;
    this.#byId = new Map(all.map((key) => [key.id, key]));
  }

  encrypt(token: Token, name: string, generation: number): string {
    const { accessToken, refreshToken, issuedAtMs, expiresAtMs, lifetimeSource, headers, endpoints } = token;
    const content: Content = {
      a: accessToken.reveal(),
      ...(refreshToken === undefined ? {} : { r: refreshToken.reveal() }),
      l: expiresAtMs - issuedAtMs,
      s: lifetimeSource,
      ...(headers.length === 0 ? {} : { h: headers.map(([header, value]) => [header, value.reveal()] as const) }),
      ...(endpoints === undefined ? {} : { e: endpoints }),
    };
    return this.encryptJson(content, aboutToken(name, generation));
  }

  /**
   * @param remainingMs how long it still lives; never longer than when it was issued
   * @throws SealError if it was sealed with another key, for another place, or was changed
   */
  decrypt(sealed: string, name: string, generation: number, remainingMs: number, nowMs: number): Token {
    const content = this.decryptJson(sealed, aboutToken(name, generation)) as Partial<Content>;
    return tokenOf(content, generation, remainingMs, nowMs);
  }

  /** @param about what the value belongs to: it opens with the same alone */
  encryptJson(value: object, about: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.#current.bytes, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(about));
    const sealed = [iv, cipher.update(JSON.stringify(value), 'utf8'), cipher.final(), cipher.getAuthTag()];
    return `${this.#current.id}.${Buffer.concat(sealed).toString('base64url')}`;
  }

  /** @throws SealError if it was sealed with another key, about something else, or was changed */
  decryptJson(sealed: string, about: string): object {
    if (sealed.length > MAX_ENCRYPTED_LENGTH) throw new CipherError('it is too long');
    const [id = '', text = ''] = sealed.split('.', 2);
    const key = this.#byId.get(id);
    if (key === undefined) {
      const which = /^[0-9a-f]{8}$/.test(id) ? ` (${id})` : '';
      throw new CipherError(`it was sealed with another encryption key${which}`);
    }
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < IV_BYTES + TAG_BYTES) throw new CipherError('it is cut short');
    const decipher = createDecipheriv(CIPHER, key.bytes, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(about));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
      return Object(JSON.parse(plain.toString('utf8'))) as object;
    } catch {
      throw new CipherError('it was changed, or is of another credential');
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

function aboutToken(name: string, generation: number): string {
  return `${name}\0${generation}`;
}

function tokenOf(
  { a, r, l = 0, s = 'default', h = [], e }: Partial<Content>,
  generation: number,
  remainingMs: number,
  nowMs: number,
): Token {
  if (typeof a !== 'string' || !(l > 0)) throw new CipherError('it is of another version');
  const headers = h.map(([name, value]) => [name, new Secret(value)] as const);
  const issuedAtMs = nowMs - Math.max(0, l - remainingMs);
  const token = { ...makeToken(a, r, { lifetimeMs: l, source: s }, issuedAtMs, headers), generation };
  return e === undefined ? token : { ...token, endpoints: e };
}

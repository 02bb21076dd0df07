import { type ByteString, impossible, toBytes } from './rule-template.ts';

interface Pair {
  /** As written. */
  readonly written: ByteString;
  /** Decoded. */
  readonly name: ByteString;
}

/**
 * Pairs of `name=value`, separated by `&`: a query without its question mark, or a form-encoded body
 * (https://url.spec.whatwg.org/#application/x-www-form-urlencoded). Names in arguments are ordinary strings. They are
 * compared after decoding.
 */
export class Pairs {
  readonly #text: ByteString;
  readonly #pairs: readonly Pair[];

  constructor(text: ByteString) {
    this.#text = text;
    this.#pairs = text.split('&').map((written) => ({ written, name: decoded(written.split('=', 1)[0] ?? '') }));
  }

  /**
   * In order, decoded.
   * @throws ProxyError `signature_impossible` for a name that occurs twice
   */
  get fields(): readonly { readonly name: ByteString; readonly text: ByteString }[] {
    this.#checkNames();
    const names = new Set<string>();
    return this.#pairs
      .filter(({ written }) => written !== '')
      .map(({ written, name }) => {
        const shown = /^[A-Za-z_][\w.-]{0,63}$/.test(name) ? `The field \`${name}\`` : 'A field';
        if (names.has(name)) throw impossible(`${shown} occurs twice.`);
        names.add(name);
        return { name, text: valueIn(written, shown) };
      });
  }

  /**
   * The decoded value. Undefined if there is none.
   * @throws ProxyError `signature_impossible` for a name that occurs twice
   */
  valueOf(name: string): ByteString | undefined {
    this.#checkNames();
    const wanted = toBytes(name);
    const [found, second] = this.#pairs.filter((pair) => pair.written !== '' && pair.name === wanted);
    if (second !== undefined) throw impossible(`The field \`${name}\` occurs twice.`);
    return found === undefined ? undefined : valueIn(found.written, `The field \`${name}\``);
  }

  /** Whether all of these fields are there, none of them empty. */
  hasAll(names: readonly string[]): boolean {
    return names.every((name) => {
      const wanted = toBytes(name);
      const found = this.#pairs.filter((pair) => pair.written !== '' && pair.name === wanted);
      return found.length > 0 && found.every(({ written }) => /=./s.test(written));
    });
  }

  /**
   * The text with these fields: one that exists is replaced where it stands, the others are appended. No other byte
   * changes.
   * @throws ProxyError `signature_impossible` for a name that occurs twice
   */
  withFields(fields: ReadonlyMap<string, ByteString>): ByteString {
    this.#checkNames();
    const left = new Map([...fields].map(([name, value]) => [toBytes(name), value]));
    const found = new Set<string>();
    const kept = this.#pairs.map(({ written, name }) => {
      if (written !== '' && found.has(name)) throw impossible(`The field \`${name}\` occurs twice.`);
      const value = written === '' ? undefined : left.get(name);
      if (value === undefined) return written;
      left.delete(name);
      found.add(name);
      return `${written.split('=', 1)[0] ?? ''}=${percentEncoded(value)}`;
    });
    const added = [...left].map(([name, value]) => `${percentEncoded(name)}=${percentEncoded(value)}`);
    const text = kept.join('&');
    if (added.length === 0) return text;
    return `${text}${text === '' || this.#text.endsWith('&') ? '' : '&'}${added.join('&')}`;
  }

  /** Servers that are written in C may read only what is before a NUL character, and so another name. */
  #checkNames(): void {
    if (this.#pairs.some(({ name }) => name.includes('\0'))) {
      throw impossible('The name of a field contains a NUL character.');
    }
  }
}

function valueIn(written: ByteString, shown: string): ByteString {
  const equals = written.indexOf('=');
  const value = equals < 0 ? '' : decoded(written.slice(equals + 1));
  // Servers that are written in C may read only what is before it.
  if (value.includes('\0')) throw impossible(`${shown} contains a NUL character.`);
  return value;
}

function decoded(written: ByteString): ByteString {
  return written
    .replaceAll('+', ' ')
    .replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Percent-encodes everything but the unreserved characters (RFC 3986 2.1, 2.3). */
export function percentEncoded(value: ByteString): ByteString {
  return value.replaceAll(
    /[^A-Za-z0-9\-._~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  );
}

import type { ByteString } from './template.ts';

/**
 * Pairs of `name=value`, separated by `&`: a query without its question mark, or a form-encoded body
 * (https://url.spec.whatwg.org/#application/x-www-form-urlencoded). Names are compared after decoding.
 */
export class Pairs {
  constructor(_text: ByteString) {
    throw new Error('not written yet');
  }

  /** In order, decoded. */
  get fields(): readonly { readonly name: string; readonly text: ByteString }[] {
    throw new Error('not written yet');
  }

  /**
   * The decoded value. Undefined if there is none.
   * @throws ProxyError `signature_impossible` for a name that occurs twice
   */
  valueOf(_name: string): ByteString | undefined {
    throw new Error('not written yet');
  }

  hasAll(_names: readonly string[]): boolean {
    throw new Error('not written yet');
  }

  /** The text with these fields: one that exists is replaced where it stands, the others are appended. */
  withFields(_fields: ReadonlyMap<string, ByteString>): ByteString {
    throw new Error('not written yet');
  }
}

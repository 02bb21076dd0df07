import type { ByteString } from './template.ts';

/** A member of an object. */
export interface JsonMember {
  readonly name: string;
  /** A string's value, or a number, `true`, `false` or `null` as written. Undefined for an object or an array. */
  readonly text: ByteString | undefined;
}

/**
 * A JSON object as text, so that changes keep every other byte. Names are compared after decoding: `"\u0061"` is `a`.
 */
export class JsonText {
  /** @throws ProxyError `signature_impossible` if the body is not one JSON object in UTF-8 */
  constructor(_body: ByteString) {
    throw new Error('not written yet');
  }

  /**
   * The text of the scalar at a path of keys and array indexes. Undefined if nothing is there.
   * @throws ProxyError `signature_impossible` for an object, an array or `null`, and for a member that occurs twice
   */
  scalarAt(_path: readonly string[]): ByteString | undefined {
    throw new Error('not written yet');
  }

  /**
   * The members of the object at a path, in order. Undefined if no object is there.
   * @throws ProxyError `signature_impossible` for a member that occurs twice
   */
  membersAt(_path: readonly string[]): readonly JsonMember[] | undefined {
    throw new Error('not written yet');
  }

  /** Whether the object has all of these members. */
  hasAll(_names: readonly string[]): boolean {
    throw new Error('not written yet');
  }

  /**
   * The text with these string members. One that exists is replaced where it stands; the others are inserted after the
   * last member. No other byte changes.
   * @throws ProxyError `signature_impossible` for a member that occurs twice
   */
  withMembers(_members: ReadonlyMap<string, ByteString>): ByteString {
    throw new Error('not written yet');
  }
}

/**
 * JSON without white space outside strings. An empty body stays empty.
 * @throws ProxyError `signature_impossible` if it is not JSON in UTF-8
 */
export function minified(_body: ByteString): ByteString {
  throw new Error('not written yet');
}

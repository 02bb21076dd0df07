import { isUtf8 } from 'node:buffer';
import { type ByteString, impossible, toBytes } from './rule-template.ts';

/** A member of an object. */
export interface JsonMember {
  /** Decoded. */
  readonly name: ByteString;
  /** A string's value, or a number, `true` or `false` as written. Undefined for an object, an array or `null`. */
  readonly text: ByteString | undefined;
}

/** The place of a value in the text: `start`, and `end` behind its last character. */
interface Span {
  readonly start: number;
  readonly end: number;
}

interface SpannedMember extends Span {
  /** Decoded. */
  readonly name: string;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Never happens in text that JSON.parse accepts. */
const UNFINISHED = 'a JSON value has no end';

/**
 * A JSON object as text, so that changes keep every other byte. Names in arguments are ordinary strings. They are
 * compared after decoding: `"\u0061"` is `a`. Where parsers may read different values, nothing is signed: a member that
 * occurs twice, a NUL character, half of a surrogate pair.
 */
export class JsonText {
  readonly #text: ByteString;
  readonly #root: number;
  /** The members of the objects that were read, by the position of their brace. */
  readonly #members = new Map<number, readonly SpannedMember[]>();

  /** @throws ProxyError `signature_impossible` if the body is not one JSON object in UTF-8 */
  constructor(body: ByteString) {
    if (body === '') throw impossible('The body is empty, but must be a JSON object.');
    checkJson(body);
    this.#text = body;
    this.#root = afterSpace(body, 0);
    if (body[this.#root] !== '{') throw impossible('The body is not a JSON object.');
  }

  /**
   * The text of the scalar at a path of names and array indexes. Undefined if nothing is there.
   * @throws ProxyError `signature_impossible` for an object, an array or `null`, and for a member that occurs twice
   */
  scalarAt(path: readonly string[]): ByteString | undefined {
    const found = this.#find(path);
    if (found === undefined) return undefined;
    const shown = shownPath(path);
    const text = this.#textOf(found, shown);
    if (text === undefined) throw impossible(`${shown} must be a string, a number, \`true\` or \`false\`.`);
    return text;
  }

  /**
   * The members of the object at a path, in order. Undefined if no object is there.
   * @throws ProxyError `signature_impossible` for a member that occurs twice
   */
  membersAt(path: readonly string[]): readonly JsonMember[] | undefined {
    const found = this.#find(path);
    if (found === undefined || this.#text[found.start] !== '{') return undefined;
    const members = this.#membersOf(found.start);
    const names = new Set<string>();
    return members.map((member) => {
      const { name } = member;
      const shown = shownName(name);
      if (names.has(name)) throw impossible(`${shown} occurs twice.`);
      names.add(name);
      return { name: wellFormed(name, 'The name of a member'), text: this.#textOf(member, shown) };
    });
  }

  /** Whether the object has all of these members, none of them `null` or an empty string. */
  hasAll(names: readonly string[]): boolean {
    const own = this.#membersOf(this.#root);
    return names.every((name) => {
      const found = own.filter((member) => member.name === name);
      return found.length > 0 && !found.some((member) => this.#isEmpty(member));
    });
  }

  /**
   * The text with these string members. One that exists is replaced where it stands; the others are inserted after the
   * last member. No other byte changes.
   * @throws ProxyError `signature_impossible` for a member that occurs twice
   */
  withMembers(members: ReadonlyMap<string, ByteString>): ByteString {
    const pieces: ByteString[] = [];
    let written = 0;
    const found = new Set<string>();
    const own = this.#membersOf(this.#root);
    for (const { name, start, end } of own) {
      const value = members.get(name);
      if (value === undefined) continue;
      if (found.has(name)) throw impossible(`${shownPath([name])} occurs twice.`);
      found.add(name);
      pieces.push(this.#text.slice(written, start), literal(value, name));
      written = end;
    }
    const last = own.at(-1)?.end ?? this.#root + 1;
    const added = [...members]
      .filter(([name]) => !found.has(name))
      .map(([name, value]) => `${toBytes(JSON.stringify(name))}:${literal(value, name)}`);
    const separator = own.length > 0 && added.length > 0 ? ',' : '';
    pieces.push(this.#text.slice(written, last), separator, added.join(','), this.#text.slice(last));
    return pieces.join('');
  }

  #find(path: readonly string[]): Span | undefined {
    let found: Span = { start: this.#root, end: this.#text.length };
    for (const [depth, name] of path.entries()) {
      const brace = this.#text[found.start];
      const child =
        brace === '{'
          ? this.#memberNamed(found.start, name, () => shownPath(path.slice(0, depth + 1)))
          : brace === '['
            ? this.#elementAt(found.start, name)
            : undefined;
      if (child === undefined) return undefined;
      found = child;
    }
    return found;
  }

  #memberNamed(brace: number, name: string, shown: () => string): Span | undefined {
    const [found, second] = this.#membersOf(brace).filter((member) => member.name === name);
    if (second !== undefined) throw impossible(`${shown()} occurs twice.`);
    return found;
  }

  #elementAt(bracket: number, index: string): Span | undefined {
    if (!/^(0|[1-9]\d*)$/.test(index)) return undefined;
    let start = afterSpace(this.#text, bracket + 1);
    for (let left = Number(index); this.#text[start] !== ']'; left--) {
      const end = afterValue(this.#text, start);
      if (left === 0) return { start, end };
      const next = afterSpace(this.#text, end);
      start = this.#text[next] === ',' ? afterSpace(this.#text, next + 1) : next;
    }
    return undefined;
  }

  #membersOf(brace: number): readonly SpannedMember[] {
    const known = this.#members.get(brace);
    if (known !== undefined) return known;
    const text = this.#text;
    const members: SpannedMember[] = [];
    let at = afterSpace(text, brace + 1);
    while (text[at] !== '}') {
      const colon = afterString(text, at);
      const name = decoded(text.slice(at, colon));
      const start = afterSpace(text, afterSpace(text, colon) + 1);
      const end = afterValue(text, start);
      // Parsers that are written in C may read only what is before it, and so another name.
      if (name.includes('\0')) throw impossible('The name of a member contains a NUL character.');
      members.push({ name, start, end });
      at = afterSpace(text, end);
      if (text[at] === ',') at = afterSpace(text, at + 1);
    }
    this.#members.set(brace, members);
    return members;
  }

  #isEmpty({ start, end }: Span): boolean {
    return this.#text[start] === 'n' || (this.#text[start] === '"' && end === start + 2);
  }

  /** Undefined for an object, an array or `null`, which libraries write in different ways. */
  #textOf({ start, end }: Span, shown: string): ByteString | undefined {
    const first = this.#text[start];
    if (first === '{' || first === '[' || first === 'n') return undefined;
    const written = this.#text.slice(start, end);
    if (first !== '"') return written;
    const text = decoded(written);
    if (text.includes('\0')) throw impossible(`${shown} contains a NUL character.`);
    return wellFormed(text, shown);
  }
}

/**
 * JSON without white space outside strings. An empty body stays empty.
 * @throws ProxyError `signature_impossible` if it is not JSON in UTF-8
 */
export function minified(body: ByteString): ByteString {
  if (body === '') return body;
  checkJson(body);
  const pieces: ByteString[] = [];
  let start = 0;
  for (let at = 0; at < body.length;) {
    const code = body.charCodeAt(at);
    if (code === QUOTE) {
      at = afterString(body, at);
    } else if (isSpace(code)) {
      pieces.push(body.slice(start, at));
      at = afterSpace(body, at);
      start = at;
    } else {
      at += 1;
    }
  }
  pieces.push(body.slice(start));
  return pieces.join('');
}

function checkJson(body: ByteString): void {
  const bytes = Buffer.from(body, 'latin1');
  if (!isUtf8(bytes)) throw impossible('The body is not valid UTF-8, which JSON must be.');
  const text = bytes.toString();
  if (text.startsWith('\uFEFF')) throw impossible('The body starts with a byte order mark, which JSON must not have.');
  try {
    JSON.parse(text);
  } catch {
    // The message of the error quotes the body.
    throw impossible('The body is not valid JSON.');
  }
}

/** The string of a JSON literal. */
function decoded(written: ByteString): string {
  const text = Buffer.from(written, 'latin1').toString();
  return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1);
}

/** A JSON string. */
function literal(value: ByteString, name: string): ByteString {
  const bytes = Buffer.from(value, 'latin1');
  if (!isUtf8(bytes)) throw impossible(`The value for the member \`${name}\` is not valid UTF-8.`);
  return toBytes(JSON.stringify(bytes.toString()));
}

function wellFormed(text: string, shown: string): ByteString {
  if (!text.isWellFormed()) throw impossible(`${shown} contains half of a surrogate pair.`);
  return toBytes(text);
}

/** `a.b.0`, as in a placeholder. */
function shownPath(path: readonly string[]): string {
  return path.length === 0
    ? 'The body'
    : `The member \`${path.map((name) => name.replaceAll('.', String.raw`\.`)).join('.')}\``;
}

/** The names in a body are the client's. One that is no usual name is not shown. */
export function shownName(name: string): string {
  return /^[A-Za-z_][\w.-]{0,63}$/.test(name) ? `The member \`${name}\`` : 'A member';
}

/*
 * The functions below read valid JSON. All characters that they look for are ASCII, which is never a part of a longer
 * UTF-8 sequence.
 */

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function afterSpace(text: ByteString, start: number): number {
  let at = start;
  while (isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

/** @param start at the opening quote */
function afterString(text: ByteString, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) at += 1;
  }
  throw new RangeError(UNFINISHED);
}

/** Does not call itself, so that deep nesting is no problem. */
function afterValue(text: ByteString, start: number): number {
  let at = start;
  let depth = 0;
  do {
    const char = text[at];
    if (char === undefined) throw new RangeError(UNFINISHED);
    if (char === '"') {
      at = afterString(text, at);
      continue;
    }
    if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') depth -= 1;
    else if (depth === 0) return afterLiteral(text, at);
    at += 1;
  } while (depth > 0);
  return at;
}

/** @param start at a number, `true`, `false` or `null` */
function afterLiteral(text: ByteString, start: number): number {
  let at = start;
  while (/[\w.+-]/.test(text.charAt(at))) at += 1;
  return at;
}

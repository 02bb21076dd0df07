import { isUtf8 } from 'node:buffer';
import { inspect, isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { JsonText, minified } from '../../src/signing/json-text.ts';
import { Pairs } from '../../src/signing/pairs.ts';
import { parseTemplate, placeholderText } from '../../src/signing/rule-template.ts';
import { type Chance, fuzz } from './random.ts';

type Value =
  | { readonly kind: 'string' | 'word'; readonly text: string }
  | { readonly kind: 'object'; readonly members: readonly Member[] }
  | { readonly kind: 'array'; readonly items: readonly Written[] };

/** A JSON value. */
interface Written {
  readonly text: string;
  /** Without white space. */
  readonly compact: string;
  readonly value: Value;
}

interface Member {
  readonly name: string;
  /** The name and the colon, with white space. */
  readonly before: string;
  readonly written: Written;
  readonly after: string;
}

const bytes = (text: string) => Buffer.from(text).toString('latin1');
const NAMES = ['a', 'b', 'T', 'U', 'T\\', '', 'a.b', '0', '1', 'ż', '__proto__', 'constructor', 'toString', '😀', '"'];
const WORDS = ['0', '-0', '1.00', '1e400', '-1E-7', '12345678901234567890', 'true', 'false', 'null'];
const CHARACTERS = [
  'x',
  '7',
  ' ',
  '\t',
  '\n',
  '"',
  '\\',
  '/',
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  '\u00a0',
  '\u2028',
  '\ufeff',
];
const ODD = ['\0', '\ud800', '\udc00', '\u007f', '{passkey}', '\\u0041', 'null', '__proto__', '\u0085'];

function space(chance: Chance): string {
  return chance.oneIn(3) ? chance.pick([' ', '\n', '\r\n', '\t', '  ']) : '';
}

/** A JSON string with some of its characters escaped. */
function literal(chance: Chance, text: string): string {
  const written = Array.from({ length: text.length }, (_, i) => {
    const unit = text.charAt(i);
    const hex = text.charCodeAt(i).toString(16).padStart(4, '0');
    if (chance.oneIn(5)) return `\\u${chance.oneIn(2) ? hex : hex.toUpperCase()}`;
    if (unit === '/' && chance.oneIn(2)) return String.raw`\/`;
    // Halves of a pair that stands as one character are left together.
    return /[\ud800-\udfff]/.test(unit) && text.isWellFormed() ? unit : JSON.stringify(unit).slice(1, -1);
  }).join('');
  // One half may have been escaped, which leaves the other alone.
  const whole = text.isWellFormed() && !written.isWellFormed() ? JSON.stringify(text) : `"${written}"`;
  return whole;
}

function written(chance: Chance, depth: number): Written {
  const kind = chance.below(depth > 0 ? 4 : 2);
  if (kind === 0) {
    const text = chance.pick(WORDS);
    return { text, compact: text, value: { kind: 'word', text } };
  }
  if (kind === 1) {
    const parts = chance.pickSome(chance.oneIn(4) ? ODD : [...CHARACTERS, 'ż', '😀', 'é'], 6);
    const text = parts.join('');
    const json = literal(chance, text);
    return { text: json, compact: json, value: { kind: 'string', text } };
  }
  if (kind === 2) return object(chance, depth);
  const items = Array.from({ length: chance.below(4) }, () => written(chance, depth - 1));
  const texts = items.map(({ text }) => `${space(chance)}${text}${space(chance)}`);
  return {
    text: `[${texts.length === 0 ? space(chance) : texts.join(',')}]`,
    compact: `[${items.map(({ compact }) => compact).join(',')}]`,
    value: { kind: 'array', items },
  };
}

function object(chance: Chance, depth: number): Written {
  const members = Array.from({ length: chance.below(6) }, (): Member => {
    const name = chance.oneIn(60) ? chance.pick(['T\0', '\ud800']) : chance.pick(NAMES);
    const before = `${space(chance)}${literal(chance, name)}${space(chance)}:${space(chance)}`;
    return { name, before, written: written(chance, depth - 1), after: space(chance) };
  });
  const inner = members.map(({ before, written: { text }, after }) => before + text + after).join(',');
  return {
    text: `{${members.length === 0 ? space(chance) : inner}}`,
    compact: `{${members.map(({ before, written: { compact } }) => withoutEnds(before) + compact).join(',')}}`,
    value: { kind: 'object', members },
  };
}

/** The name and the colon without the white space around them. */
function withoutEnds(before: string): string {
  return `${before.trim().slice(0, -1).trim()}:`;
}

interface Document {
  readonly start: string;
  readonly root: Written & { readonly value: { readonly kind: 'object' } };
  readonly end: string;
}

function document(chance: Chance): Document {
  const root = object(chance, 3) as Document['root'];
  return { start: space(chance), root, end: space(chance) };
}

/** Why nothing is signed. */
const REFUSED = Symbol('refused');

function outcome<T>(run: () => T): T | typeof REFUSED {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof ProxyError) || error.code !== 'signature_impossible') throw error;
    return REFUSED;
  }
}

function expectSame(what: string, got: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(got, expected)) {
    throw new Error(`${what}: ${inspect(got)}, not ${inspect(expected)}`);
  }
}

/** What `scalarAt` should find, by the tree. */
function scalarIn({ value }: Written, [name, ...rest]: readonly string[]): string | undefined | typeof REFUSED {
  if (name === undefined) {
    if (value.kind === 'word') return value.text === 'null' ? REFUSED : value.text;
    if (value.kind !== 'string' || !value.text.isWellFormed() || value.text.includes('\0')) return REFUSED;
    return bytes(value.text);
  }
  if (value.kind === 'array') {
    const item = String(Number(name)) === name ? value.items[Number(name)] : undefined;
    return item === undefined ? undefined : scalarIn(item, rest);
  }
  if (value.kind !== 'object') return undefined;
  if (value.members.some((member) => member.name.includes('\0'))) return REFUSED;
  const [member, second] = value.members.filter((each) => each.name === name);
  if (second !== undefined) return REFUSED;
  return member === undefined ? undefined : scalarIn(member.written, rest);
}

describe('a JSON object', () => {
  it('has the scalars that it was made of', async () => {
    const counts = { found: 0, none: 0, refused: 0 };
    await fuzz({
      name: 'scalars of JSON objects',
      count: 10_000,
      make: (chance) => ({ ...document(chance), paths: Array.from({ length: 8 }, () => chance.pickSome(NAMES, 3)) }),
      check: ({ start, root, end, paths }) => {
        const json = new JsonText(bytes(start + root.text + end));
        for (const path of paths) {
          const got = outcome(() => json.scalarAt(path));
          expectSame(path.join('.'), got, scalarIn(root, path));
          counts[got === REFUSED ? 'refused' : got === undefined ? 'none' : 'found'] += 1;
        }
      },
      show: ({ start, root, end }) => start + root.text + end,
    });
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(1000);
  });

  it('keeps every other byte when members are set', async () => {
    const counts = { set: 0, refused: 0 };
    await fuzz({
      name: 'members of JSON objects',
      count: 10_000,
      make: (chance) => ({
        ...document(chance),
        set: new Map(
          chance
            .pickSome(['T', 'U', 'ż', '__proto__', '"'], 3)
            .map((name) => [name, chance.pickSome([...CHARACTERS, 'ż', '😀', '\0', ...ODD.slice(3)], 4).join('')]),
        ),
      }),
      check: ({ start, root, end, set }) => {
        const { members } = root.value;
        const text = start + root.text + end;
        const names = members.map(({ name }) => name);
        const isTwice = names.some((name, i) => set.has(name) && names.indexOf(name) !== i);
        const input = new Map([...set].map(([name, value]) => [name, bytes(value)]));
        const got = outcome(() => new JsonText(bytes(text)).withMembers(input));
        if (got === REFUSED) {
          counts.refused += 1;
          if (!isTwice && !names.some((name) => name.includes('\0'))) throw new Error('refused');
          return;
        }
        counts.set += 1;
        if (isTwice) throw new Error('not refused');
        expectSame('text', got, bytes(start + expectedText(root, members, set) + end));
        const expected = JSON.parse(text) as object;
        for (const [name, value] of set) {
          Object.defineProperty(expected, name, { value, enumerable: true, writable: true, configurable: true });
        }
        expectSame('object', JSON.parse(Buffer.from(got, 'latin1').toString()), expected);
      },
      show: ({ start, root, end, set }) => `${start + root.text + end}\n${JSON.stringify([...set])}`,
    });
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(100);
  });

  it('loses only white space outside strings when it is minified', async () => {
    await fuzz({
      name: 'minified JSON',
      count: 10_000,
      make: document,
      check: ({ start, root, end }) => {
        expectSame('minified', minified(bytes(start + root.text + end)), bytes(root.compact));
      },
      show: ({ root }) => root.text,
    });
  });

  it('is read only if JSON.parse reads it, and with the same members', async () => {
    const counts = { read: 0, refused: 0 };
    const PIECES = [
      ...CHARACTERS,
      ...WORDS,
      ...ODD,
      '\ufeff',
      '//',
      '/**/',
      "'",
      'NaN',
      ',}',
      '01',
      '.5',
      '\f',
      '\v',
    ].map(bytes);
    const HOSTILE = [
      '\xff',
      '\xc0\x80',
      '\xed\xa0\x80',
      '\xf4\x90\x80\x80',
      '\xe2\x82',
      '\xa0',
      '\x85',
      '\xef\xbb\xbf',
    ];
    await fuzz({
      name: 'damaged JSON objects',
      count: 20_000,
      make: (chance) => {
        const { start, root, end } = document(chance);
        const text = bytes(start + root.text + end);
        return chance.oneIn(8) ? text : chance.mutate(text, [...PIECES, ...HOSTILE], 2);
      },
      check: (text) => {
        const parsed = parse(text);
        const json = outcome(() => new JsonText(text));
        counts[json === REFUSED ? 'refused' : 'read'] += 1;
        if ((parsed === undefined) !== (json === REFUSED)) throw new Error(json === REFUSED ? 'refused' : 'read');
        if (parsed === undefined || json === REFUSED) return;
        const members = outcome(() => json.membersAt([]));
        if (members === REFUSED || members === undefined) return;
        expectSame('names', new Set(members.map(({ name }) => name)), new Set(Object.keys(parsed).map(bytes)));
        for (const { name, text: own } of members) {
          if (own !== undefined) expectSame(name, own, parsed[Buffer.from(name, 'latin1').toString()]);
        }
      },
    });
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(1000);
  });
});

/** By hand: values replaced where they stand, the others after the last value. */
function expectedText(root: Written, members: readonly Member[], set: ReadonlyMap<string, string>): string {
  const names = new Set(members.map(({ name }) => name));
  const added = [...set].filter(([name]) => !names.has(name));
  const addedText = added.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',');
  if (members.length === 0) return `{${addedText}${root.text.slice(1)}`;
  const texts = members.map(({ name, before, written: { text }, after }, i) => {
    const value = set.get(name);
    const more = i === members.length - 1 && addedText !== '' ? `,${addedText}` : '';
    return before + (value === undefined ? text : JSON.stringify(value)) + more + after;
  });
  return `{${texts.join(',')}}`;
}

type Reviver = (this: unknown, name: string, value: unknown, context: { source?: string }) => unknown;

/** The texts of the members of a JSON object, by JSON.parse. Undefined if it is none. */
function parse(text: string): Record<string, string> | undefined {
  if (!isUtf8(Buffer.from(text, 'latin1'))) return undefined;
  const sources: Reviver = (_, value, { source }) =>
    typeof value === 'string' ? bytes(value) : source === undefined ? value : bytes(source);
  try {
    const whole = Buffer.from(text, 'latin1').toString();
    const value: unknown = JSON.parse(whole, sources as (name: string, value: unknown) => unknown);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, string>) : undefined;
  } catch {
    return undefined;
  }
}

describe('pairs', () => {
  interface Field {
    readonly writtenName: string;
    readonly name: string;
    /** With the equals sign. Undefined: there is none. */
    readonly value: string | undefined;
  }
  const FIELD_NAMES = ['a', 'b', 'T', 'U', 'a b', 'ż', '__proto__', '&', '=', '%41', '[]'];
  const VALUES = ['', '1', 'x y', 'a=b', '%', '%4', '%zz', '%41', '+', '%2B', '%00', '%C5%BC', 'ż', ';', '?', '#'];

  /** With some characters written in another way. */
  function spelled(chance: Chance, name: string): string {
    return [...Buffer.from(name)]
      .map((byte) => {
        const char = String.fromCharCode(byte);
        if (char === ' ' && chance.oneIn(2)) return '+';
        const isPlain = /[a-z0-9_[\]]/i.test(char) && !chance.oneIn(4);
        return isPlain ? char : `%${byte.toString(16).padStart(2, '0')}`;
      })
      .join('');
  }

  function fields(chance: Chance): readonly (Field | '')[] {
    return Array.from({ length: chance.below(6) }, () => {
      if (chance.oneIn(8)) return '';
      const name = chance.pick(FIELD_NAMES);
      return { writtenName: spelled(chance, name), name, value: chance.oneIn(6) ? undefined : chance.pick(VALUES) };
    });
  }

  const textOf = (list: readonly (Field | '')[]) =>
    bytes(
      list
        .map((field) => (field === '' ? '' : field.writtenName + (field.value === undefined ? '' : `=${field.value}`)))
        .join('&'),
    );

  it('are read as URLSearchParams reads them, and keep every other byte when fields are set', async () => {
    const counts = { read: 0, refused: 0, set: 0 };
    await fuzz({
      name: 'pairs',
      count: 20_000,
      make: (chance) => ({
        list: fields(chance),
        set: new Map(chance.pickSome(['T', 'U', 'a b', 'ż'], 3).map((name) => [name, chance.pick(VALUES)])),
      }),
      check: ({ list, set }) => {
        const text = textOf(list);
        // A leading `?` is a part of the name, except for URLSearchParams.
        const all = [...new URLSearchParams(`&${Buffer.from(text, 'latin1').toString()}`)];
        const read = outcome(() => new Pairs(text).fields);
        const hasTwice = new Set(all.map(([name]) => name)).size < all.length;
        const hasNul = all.some(([, value]) => value.includes('\0'));
        if ((read === REFUSED) !== (hasTwice || hasNul)) throw new Error(read === REFUSED ? 'refused' : 'read');
        counts[read === REFUSED ? 'refused' : 'read'] += 1;
        const expected = all.map(([name, value]) => ({ name: bytes(name), text: bytes(value) }));
        if (read !== REFUSED) expectSame('fields', read, expected);
        const input = new Map([...set].map(([name, value]) => [name, bytes(value)]));
        const got = outcome(() => new Pairs(text).withFields(input));
        if (got === REFUSED) return;
        counts.set += 1;
        expectSame('text', got, expectedPairs(list, set));
        for (const [name, value] of set) expectSame(name, new URLSearchParams(`&${got}`).getAll(name), [value]);
      },
      show: ({ list, set }) => `${textOf(list)}\n${JSON.stringify([...set])}`,
    });
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(1000);
  });

  const percent = (text: string) =>
    encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

  function expectedPairs(list: readonly (Field | '')[], set: ReadonlyMap<string, string>): string {
    const replaced = list.map((field) => {
      const value = field === '' ? undefined : set.get(field.name);
      return field === '' || value === undefined ? textOf([field]) : `${field.writtenName}=${percent(value)}`;
    });
    const present = new Set(list.map((field) => (field === '' ? '' : field.name)));
    const added = [...set]
      .filter(([name]) => !present.has(name))
      .map(([name, value]) => `${percent(name)}=${percent(value)}`);
    const text = replaced.join('&');
    const separator = text === '' || text.endsWith('&') || added.length === 0 ? '' : '&';
    return text + separator + added.join('&');
  }
});

describe('a template', () => {
  const PIECES = [
    '{',
    '}',
    '\\',
    '\\{',
    '{a}',
    '{json:',
    'a.b',
    '{body}',
    '?}',
    ':',
    'ż',
    '{"',
    '{1}',
    '{path:x}',
    '{foo:x}',
    '{ a}',
  ];

  it('is read again as the same from its parts, whatever its text is', async () => {
    const counts = { read: 0, refused: 0 };
    await fuzz({
      name: 'templates',
      count: 20_000,
      make: (chance) => chance.pickSome([...PIECES, chance.text(4)], 8).join(''),
      check: (text) => {
        const template = parseTemplate(text);
        counts['problem' in template ? 'refused' : 'read'] += 1;
        if ('problem' in template) return;
        const again = template.map((piece) =>
          typeof piece === 'string'
            ? Buffer.from(piece, 'latin1')
                .toString()
                .replaceAll('{', String.raw`\{`)
            : placeholderText(piece),
        );
        expectSame('template', parseTemplate(again.join('')), template);
        // No placeholder is lost in a literal text.
        const count = text.replaceAll(String.raw`\{`, '{ ').match(/\{[A-Za-z][^{}]*\}/g)?.length ?? 0;
        expectSame('placeholders', template.filter((piece) => typeof piece !== 'string').length, count);
      },
    });
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(1000);
  });
});

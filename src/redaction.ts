const REDACTED = '[redacted]';

/**
 * Shorter secrets are searched for only in the messages of a token endpoint. A value such as `test` or `sandbox` occurs
 * in ordinary headers. No provider issues tokens or keys of less than 8 characters.
 */
const MIN_LENGTH = 8;

/** Nested escapes are decoded up to this depth. */
const MAX_ROUNDS = 3;

/** HTML entities of the characters of tokens other than letters and digits. */
const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  apos: "'",
  ast: '*',
  bsol: '\\',
  colon: ':',
  comma: ',',
  commat: '@',
  dollar: '$',
  equals: '=',
  excl: '!',
  gt: '>',
  hyphen: '-',
  lowbar: '_',
  lt: '<',
  num: '#',
  percnt: '%',
  period: '.',
  plus: '+',
  quot: '"',
  semi: ';',
  sol: '/',
  verbar: '|',
};

/** `%2f`, `%u002f`, `\u002f`, `\u{2f}`, `\x2f`, `\/`, `&#x2f;`, `&#47;`, `&sol;`. Linear: no part is unbounded. */
const ESCAPE = new RegExp(
  [
    '%([0-9a-f]{2})',
    '[%\\\\]u([0-9a-f]{4})',
    '\\\\u\\{0{0,8}([0-9a-f]{1,6})\\}',
    '\\\\x([0-9a-f]{2})',
    '\\\\([^a-z0-9])',
    '&#x0{0,8}([0-9a-f]{1,6});?',
    '&#0{0,8}(\\d{1,7});?',
    `&(${Object.keys(ENTITIES).join('|')});`,
  ].join('|'),
  'gi',
);

/** A range of a text, without `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
  /** In base64, the characters around the range may hold some bits of the secret. */
  readonly isBase64: boolean;
}

/** A text with decoded escapes. `starts[i]`: index of its character `i` in the original. */
interface Unescaped {
  readonly text: string;
  readonly starts: readonly number[];
}

/** Finds and removes a set of secrets. */
export interface SecretSearch {
  /** Whether a secret is in the text. */
  isIn(text: string): boolean;
  /** Replaces each secret in the text. */
  redact(text: string): string;
  /**
   * Removes the header lines that contain a secret or, together with other lines, a part of one.
   * @param list names and values, alternating
   * @returns the same list if no line is removed
   */
  cleanHeaders(list: string[]): string[];
}

/**
 * Finds secrets in a text in these encodings: literal, percent-encoded, escaped as in JSON or HTML, hex, base64 and
 * base64url, alone or within a longer encoded text, and escapes of these. This guards against providers that echo
 * requests, not against a provider that hides a secret on purpose. Created once for a set of secrets.
 */
export class Redaction implements SecretSearch {
  readonly #literals: readonly string[];
  /** Substrings of the base64 of any text that contains a secret, in the alphabet with `+` and `/`. */
  readonly #base64: readonly string[];
  /** Lower case. */
  readonly #hex: readonly string[];
  readonly #filter: Filter | undefined;

  readonly #minPart: number;

  /**
   * @param minLength shorter secrets are ignored
   * @param minPart also find the first `minPart` characters of a secret, because the text may be truncated
   */
  constructor(secrets: Iterable<string>, minLength = MIN_LENGTH, minPart = Infinity) {
    this.#minPart = minPart;
    const known = [...new Set(secrets)].filter((secret) => secret.length >= minLength);
    const long = known.filter((secret) => secret.length >= MIN_LENGTH);
    this.#literals = [...new Set(known.flatMap(literalsOf))].filter((text) => text.length >= minLength);
    this.#base64 = long.flatMap(base64Of);
    this.#hex = long.map((secret) => Buffer.from(secret).toString('hex'));
    if (known.length > long.length) return;
    const base64url = this.#base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
    this.#filter = new Filter([...new Set([...this.#literals, ...this.#base64, ...base64url, ...this.#hex])]);
  }

  isIn(text: string): boolean {
    return this.#mayBeIn(text) && this.#rangesIn(text).length > 0;
  }

  redact(text: string): string {
    if (!this.#mayBeIn(text)) return text;
    let redacted = '';
    let at = 0;
    const ranges = this.#rangesIn(text).map((range) => (range.isBase64 ? wholeRun(text, range) : range));
    for (const { start, end } of ranges.sort((a, b) => a.start - b.start)) {
      if (start >= at) redacted += text.slice(at, start) + REDACTED;
      at = Math.max(at, end);
    }
    return redacted + text.slice(at);
  }

  cleanHeaders(list: string[]): string[] {
    const filter = this.#filter;
    let isEscaped = false;
    for (const text of list) {
      if (filter === undefined || filter.passes(text)) return this.#sifted(list);
      if (!isEscaped) isEscaped = filter.hasEscape(text);
    }
    return isEscaped && [namesIn, valuesIn].some((of) => this.#mayBeIn(of(list).join(''))) ? this.#sifted(list) : list;
  }

  #sifted(list: readonly string[]): string[] {
    const dropped = new Set([...this.#holding(namesIn(list)), ...this.#holding(valuesIn(list))]);
    return list.filter((_, i) => !dropped.has(Math.floor(i / 2)));
  }

  /** Indexes of the texts that contain a secret or a part of one. */
  #holding(texts: readonly string[]): number[] {
    const ranges = this.#rangesIn(texts.join(''));
    let end = 0;
    return texts.flatMap((text, i) => {
      const start = end;
      end += text.length;
      return ranges.some((range) => range.start < end && range.end > start) ? [i] : [];
    });
  }

  /** Fast check: false for most texts without a secret. */
  #mayBeIn(text: string): boolean {
    const filter = this.#filter;
    if (filter === undefined || filter.passes(text)) return true;
    if (!filter.hasEscape(text)) return false;
    for (const plain of withoutEscapes(text)) {
      if (filter.passes(plain)) return true;
    }
    return false;
  }

  #rangesIn(text: string): Range[] {
    const ranges = this.#unescapedRangesIn(text);
    let inner = unescaped(text);
    for (let round = 1; inner !== undefined && round <= MAX_ROUNDS; round++) {
      const { starts } = inner;
      for (const { start, end, isBase64 } of this.#unescapedRangesIn(inner.text)) {
        ranges.push({ start: starts[start] ?? 0, end: starts[end] ?? text.length, isBase64 });
      }
      inner = unescaped(inner.text, starts);
    }
    return ranges;
  }

  #unescapedRangesIn(text: string): Range[] {
    const lower = text.replace(/[A-F]+/g, (letters) => letters.toLowerCase());
    const base64 = text.replaceAll('-', '+').replaceAll('_', '/');
    return [
      ...rangesOfPrefixes(text, this.#literals, this.#minPart),
      ...rangesOf(lower, this.#hex),
      ...rangesOf(base64, this.#base64, true),
    ];
  }
}

/** A longer secret is cut: neither the headers nor the kept body of a response can hold more of it. */
const MAX_COMPUTED_LENGTH = 16 * 1024;

/**
 * Finds the secrets of a route and those that were computed for one request.
 *
 * The search for computed secrets is used for one response and, rarely, in the inspector, and a `Redaction` takes longer
 * to create than an HMAC. So a filter comes first that knows a few characters of each secret in each encoding. Only if
 * it passes a text, the whole secrets are searched for.
 */
export class RequestRedaction implements SecretSearch {
  readonly #known: SecretSearch;
  /** Byte strings. */
  readonly #computed: readonly string[];
  #filter: Filter | undefined;
  #redaction: Redaction | undefined;

  /** @param computed byte strings */
  constructor(known: SecretSearch, computed: readonly string[]) {
    this.#known = known;
    this.#computed = computed.filter(({ length }) => length >= MIN_LENGTH).map(shortened);
  }

  isIn(text: string): boolean {
    return this.#known.isIn(text) || (this.#mayBeIn(text) && this.#search().isIn(text));
  }

  redact(text: string): string {
    // A computed text may contain a known secret. Once that is replaced, the rest would no longer be found.
    return this.#known.redact(this.#mayBeIn(text) ? this.#search().redact(text) : text);
  }

  cleanHeaders(list: string[]): string[] {
    const kept = this.#known.cleanHeaders(list);
    return [namesIn, valuesIn].some((of) => this.#mayBeIn(of(kept).join('')))
      ? this.#search().cleanHeaders(kept)
      : kept;
  }

  #mayBeIn(text: string): boolean {
    if (this.#redaction !== undefined) return true;
    if (this.#computed.length === 0) return false;
    const filter = (this.#filter ??= this.#makeFilter());
    // There is no filter for a secret without a sample.
    if (filter === undefined || filter.passes(text)) return true;
    return filter.hasEscape(text) && [...withoutEscapes(text)].some((plain) => filter.passes(plain));
  }

  #makeFilter(): Filter | undefined {
    const samples = this.#computed.map(samplesOf);
    return samples.some(({ length }) => length === 0) ? undefined : new Filter(samples.flat());
  }

  #search(): Redaction {
    return (this.#redaction ??= new Redaction(this.#computed.map(textOfBytes)));
  }
}

/** The copy does not keep the rest of a long text in memory. */
function shortened(secret: string): string {
  if (secret.length <= MAX_COMPUTED_LENGTH) return secret;
  return Buffer.from(secret.slice(0, MAX_COMPUTED_LENGTH), 'latin1').toString('latin1');
}

/** Bytes of UTF-8 as text. Other bytes stay one character each. */
function textOfBytes(bytes: string): string {
  if (!/[\x80-\xff]/.test(bytes)) return bytes;
  const text = Buffer.from(bytes, 'latin1').toString();
  return text.includes('\ufffd') ? bytes : text;
}

/**
 * Four characters of the secret in each encoding. They are from the middle, where a text is least like others, and have
 * nothing that is written in more than one way.
 */
function samplesOf(secret: string): string[] {
  const middle = secret.slice((secret.length - 5) >> 1);
  const sample = (/[\w+=:;,.|~/-]{5}/.exec(middle) ?? /[\w+=:;,.|~/-]{5}/.exec(secret))?.[0];
  if (sample === undefined) return [];
  const base64 = [0, 1, 2].map((at) => btoa(sample.slice(at, at + 3)));
  const base64url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [sample.slice(0, 4), Buffer.from(sample.slice(0, 2)).toString('hex'), ...base64, ...base64url];
}

function namesIn(list: readonly string[]): string[] {
  return list.filter((_, i) => i % 2 === 0);
}

function valuesIn(list: readonly string[]): string[] {
  return list.filter((_, i) => i % 2 === 1);
}

function rangesOf(text: string, patterns: readonly string[], isBase64 = false): Range[] {
  const ranges: Range[] = [];
  for (const pattern of patterns) {
    for (let start = text.indexOf(pattern); start !== -1; start = text.indexOf(pattern, start + pattern.length)) {
      ranges.push({ start, end: start + pattern.length, isBase64 });
    }
  }
  return ranges;
}

/** Also finds the first `minPart` characters of a pattern. */
function rangesOfPrefixes(text: string, patterns: readonly string[], minPart: number): Range[] {
  if (minPart === Infinity) return rangesOf(text, patterns);
  const ranges: Range[] = [];
  for (const pattern of patterns) {
    const part = pattern.slice(0, minPart);
    let end = 0;
    for (let start = text.indexOf(part); start !== -1; start = text.indexOf(part, end)) {
      end = start + part.length;
      while (end - start < pattern.length && text[end] === pattern[end - start]) end += 1;
      ranges.push({ start, end, isBase64: false });
    }
  }
  return ranges;
}

/** The whole base64 text around a range. */
function wholeRun(text: string, { start, end, isBase64 }: Range): Range {
  const isPart = (at: number) => /[A-Za-z0-9+/=_%-]/.test(text.charAt(at));
  let [from, to] = [start, end];
  while (isPart(from - 1)) from -= 1;
  while (isPart(to)) to += 1;
  return { start: from, end: to, isBase64 };
}

/**
 * Node reads header values as latin1, and forms encode a space as `+`. If a secret contains something like an escape,
 * the search decodes it in the text, so its decoded form is searched for too.
 */
function literalsOf(secret: string): string[] {
  if (/^[\w+/=.:-]*$/.test(secret)) return [secret];
  const bytes = Buffer.from(secret).toString('latin1');
  const written = [secret, bytes, secret.replaceAll(' ', '+'), bytes.replaceAll(' ', '+')];
  return written.flatMap((text) => [text, ...withoutEscapes(text)]);
}

/** The text with one layer of escapes decoded, then with two and so on. */
function* withoutEscapes(text: string): Generator<string> {
  let plain = text;
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    const escaped = plain;
    plain = escaped.replace(ESCAPE, (...match: string[]) => characterOf(match));
    if (plain === escaped) return;
    yield plain;
  }
}

/** The base64 characters that depend only on the secret, for each of its three alignments. */
function base64Of(secret: string): string[] {
  return [0, 1, 2].map((before) => {
    const bytes = Buffer.from(`${'x'.repeat(before)}${secret}`);
    const [first, last] = [Math.ceil((before * 8) / 6), Math.floor((bytes.length * 8) / 6)];
    return bytes.toString('base64').slice(first, last);
  });
}

/** Decodes one layer of escapes. `starts`: positions of the text's own characters. Undefined if there are no escapes. */
function unescaped(text: string, starts?: readonly number[]): Unescaped | undefined {
  let plain = '';
  const plainStarts: number[] = [];
  let at = 0;
  const copy = (end: number) => {
    plain += text.slice(at, end);
    for (let i = at; i < end; i++) plainStarts.push(starts?.[i] ?? i);
  };
  for (const match of text.matchAll(ESCAPE)) {
    copy(match.index);
    at = match.index + match[0].length;
    const character = characterOf(match);
    plain += character;
    for (let i = 0; i < character.length; i++) plainStarts.push(starts?.[match.index] ?? match.index);
  }
  if (at === 0) return undefined;
  copy(text.length);
  plainStarts.push(starts?.[text.length] ?? text.length);
  return { text: plain, starts: plainStarts };
}

/** @param match of `ESCAPE`, with its groups */
function characterOf(match: readonly (string | undefined)[]): string {
  const [whole = '', percent, unit, codePoint, byte, itself, hex, decimal, entity] = match;
  if (itself !== undefined) return itself;
  if (entity !== undefined) return ENTITIES[entity.toLowerCase()] ?? whole;
  const code = parseInt(percent ?? unit ?? codePoint ?? byte ?? hex ?? decimal ?? '', decimal === undefined ? 16 : 10);
  return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
}

/** Characters per comparison. */
const GRAM = 4;

/** Largest part of each pattern that the filter knows. */
const MAX_WINDOW = 32;

/**
 * A fast filter: passes every text that contains a pattern or a part of a split one, and few others. It compares
 * sequences of four characters at intervals. Wherever a pattern is in a text, one of them is near its beginning.
 */
class Filter {
  /** Length of the shortest pattern. */
  readonly #window: number;
  /** A hash table with open addressing; 0: empty. */
  readonly #grams: Int32Array;

  constructor(patterns: readonly string[]) {
    this.#window = patterns.reduce((shortest, { length }) => Math.min(shortest, length), MAX_WINDOW);
    this.#grams = new Int32Array(2 ** Math.ceil(Math.log2(4 * patterns.length * this.#window + 1)));
    for (const pattern of patterns) {
      const end = Math.min(this.#window, pattern.length - GRAM + 1);
      for (let at = 0; at < end; at++) this.#add(gramAt(pattern, at));
    }
  }

  /**
   * False only if the text contains no pattern and no part of a split one. (It may be false if all parts of a split
   * pattern have less than four characters.)
   */
  passes(text: string): boolean {
    const last = text.length - GRAM;
    if (last < 0) return false;
    const grams = this.#grams;
    const mask = grams.length - 1;
    const stride = this.#window - GRAM + 1;
    for (let at = 0; ; at = Math.min(at + stride, last)) {
      const gram = gramAt(text, at);
      let slot = hash(gram) & mask;
      for (let there = grams[slot]; there !== 0; there = grams[slot]) {
        if (there === gram) return true;
        slot = (slot + 1) & mask;
      }
      if (at === last) return false;
    }
  }

  /** Whether the text may contain an escaped pattern, or half of one. */
  hasEscape(text: string): boolean {
    return 2 * text.length > this.#window && /[%&\\]/.test(text);
  }

  #add(gram: number): void {
    const mask = this.#grams.length - 1;
    let slot = hash(gram) & mask;
    while (this.#grams[slot] !== 0) slot = (slot + 1) & mask;
    this.#grams[slot] = gram;
  }
}

function hash(gram: number): number {
  return Math.imul(gram, 0x9e3779b1) >>> 12;
}

/** 7 bits per character, ignoring case; never 0. */
function gramAt(text: string, at: number): number {
  return (
    ((text.charCodeAt(at) & 127) << 21) |
    ((text.charCodeAt(at + 1) & 127) << 14) |
    ((text.charCodeAt(at + 2) & 127) << 7) |
    (text.charCodeAt(at + 3) & 127) |
    0x4081020
  );
}

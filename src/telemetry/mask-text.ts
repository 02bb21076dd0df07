/** A text without its escapes, and the positions of its characters in the original. */
interface Unescaped {
  readonly text: string;
  /** Index in the original of each character, and of the end; undefined if the text has no escapes. */
  readonly starts: Int32Array | undefined;
}

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;

/** Characters per call of `String.fromCharCode`. */
const CHUNK = 8192;

/**
 * Decodes percent escapes, also repeated ones, and the `\u` escapes of JSON strings. A decoded character may complete
 * another escape, so each escape is decoded on a stack as soon as it is complete. This takes one pass.
 */
export function unescaped(original: string): Unescaped {
  if (!/%|\\u/.test(original)) return { text: original, starts: undefined };
  const { length } = original;
  const codes = new Uint16Array(length);
  const starts = new Int32Array(length + 1);
  let top = 0;
  for (let i = 0; i < length; i++) {
    codes[top] = original.charCodeAt(i);
    starts[top] = i;
    top += 1;
    for (let size = escapeAtEnd(codes, top); size > 0; size = escapeAtEnd(codes, top)) {
      const code = hexValue(codes, size === 3 ? top - 2 : top - 4, top);
      top -= size;
      codes[top] = code;
      top += 1;
    }
  }
  starts[top] = length;
  return { text: textOf(codes.subarray(0, top)), starts };
}

/** Length of the escape that ends at `top`; 0 if there is none. */
function escapeAtEnd(codes: Uint16Array, top: number): number {
  if (!isHex(codes[top - 1]) || !isHex(codes[top - 2])) return 0;
  if (codes[top - 3] === PERCENT) return 3;
  const isUnicode = codes[top - 6] === BACKSLASH && codes[top - 5] === LOWER_U;
  return isUnicode && isHex(codes[top - 3]) && isHex(codes[top - 4]) ? 6 : 0;
}

function isHex(code = 0): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

function hexValue(codes: Uint16Array, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) {
    const code = codes[i] ?? 0;
    value = value * 16 + (code <= 0x39 ? code - 0x30 : (code & 0xdf) - 0x37);
  }
  return value;
}

function textOf(codes: Uint16Array): string {
  let text = '';
  for (let i = 0; i < codes.length; i += CHUNK) text += String.fromCharCode(...codes.subarray(i, i + CHUNK));
  return text;
}

/** Replaces a hidden value. */
export const HIDDEN = '[redacted]';

/** Marks the end of a truncated text. */
export const CUT = '[cut]';

/** A part of an unescaped text. */
interface Range {
  readonly from: number;
  readonly to: number;
}

interface ReplacedRange extends Range {
  readonly replacement: string;
}

/** A word of this length that is not a UUID may be a token. Characters. */
const OPAQUE_LENGTH = 32;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether a text may be a token: it is long and not a UUID. */
export function isOpaque(text: string): boolean {
  return text.length >= OPAQUE_LENGTH && !UUID.test(text);
}

const SECRET_NAME =
  /pass|pwd|secret|token|credential|signature|bearer|cookie|session|ticket|card|(?:api|access|private|consumer|client|subscription|encryption)_?key|(?:verification|security|access)_?code|track_?[12d]|^auth|^key$|(?:pin|otp|cvc|cvv|cvn|csc)2?(?:_|$)|(?:^|_)(?:pan|sid|jwt|sig|hmac)(?:_|$)/;

/** Whether a field with this name has a secret value: `pin`, `newPIN`, `card[cvc2]`, `x-api-key`. */
export function isSecretName(name: string): boolean {
  const snake = name.replace(/([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, '$1$3_$2').replace(/[^A-Za-z0-9]+/g, '_');
  return SECRET_NAME.test(snake.toLowerCase());
}

interface MaskOptions {
  /** The text is the beginning of a longer one. Its last word may be part of a number and is left out. */
  readonly isCut?: boolean;
  /** Long words are shown, because ids are not sensitive here. */
  readonly keepsWords?: boolean;
}

/**
 * Hides the values of secret fields, tokens, and phone and card numbers in a text, also if they are escaped as in a URL
 * or in JSON. Takes time linear in the length.
 */
export function maskedText(original: string, { isCut = false, keepsWords = false }: MaskOptions = {}): string {
  const end = isCut ? startOfLastWord(original) : original.length;
  const plain = unescaped(original);
  const ranges: ReplacedRange[] = [];
  // These checks are cheap, and most texts need none of the searches.
  if (/[=:>]/.test(plain.text)) findNamedValues(plain, ranges);
  if (/:\/\/|bearer|basic/i.test(plain.text)) findCredentials(plain.text, ranges);
  if (!keepsWords && plain.text.length >= MIN_WORD_LENGTH) findWords(plain.text, ranges);
  if (/\d{3}/.test(plain.text)) findNumbers(plain.text, ranges);
  const shown = ranges.length === 0 ? original.slice(0, end) : withRanges(original, plain, ranges, end);
  return isCut ? shown + CUT : shown;
}

function startOfLastWord(text: string): number {
  let start = text.length;
  while (start > 0 && !/[\s"'<>(){}[\],;&]/.test(text.charAt(start - 1))) start -= 1;
  return start;
}

/** The original up to `end`, with the ranges replaced. */
function withRanges(original: string, { starts }: Unescaped, ranges: ReplacedRange[], end: number): string {
  const startOf = (index: number) => (starts === undefined ? index : (starts[index] ?? original.length));
  let shown = '';
  let done = 0;
  for (const range of ranges.sort((a, b) => a.from - b.from || b.to - a.to)) {
    const from = startOf(range.from);
    const to = startOf(range.to);
    if (from >= end) break;
    if (to <= done) continue;
    // An overlapping range is hidden together with the one before.
    if (from >= done) shown += original.slice(done, from) + range.replacement;
    done = to;
  }
  return shown + original.slice(done, Math.max(done, end));
}

/** Separates a name from its value: `": "`, `=`, `\":`, `]=`, `>`. */
const SEPARATOR = /[\\"'\]]{0,8}\s*(?:[:=]>?|>)\s*/y;

/** Finds the values of fields with secret names, in JSON, forms, XML and similar formats. */
function findNamedValues(plain: Unescaped, ranges: ReplacedRange[]): void {
  const { text } = plain;
  const names = /[\w-]+/g;
  for (let found = names.exec(text); found !== null; found = names.exec(text)) {
    const value = valueAfter(plain, found.index, names.lastIndex);
    if (value === undefined) continue;
    if (value.to > value.from) ranges.push({ ...value, replacement: HIDDEN });
    names.lastIndex = Math.max(names.lastIndex, value.to);
  }
}

/** The value of the field whose name is at `from`; undefined if it is not a secret field. */
function valueAfter(plain: Unescaped, from: number, to: number): Range | undefined {
  const { text } = plain;
  SEPARATOR.lastIndex = to;
  const [separator] = SEPARATOR.exec(text) ?? [];
  const name = text.slice(from, to);
  if (separator === undefined) return isTagName(text, from) && isSecretName(name) ? elementAfter(text, to) : undefined;
  const start = to + separator.length;
  if (name.toLowerCase() === 'name') return partAfter(plain, start);
  if (!isSecretName(name)) return undefined;
  if (separator.trimEnd().endsWith('>') && !/[:=]/.test(separator))
    return { from: start, to: endAt(text, start, /</g) };
  return valueAt(plain, start, separator.includes(':'));
}

function valueAt(plain: Unescaped, start: number, isProse: boolean): Range {
  const { text } = plain;
  const quote = /\\{0,8}["']/y;
  quote.lastIndex = start;
  const [opening] = quote.exec(text) ?? [];
  if (opening !== undefined) {
    const from = start + opening.length;
    return { from, to: closingQuote(plain, from - 1) };
  }
  const first = text[start];
  if (first === '{' || first === '[') return { from: start, to: closingBracket(plain, start) };
  return { from: start, to: endAt(text, start, isProse ? /[\r\n&,;<>{}\]"']/g : /[\s&,;<>{}\]"']/g) };
}

/** Index of the first match from `start` on, or the end of the text. */
function endAt(text: string, start: number, pattern: RegExp): number {
  pattern.lastIndex = start;
  return pattern.exec(text)?.index ?? text.length;
}

/** Index of the quote, escaped in the same way, that closes the string opened at `open`. */
function closingQuote({ text, starts }: Unescaped, open: number): number {
  const rawLength = (index: number) => (starts === undefined ? 1 : (starts[index + 1] ?? 0) - (starts[index] ?? 0));
  const backslashes = (index: number) => {
    let count = 0;
    while (text[index - 1 - count] === '\\') count += 1;
    return count;
  };
  const [escape, length] = [backslashes(open), rawLength(open)];
  const mark = text[open] ?? '';
  for (let at = text.indexOf(mark, open + 1); at !== -1; at = text.indexOf(mark, at + 1)) {
    const before = backslashes(at);
    // In an unescaped string, an even number of backslashes does not escape the quote.
    const isClosing = before === escape || (escape === 0 && before % 2 === 0);
    if (isClosing && rawLength(at) === length) return at - Math.min(before, escape);
  }
  return text.length;
}

/** Index after the bracket that closes the one at `open`, or the end of the text. */
function closingBracket(plain: Unescaped, open: number): number {
  const { text } = plain;
  let depth = 0;
  const marks = /["{}[\]]/g;
  marks.lastIndex = open;
  for (let found = marks.exec(text); found !== null; found = marks.exec(text)) {
    if (found[0] === '"') marks.lastIndex = closingQuote(plain, found.index) + 1;
    else if (found[0] === '{' || found[0] === '[') depth += 1;
    else depth -= 1;
    if (depth === 0) return found.index + 1;
    if (marks.lastIndex > text.length) break;
  }
  return text.length;
}

/** Whether the name at `from` is that of an XML element, with or without a prefix. */
function isTagName(text: string, from: number): boolean {
  return text[from - 1] === '<' || text[from - 1] === ':';
}

/** The content of an XML element whose start tag has attributes. */
function elementAfter(text: string, start: number): Range | undefined {
  const end = endAt(text, start, /[<>]/g);
  return text[end] === '>' ? { from: end + 1, to: endAt(text, end + 1, /</g) } : undefined;
}

/** Characters of a part's head that are searched. */
const MAX_PART_HEAD = 1024;

/** The content of a `multipart/form-data` part with a secret name. `start`: index of the name's opening quote. */
function partAfter(plain: Unescaped, start: number): Range | undefined {
  const { text } = plain;
  if (text[start] !== '"') return undefined;
  const head = text.slice(start + 1, start + 1 + MAX_PART_HEAD);
  const [name = ''] = head.split('"', 1);
  const blank = isSecretName(name) ? /\r?\n\r?\n/.exec(head) : null;
  if (blank === null) return undefined;
  const from = start + 1 + blank.index + blank[0].length;
  return { from, to: endAt(text, from, /\r?\n--/g) };
}

/** Finds credentials after the name of their scheme (RFC 6750, RFC 7617) and in URLs (RFC 3986 3.2.1). */
function findCredentials(text: string, ranges: ReplacedRange[]): void {
  const behindScheme = /\b(?:bearer[\s:+]+|basic[\s:+]+(?=[\w+/=-]{8}))[^\s"'<>&,;:+][^\s"'<>&,;]*/gi;
  for (const { 0: found, index } of text.matchAll(behindScheme)) {
    const [scheme = ''] = /^[a-z]+[\s:+]+/i.exec(found) ?? [];
    ranges.push({ from: index + scheme.length, to: index + found.length, replacement: HIDDEN });
  }
  for (const { 0: found, index } of text.matchAll(/:\/\/[^\s/?#"'<>@]+(?=@)/g)) {
    ranges.push({ from: index + 3, to: index + found.length, replacement: HIDDEN });
  }
}

/** Smallest length of a word that may be JSON in base64. */
const MIN_WORD_LENGTH = 12;

/** Finds words that are as long as tokens, or that are JSON in base64. */
function findWords(text: string, ranges: ReplacedRange[]): void {
  for (const { 0: word, index } of text.matchAll(/[^\s"'`<>(){}[\],;:&?|\\=@]{12,}/g)) {
    const json = BASE64_JSON.exec(word);
    if (json !== null) ranges.push({ from: index + json.index, to: index + word.length, replacement: HIDDEN });
    else if (isPath(word, text[index - 1])) findSegments(word, index, ranges);
    else if (isOpaque(word)) ranges.push({ from: index, to: index + word.length, replacement: HIDDEN });
  }
}

/** The base64 of `{"`, `[{` and similar beginnings of JSON, with or without white space. */
const BASE64_JSON = /(?<![^/])(?:ey[A-DI-L]|ew[k-r0-3]|W3[s-v]|Wy[I-L])[\w+/-]{9,}/;

/** Whether a word is a path or a URL without its scheme, and not base64, which may contain slashes. */
function isPath(word: string, before: string | undefined): boolean {
  if (before === '@') return true;
  if (before === ':') return word.startsWith('//');
  return word.startsWith('/') && !(/[a-z]/.test(word) && /[A-Z]/.test(word) && /\d/.test(word));
}

/** Finds long segments of a path. The host of a URL is not a segment. */
function findSegments(word: string, index: number, ranges: ReplacedRange[]): void {
  const segments = word.split('/');
  const host = word.startsWith('//') ? 2 : word.startsWith('/') ? -1 : 0;
  let from = index;
  for (const [i, segment] of segments.entries()) {
    if (i !== host && isOpaque(segment)) ranges.push({ from, to: from + segment.length, replacement: HIDDEN });
    from += segment.length + 1;
  }
}

/**
 * A UUID, which is not hidden, or a possible number of a phone (E.164: up to 15 digits) or a card (ISO/IEC 7812: up to
 * 19 digits). Digits may be in groups: `4111 1111 1111 1111`, `3782-822463-10005`, `+254 712 345 678`.
 */
const NUMBER = new RegExp(
  [
    '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}',
    '\\d{9,}',
    '(?<!\\d)(?:\\d{4}S\\d{6}S\\d{4,5}|0\\d{2,3}S\\d{6,7}|\\d{1,4}(?:S\\d{3,4}){2,5}(?:S\\d{1,4})?)(?!\\d)',
  ]
    .join('|')
    .replaceAll('S', '[ +\\u00a0\\u2010-\\u2015-]{1,3}'),
  'gi',
);

const MIN_DIGITS = 9;

/** Hides numbers except their first three and last two digits. */
function findNumbers(text: string, ranges: ReplacedRange[]): void {
  for (const { 0: found, index } of text.matchAll(NUMBER)) {
    if (UUID.test(found)) continue;
    const digits = found.replace(/\D+/g, '');
    if (digits.length < MIN_DIGITS) continue;
    const shown = `${digits.slice(0, 3)}•••${digits.slice(-2)}`;
    ranges.push({ from: index, to: index + found.length, replacement: shown });
  }
}

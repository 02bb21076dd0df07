import { decodeBeginning } from '../http/content-decoding.ts';
import { UNMASKED_HEADERS } from '../http/header-list.ts';
import { CUT, HIDDEN, isOpaque, isSecretName, maskedText, unescaped } from './mask-text.ts';

/** Largest shown part of a path, a query and a header value. Characters. */
const MAX_SHOWN_LENGTH = 512;

/** Largest number of shown header lines of a message. */
const MAX_HEADER_LINES = 200;

/** Largest part of a body that is shown. */
const MAX_BODY_BYTES = 64 * 1024;

/** Largest part of a body that is decoded and searched for secrets. A secret may end behind the part that is shown. */
const MAX_DECODED_BYTES = 1024 * 1024;

/** JSON below this depth is not shown, because its indentation would be much longer than the body. */
const MAX_DEPTH = 64;

/** Header lines with the values hidden, except those of headers that are not sensitive. */
export function maskedHeaders(list: readonly string[]): [name: string, value: string][] {
  const masked: [string, string][] = [];
  for (let i = 0; i < Math.min(list.length, MAX_HEADER_LINES * 2); i += 2) {
    const name = list[i] ?? '';
    masked.push([cut(name), UNMASKED_HEADERS.has(name.toLowerCase()) ? maskedValue(list[i + 1] ?? '') : HIDDEN]);
  }
  const more = list.length / 2 - masked.length;
  if (more > 0) masked.push([CUT, `${more} more lines`]);
  return masked;
}

/** Long ids are shown, because requests are found by them. URLs may contain tokens. */
function maskedValue(value: string): string {
  const isCut = value.length > MAX_SHOWN_LENGTH;
  return maskedText(value.slice(0, MAX_SHOWN_LENGTH), { isCut, keepsWords: !value.includes('://') });
}

function cut(text: string): string {
  return text.length > MAX_SHOWN_LENGTH ? text.slice(0, MAX_SHOWN_LENGTH) + CUT : text;
}

/** Matches every path in which `maskedText` or `isOpaque` can find something. */
const SUSPECT = /[%=:@\\+<>;]|\d{3}[-\d]|[^/]{32}|ey[A-DI-L]|ew[k-r0-3]|W3[s-v]|Wy[I-L]/;

/** Hides possible tokens and phone and card numbers in a path. At most 512 characters are shown. */
export function maskedPath(path: string): string {
  if (path.length <= MAX_SHOWN_LENGTH && !SUSPECT.test(path)) return path;
  return masked(path, '/', (segment) => (isOpaque(unescaped(segment).text) ? HIDDEN : maskedText(segment)));
}

/** Masks a path that may be a token path: long segments are hidden. */
export function maskedUnknownPath(path: string): string {
  return masked(path, '/', (segment) => (segment.length >= 16 ? HIDDEN : maskedText(segment)));
}

/** A query with its names and the values that are not sensitive. At most 512 characters are shown. */
export function maskedQuery(query: string): string {
  const [mark, pairs] = query.startsWith('?') ? ['?', query.slice(1)] : ['', query];
  return mark + masked(pairs, '&', maskedPair);
}

function maskedPair(pair: string): string {
  const end = pair.indexOf('=');
  const value = pair.slice(end + 1);
  const isHidden = isOpaque(unescaped(value).text) || (end !== -1 && isSecretName(unescaped(pair.slice(0, end)).text));
  return maskedText(pair.slice(0, end + 1)) + (isHidden ? HIDDEN : maskedText(value));
}

/** Masks a text piece by piece. If it is too long, the last piece is incomplete and left out. */
function masked(text: string, separator: string, mask: (piece: string) => string): string {
  if (text.length <= MAX_SHOWN_LENGTH) return text.split(separator).map(mask).join(separator);
  const pieces = text.slice(0, MAX_SHOWN_LENGTH).split(separator).slice(0, -1);
  return [...pieces.map(mask), CUT].join(separator);
}

/** Masks `POST /path?query`. */
export function maskedCall(call: string): string {
  const [method = '', target = ''] = split(call, ' ');
  return `${method} ${maskedTarget(target)}`;
}

export function maskedUrl(url: string): string {
  const { origin, pathname, search } = URL.parse(url) ?? {};
  return origin === undefined ? maskedTarget(url) : origin + maskedPath(pathname ?? '') + maskedQuery(search ?? '');
}

function maskedTarget(target: string): string {
  const [path = '', query] = split(target, '?');
  return maskedPath(path) + (query === undefined ? '' : maskedQuery(`?${query}`));
}

/** Both sides of the first separator. */
function split(text: string, separator: string): string[] {
  const end = text.indexOf(separator);
  return end === -1 ? [text] : [text.slice(0, end), text.slice(end + 1)];
}

interface BodyContext {
  /** The `Content-Encoding`. */
  readonly codings?: string | undefined;
  /** The bytes are the beginning of a longer body. */
  readonly isCut?: boolean;
  /** Removes known secrets. */
  readonly redact?: (text: string) => string;
}

/**
 * Hides the values of secret fields, tokens, and phone and card numbers in a body of any format. At most 64 KiB are
 * shown.
 */
export function maskedBody(body: Buffer, { codings, isCut = false, redact = unchanged }: BodyContext = {}): string {
  const decoded = decodeBeginning(body, codings, MAX_DECODED_BYTES) ?? { bytes: body, isCut: false };
  const redacted = Buffer.from(redact(decoded.bytes.toString('latin1')), 'latin1');
  const bytes = redacted.subarray(0, MAX_BODY_BYTES);
  const isBeginning = isCut || decoded.isCut || bytes.length < redacted.length;
  const text = new TextDecoder().decode(bytes, { stream: isBeginning });
  if (/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(text)) return `${body.length} bytes that are no text`;
  const json = isBeginning ? undefined : parsed(text);
  const shown =
    json === undefined ? maskedText(text, { isCut: isBeginning }) : JSON.stringify(maskedJson(json, 0), null, 2);
  return shown.length > MAX_BODY_BYTES ? `${shown.slice(0, MAX_BODY_BYTES)}\n${CUT}` : shown;
}

function unchanged(text: string): string {
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function maskedJson(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return maskedText(value);
  if (typeof value === 'number') return maskedNumber(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === MAX_DEPTH) return CUT;
  if (Array.isArray(value)) return value.map((inner) => maskedJson(inner, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      maskedText(name),
      isSecretName(name) && inner !== null ? HIDDEN : maskedJson(inner, depth + 1),
    ]),
  );
}

function maskedNumber(value: number): unknown {
  const text = String(value);
  const shown = maskedText(text);
  return shown === text ? value : shown;
}

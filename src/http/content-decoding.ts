import * as zlib from 'node:zlib';
import { type ContentProblem, describeContentProblem } from '../errors.ts';
import { combinedHeaderValue, headerValue } from './header-list.ts';

/** Thrown by `decodeContent`. */
export class ContentError extends Error {
  override readonly name = 'ContentError';
  readonly problem: ContentProblem;

  constructor(problem: ContentProblem) {
    super(describeContentProblem(problem));
    this.problem = problem;
  }
}

interface DecodeOptions {
  readonly maxOutputLength: number;
  /** Undefined: an incomplete body is an error. */
  readonly finishFlush?: number;
}

interface Coding {
  readonly decode: (bytes: Uint8Array, options: DecodeOptions) => Buffer;
  /** The `finishFlush` that returns what an incomplete body has. */
  readonly partialFlush: number;
}

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_flush } = zlib.constants;

const GZIP: Coding = { decode: zlib.gunzipSync, partialFlush: Z_SYNC_FLUSH };

const CODINGS: Readonly<Record<string, Coding>> = {
  gzip: GZIP,
  'x-gzip': GZIP,
  deflate: {
    decode: (bytes, options) => (hasZlibHeader(bytes) ? zlib.inflateSync : zlib.inflateRawSync)(bytes, options),
    partialFlush: Z_SYNC_FLUSH,
  },
  br: { decode: zlib.brotliDecompressSync, partialFlush: BROTLI_OPERATION_FLUSH },
  zstd: { decode: zlib.zstdDecompressSync, partialFlush: ZSTD_e_flush },
};

/** No coding, and names that servers send by mistake for a body without one. */
const NO_CODINGS: ReadonlySet<string> = new Set(['', 'identity', 'none', 'utf-8', 'utf8', 'binary', '8bit']);

/** More codings than any server applies. Limits the work for one body. */
const MAX_CODINGS = 4;

/**
 * The text of a complete body, decoded as its `Content-Encoding` and `Content-Type` say.
 * @param headers those of the message
 * @param maxBytes limit for the decoded body
 * @throws ContentError
 */
export function decodedText(body: Buffer, headers: readonly string[], maxBytes: number): string {
  const decoded = decodeContent(body, combinedHeaderValue(headers, 'content-encoding'), maxBytes);
  return textOf(decoded, headerValue(headers, 'content-type'));
}

/**
 * Undoes the content codings of a complete body (RFC 9110 8.4). An empty body has none.
 * @param codings value of `Content-Encoding`; several codings are in the order in which they were applied
 * @param maxBytes limit for the result
 * @throws ContentError
 */
export function decodeContent(body: Buffer, codings: string | undefined, maxBytes: number): Buffer {
  if (body.length === 0) return body;
  return codingsIn(codings).reduceRight((bytes, coding) => decodeOne(bytes, coding, maxBytes), body);
}

/**
 * Decodes a body as far as possible, also if it is incomplete or longer than `maxBytes` when decoded.
 * @returns undefined if nothing of it can be decoded
 */
export function decodeBeginning(
  body: Buffer,
  codings: string | undefined,
  maxBytes: number,
): { readonly bytes: Buffer; readonly isCut: boolean } | undefined {
  try {
    return { bytes: decodeContent(body, codings, maxBytes), isCut: false };
  } catch {
    // Incomplete, too long, or not in these codings.
  }
  try {
    const decode = (bytes: Buffer, coding: string) => decodeBeginningOf(bytes, coding, maxBytes);
    return { bytes: codingsIn(codings).reduceRight(decode, body), isCut: true };
  } catch {
    return undefined;
  }
}

/** The codings in the order in which they were applied, without those that change nothing. */
function codingsIn(codings = ''): string[] {
  const applied = codings
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => !NO_CODINGS.has(coding));
  if (applied.length > MAX_CODINGS) throw contentError('unknown_coding', codings);
  return applied;
}

function decodeOne(bytes: Buffer, coding: string, maxOutputLength: number): Buffer {
  const { decode } = codingOf(coding);
  try {
    return decode(bytes, { maxOutputLength });
  } catch (error) {
    throw contentError(isTooLong(error) ? 'too_long' : 'broken', coding);
  }
}

/** zlib returns nothing of a result that is too long. So this decodes a half of the body, a quarter, and so on. */
function decodeBeginningOf(bytes: Buffer, coding: string, maxOutputLength: number): Buffer {
  const { decode, partialFlush } = codingOf(coding);
  for (let { length } = bytes; length > 0; length = Math.floor(length / 2)) {
    try {
      const decoded = decode(bytes.subarray(0, length), { maxOutputLength, finishFlush: partialFlush });
      if (decoded.length > 0) return decoded;
      break;
    } catch (error) {
      if (!isTooLong(error)) break;
    }
  }
  throw contentError('broken', coding);
}

function codingOf(name: string): Coding {
  const coding = Object.hasOwn(CODINGS, name) ? CODINGS[name] : undefined;
  if (coding === undefined) throw contentError('unknown_coding', name);
  return coding;
}

function isTooLong(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
}

function contentError(kind: ContentProblem['kind'], coding: string): ContentError {
  return new ContentError({ kind, coding: coding.replace(/[^!-~]+/g, ' ').slice(0, 30) });
}

/** RFC 1950 2.2. Some servers send `deflate` without the zlib header, and browsers accept both. */
function hasZlibHeader(bytes: Uint8Array): boolean {
  const [method = 0, flags = 0] = bytes;
  return (method & 0x0f) === 8 && ((method << 8) | flags) % 31 === 0;
}

/**
 * The text of a decoded body: in the charset of its byte-order mark, else of its `Content-Type`, else UTF-8. The mark is
 * dropped. An unknown charset counts as UTF-8.
 */
function textOf(body: Buffer, contentType: string | undefined): string {
  const charset = charsetOf(body, contentType);
  try {
    return new TextDecoder(charset).decode(body);
  } catch {
    return new TextDecoder().decode(body);
  }
}

function charsetOf([first, second]: Buffer, contentType: string | undefined): string {
  if (first === 0xef && second === 0xbb) return 'utf-8';
  if (first === 0xff && second === 0xfe) return 'utf-16le';
  if (first === 0xfe && second === 0xff) return 'utf-16be';
  return /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType ?? '')?.[1] ?? 'utf-8';
}

import * as zlib from 'node:zlib';
import { type ContentProblem, describeContentProblem } from '../errors.ts';

/** Thrown by `decodeContent`. */
export class ContentError extends Error {
  override readonly name = 'ContentError';
  readonly problem: ContentProblem;

  constructor(problem: ContentProblem) {
    super(describeContentProblem(problem));
    this.problem = problem;
  }
}

type Decode = (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer;

const CODINGS: Readonly<Record<string, Decode>> = {
  gzip: zlib.gunzipSync,
  'x-gzip': zlib.gunzipSync,
  deflate: (bytes, options) => (hasZlibHeader(bytes) ? zlib.inflateSync : zlib.inflateRawSync)(bytes, options),
  br: zlib.brotliDecompressSync,
  zstd: zlib.zstdDecompressSync,
};

/** No coding, and names that servers send by mistake for a body without one. */
const NO_CODINGS: ReadonlySet<string> = new Set(['', 'identity', 'none', 'utf-8', 'utf8', 'binary', '8bit']);

/** More codings than any server applies. Limits the work for one body. */
const MAX_CODINGS = 4;

/**
 * Undoes the content codings of a complete body (RFC 9110 8.4). An empty body has none.
 * @param codings value of `Content-Encoding`; several codings are in the order in which they were applied
 * @param maxBytes limit for the result
 * @throws ContentError
 */
export function decodeContent(body: Buffer, codings: string | undefined, maxBytes: number): Buffer {
  if (codings === undefined || body.length === 0) return body;
  const applied = codings
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => !NO_CODINGS.has(coding));
  if (applied.length > MAX_CODINGS) throw contentError('unknown_coding', codings);
  return applied.reduceRight((bytes, coding) => decodeOne(bytes, coding, maxBytes), body);
}

function decodeOne(bytes: Buffer, coding: string, maxOutputLength: number): Buffer {
  const decode = Object.hasOwn(CODINGS, coding) ? CODINGS[coding] : undefined;
  if (decode === undefined) throw contentError('unknown_coding', coding);
  try {
    return decode(bytes, { maxOutputLength });
  } catch (error) {
    const isTooLong = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw contentError(isTooLong ? 'too_long' : 'broken', coding);
  }
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
export function textOf(body: Buffer, contentType: string | undefined): string {
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

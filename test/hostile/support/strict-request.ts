import { type RawHead, valuesOf } from '../../support/raw-message.ts';

/** A request as a server reads it that forgives nothing. */
export interface StrictRequest extends RawHead {
  readonly method: string;
  readonly target: string;
  readonly body: Buffer;
  /** Where in the stream it ends. */
  readonly end: number;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e\\x80-\\xff]+) HTTP/1\\.1$`);
const HEADER_LINE = new RegExp(`^(${TOKEN}):[ \\t]*([\\t\\x20-\\x7e\\x80-\\xff]*?)[ \\t]*$`);

/**
 * Reads the first request of a stream (RFC 9112), without any of the leniency that request smuggling lives on.
 * @returns undefined if there is more to come
 * @throws Error with the rule that the bytes break
 */
export function strictRequest(bytes: Buffer): StrictRequest | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const [start = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const [, method, target] = REQUEST_LINE.exec(start) ?? [];
  if (method === undefined || target === undefined) throw new Error(`no request line: ${JSON.stringify(start)}`);
  const headers = lines.map((line) => {
    const [, name, value] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`no header line: ${JSON.stringify(line)}`);
    return [name, value] as const;
  });
  const body = strictBody({ start, headers }, bytes, headEnd + 4);
  return body && { start, method, target, headers, ...body };
}

function strictBody(head: RawHead, bytes: Buffer, from: number): { body: Buffer; end: number } | undefined {
  const lengths = valuesOf(head, 'content-length');
  const codings = valuesOf(head, 'transfer-encoding');
  const folded = head.headers.map(([name]) => name.toLowerCase().replaceAll('_', '-'));
  const framing = folded.filter((name) => name === 'content-length' || name === 'transfer-encoding');
  if (framing.length > 1) throw new Error(`more than one line of framing: ${framing.join()}`);
  if (framing.length !== lengths.length + codings.length) throw new Error('framing in an odd spelling');
  if (codings.length === 1) {
    if (codings[0] !== 'chunked') throw new Error(`the coding ${codings.join()}`);
    return strictChunks(bytes, from);
  }
  const [length = '0'] = lengths;
  if (!/^(0|[1-9]\d*)$/.test(length)) throw new Error(`the length ${length}`);
  const end = from + Number(length);
  return bytes.length < end ? undefined : { body: bytes.subarray(from, end), end };
}

function strictChunks(bytes: Buffer, from: number): { body: Buffer; end: number } | undefined {
  const parts: Buffer[] = [];
  let at = from;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const line = bytes.subarray(at, lineEnd).toString('latin1');
    if (!/^[0-9a-fA-F]{1,8}$/.test(line)) throw new Error(`the chunk size ${JSON.stringify(line)}`);
    const start = lineEnd + 2;
    const end = start + parseInt(line, 16);
    if (bytes.length < end + 2) return undefined;
    if (bytes.subarray(end, end + 2).toString() !== '\r\n') throw new Error('a chunk without an end, or a trailer');
    if (end === start) return { body: Buffer.concat(parts), end: end + 2 };
    parts.push(bytes.subarray(start, end));
    at = end + 2;
  }
}

/** An HTTP/1.1 message as it was on the wire. */
export interface RawMessage extends RawHead {
  /** Decoded, if it came in chunks. */
  readonly body: Buffer;
}

export interface RawHead {
  /** Request line or status line. */
  readonly start: string;
  /** Header lines in their order, names as they were written. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** How long the body of a message without a length is. */
export type Unframed = 'empty' | 'still coming' | 'all there is';

const BLANK_LINE = '\r\n\r\n';

/** Cuts messages out of a stream of bytes. */
export class RawReader {
  #bytes: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
  }

  /** What has come in and was not taken yet. */
  get rest(): Buffer {
    return this.#bytes;
  }

  /** The head of the next message without taking it, if it is all there. */
  peekHead(): RawHead | undefined {
    const end = this.#bytes.indexOf(BLANK_LINE);
    return end === -1 ? undefined : parseHead(this.#bytes.subarray(0, end).toString('latin1'));
  }

  /** Takes a message without a body, whatever its head says. */
  takeHead(): RawMessage | undefined {
    const head = this.peekHead();
    return head && this.#cut(head, { bytes: Buffer.alloc(0), end: this.#bytes.indexOf(BLANK_LINE) + 4 });
  }

  /** Takes the next message, if it is all there. */
  take(unframed: Unframed): RawMessage | undefined {
    const head = this.peekHead();
    const body = head && bodyOf(head, this.#bytes, this.#bytes.indexOf(BLANK_LINE) + 4, unframed);
    return head && body && this.#cut(head, body);
  }

  #cut(head: RawHead, body: Cut): RawMessage {
    this.#bytes = this.#bytes.subarray(body.end);
    return { ...head, body: body.bytes };
  }
}

/** The values of all lines with this lower-case name, in their order. */
export function valuesOf(head: RawHead, lowerCaseName: string): string[] {
  return head.headers.filter(([name]) => name.toLowerCase() === lowerCaseName).map(([, value]) => value);
}

/** A body, and where in the stream it ends. */
interface Cut {
  readonly bytes: Buffer;
  readonly end: number;
}

function parseHead(text: string): RawHead {
  const [start = '', ...lines] = text.split('\r\n');
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  return { start, headers };
}

function bodyOf(head: RawHead, bytes: Buffer, from: number, unframed: Unframed): Cut | undefined {
  if (valuesOf(head, 'transfer-encoding').length > 0) return unchunked(bytes, from);
  const [length] = valuesOf(head, 'content-length');
  if (length === undefined) {
    if (unframed === 'still coming') return undefined;
    const end = unframed === 'empty' ? from : bytes.length;
    return { bytes: bytes.subarray(from, end), end };
  }
  const end = from + Number(length);
  return bytes.length < end ? undefined : { bytes: bytes.subarray(from, end), end };
}

function unchunked(bytes: Buffer, from: number): Cut | undefined {
  const parts: Buffer[] = [];
  let at = from;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16);
    if (Number.isNaN(size)) throw new Error('not a chunk size');
    const start = lineEnd + 2;
    if (size === 0) {
      const end = bytes.indexOf(BLANK_LINE, lineEnd);
      return end === -1 ? undefined : { bytes: Buffer.concat(parts), end: end + BLANK_LINE.length };
    }
    if (bytes.length < start + size + 2) return undefined;
    parts.push(bytes.subarray(start, start + size));
    at = start + size + 2;
  }
}

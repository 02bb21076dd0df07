/**
 * Parses HTTP/1.1 responses (RFC 9112) from buffers of any size. Nothing is repaired: input that is not exactly a
 * response is refused with the number of the rule that it breaks.
 *
 * 1. Status line (RFC 9112 4): `HTTP/1.0|1.1 SP 3DIGIT SP [reason]`, with a status of 100 to 599. The second space may
 *    be missing if the reason is empty.
 * 2. Interim responses (RFC 9110 15.2): at most 32, dropped. They have no body and do not close the connection. 101 is
 *    refused, because this client never requests an upgrade.
 * 3. Header line (RFC 9112 5): `token ":" OWS value OWS CRLF`, without line folding or control characters. A head has at
 *    most 16 KiB, or another limit.
 * 4. Body length (RFC 9112 6.3): `Content-Length` is one line with a decimal number. `Transfer-Encoding` is one line
 *    that is exactly `chunked`, case-insensitive, and only in HTTP/1.1. Both values may be surrounded by spaces, but not
 *    by tabs, which some parsers do not skip. Both headers together are refused. With neither, the body ends with the
 *    connection.
 * 5. Chunks (RFC 9112 7.1): a chunk size has 1 to 16 hex digits. Chunk extensions (256 bytes per chunk, 16 KiB in total)
 *    and trailers (16 KiB) are checked and dropped. A trailer may not be a framing header.
 * 6. Responses to HEAD, 204 and 304 have no body (RFC 9112 6.3).
 * 7. `read` stops after the last byte of the response. The caller closes the connection if there are more.
 */

/** Receives one response: one head, any number of body parts. */
export interface ResponseListener {
  /** @param rawHeaders names and values in turn, as the server spelled them; one pair for each line */
  onHead(status: number, reason: string, rawHeaders: string[]): void;
  /** Body bytes from `start` to `end`, without the chunked coding. The buffer is valid only during the call. */
  onBody(buffer: Buffer, start: number, end: number): void;
}

/** The server sent something that is not an HTTP/1.1 response. The message quotes no bytes of the server. */
export class InvalidResponse extends Error {
  override readonly name = 'InvalidResponse';
  /** Number in the list at the top of response-parser.ts. */
  readonly rule: number;

  constructor(rule: number, message: string) {
    super(message);
    this.rule = rule;
  }
}

/** Default limit for a head and for trailers. Limit for all chunk extensions of one response. Bytes. */
const MAX_HEAD_BYTES = 16 * 1024;
const MAX_INTERIM_RESPONSES = 32;
const MAX_EXTENSION_BYTES = 256;
const MAX_CHUNK_SIZE_DIGITS = 16;

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const DIGIT_0 = 0x30;

/** What the next byte belongs to. */
const HEAD = 0;
const BODY_BY_LENGTH = 1;
const BODY_BY_CLOSE = 2;
const CHUNK_SIZE = 3;
const CHUNK_EXTENSION = 4;
const CHUNK_SIZE_LF = 5;
const CHUNK_DATA = 6;
const CHUNK_DATA_CR = 7;
const CHUNK_DATA_LF = 8;
const TRAILERS = 9;
const COMPLETE = 10;

const PREFIX = Buffer.from('HTTP/1.');
const CHUNK_EXTENSIONS = extensionPattern();
const HEX_DIGITS = hexDigits();

const IS_TOKEN = charactersOf((code) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)));
const IS_TEXT = charactersOf((code) => code === TAB || (code >= SPACE && code !== 0x7f));

/** Parses the responses of one connection, one after another. */
export class ResponseParser {
  /** Whether any byte of the response has arrived. */
  hasStarted = false;
  /** Whether the server keeps the connection open after this response. Valid after the head. */
  keepsAlive = false;
  /** The `timeout` of the server's `Keep-Alive` header. Milliseconds. */
  keepAliveMs: number | undefined;
  /** Known body bytes that have not arrived: of the body, or of the current chunk. */
  remainingBytes = 0;

  readonly #listener: ResponseListener;
  readonly #maxHeadBytes: number;
  readonly #isLimitSet: boolean;
  #state = COMPLETE;
  #isHeadRequest = false;
  #interimResponses = 0;
  /** The incomplete head, trailers or chunk extension, if it is split across reads. */
  #text = '';
  /** Length of the incomplete line at the end of `#text`, and its last byte. */
  #lineLength = 0;
  #lastByte = 0;
  #chunkSizeDigits = 0;
  #extensionBytes = 0;

  /** @param maxHeadBytes limit for a head and for trailers, set by `max_response_header` */
  constructor(listener: ResponseListener, maxHeadBytes?: number) {
    this.#listener = listener;
    this.#maxHeadBytes = maxHeadBytes ?? MAX_HEAD_BYTES;
    this.#isLimitSet = maxHeadBytes !== undefined;
  }

  get isComplete(): boolean {
    return this.#state === COMPLETE;
  }

  /** Whether the head is complete and the body ends when the server closes the connection. */
  get endsWithConnection(): boolean {
    return this.#state === BODY_BY_CLOSE;
  }

  /** Starts the response to a request with this method. */
  start(method: string): void {
    this.hasStarted = false;
    this.#state = HEAD;
    this.#isHeadRequest = method === 'HEAD';
    this.#interimResponses = 0;
    this.#extensionBytes = 0;
    this.#startBlock();
  }

  /**
   * Reads `length` bytes of the buffer.
   * @returns how many of them belong to the response; fewer than `length` only if it is complete
   * @throws InvalidResponse
   */
  read(buffer: Buffer, length: number): number {
    this.hasStarted = true;
    let at = 0;
    while (at < length && this.#state !== COMPLETE) {
      switch (this.#state) {
        case HEAD:
        case TRAILERS:
          at = this.#readBlock(buffer, at, length);
          break;
        case BODY_BY_LENGTH:
        case CHUNK_DATA:
          at = this.#readBody(buffer, at, length);
          break;
        case BODY_BY_CLOSE:
          this.#listener.onBody(buffer, at, length);
          at = length;
          break;
        case CHUNK_SIZE:
          at = this.#readChunkSize(buffer, at, length);
          break;
        case CHUNK_EXTENSION:
          at = this.#readExtension(buffer, at, length);
          break;
        case CHUNK_SIZE_LF:
          expectByte(buffer[at++], LF, 'a chunk size line that does not end with CRLF');
          this.#startChunk();
          break;
        case CHUNK_DATA_CR:
          expectByte(buffer[at++], CR, 'a chunk that is longer than its size');
          this.#state = CHUNK_DATA_LF;
          break;
        case CHUNK_DATA_LF:
          expectByte(buffer[at++], LF, 'a chunk that is longer than its size');
          this.#startChunkSize();
          break;
      }
    }
    return at;
  }

  #startBlock(): void {
    this.#text = '';
    this.#lineLength = 0;
    this.#lastByte = 0;
  }

  /** Reads a head or trailers: lines up to an empty line. */
  #readBlock(buffer: Buffer, start: number, end: number): number {
    if (this.#state === HEAD && this.#text.length < PREFIX.length) this.#checkPrefix(buffer, start, end);
    const limit = start + this.#maxHeadBytes - this.#text.length;
    let lastByte = this.#lastByte;
    let lineStart = start - this.#lineLength;
    for (let at = start; at < end; at++) {
      if (at === limit) throw this.#tooLong();
      const byte = buffer[at] ?? 0;
      if (byte === LF) {
        if (lastByte !== CR) throw new InvalidResponse(3, 'it has a line that ends without CR (LF alone)');
        if (at - lineStart === 1) {
          const part = buffer.toString('latin1', start, at + 1);
          const text = this.#text === '' ? part : this.#text + part;
          this.#startBlock();
          if (this.#state === HEAD) this.#endHead(text);
          else this.#endTrailers(text);
          return at + 1;
        }
        lineStart = at + 1;
      }
      lastByte = byte;
    }
    this.#text += buffer.toString('latin1', start, end);
    this.#lastByte = lastByte;
    this.#lineLength = end - lineStart;
    return end;
  }

  #tooLong(): InvalidResponse {
    const what = this.#state === HEAD ? 'its head is' : 'its trailers are';
    const key = this.#isLimitSet ? ', the limit set by max_response_header' : '';
    return new InvalidResponse(3, `${what} longer than ${this.#maxHeadBytes} bytes${key}`);
  }

  /** Refuses input that is not HTTP/1 at the first wrong byte, without waiting for the end of a line. */
  #checkPrefix(buffer: Buffer, start: number, end: number): void {
    let at = start;
    for (let i = this.#text.length; i < PREFIX.length && at < end; i++, at++) {
      if (buffer[at] !== PREFIX[i]) throw new InvalidResponse(1, 'it does not begin with HTTP/1');
    }
  }

  #endHead(text: string): void {
    const head = new Head(text);
    const { status } = head;
    if (status < 200) {
      this.#interimResponses += 1;
      if (status === 101) throw new InvalidResponse(2, 'it switches protocols without a request to upgrade');
      if (!head.keepsAlive) throw new InvalidResponse(2, `its status ${status} closes the connection`);
      if (head.isChunked || (head.contentLength ?? 0) > 0)
        throw new InvalidResponse(2, `its status ${status} has a body`);
      if (this.#interimResponses > MAX_INTERIM_RESPONSES) {
        throw new InvalidResponse(2, `it has more than ${MAX_INTERIM_RESPONSES} interim responses (1xx)`);
      }
      return;
    }
    this.keepsAlive = head.keepsAlive;
    this.keepAliveMs = head.keepAliveMs;
    if (this.#isHeadRequest || status === 204 || status === 304 || head.contentLength === 0) {
      this.#state = COMPLETE;
    } else if (head.isChunked) {
      this.#startChunkSize();
    } else if (head.contentLength !== undefined) {
      this.remainingBytes = head.contentLength;
      this.#state = BODY_BY_LENGTH;
    } else {
      this.remainingBytes = 0;
      this.#state = BODY_BY_CLOSE;
    }
    this.#listener.onHead(status, head.reason, head.rawHeaders);
  }

  #readBody(buffer: Buffer, start: number, length: number): number {
    const end = Math.min(length, start + this.remainingBytes);
    this.remainingBytes -= end - start;
    if (this.remainingBytes === 0) this.#state = this.#state === CHUNK_DATA ? CHUNK_DATA_CR : COMPLETE;
    this.#listener.onBody(buffer, start, end);
    return end;
  }

  #startChunkSize(): void {
    this.#state = CHUNK_SIZE;
    this.#chunkSizeDigits = 0;
    this.remainingBytes = 0;
  }

  #readChunkSize(buffer: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at++) {
      const byte = buffer[at] ?? 0;
      const digit = HEX_DIGITS[byte] ?? 0;
      if (digit < 16) {
        this.#chunkSizeDigits += 1;
        this.remainingBytes = this.remainingBytes * 16 + digit;
        if (this.#chunkSizeDigits > MAX_CHUNK_SIZE_DIGITS) throw invalidChunkSize();
        continue;
      }
      if (this.#chunkSizeDigits === 0 || !Number.isSafeInteger(this.remainingBytes)) throw invalidChunkSize();
      if (byte === CR) this.#state = CHUNK_SIZE_LF;
      else if (byte === SEMICOLON) this.#state = CHUNK_EXTENSION;
      else throw invalidChunkSize();
      return at + 1;
    }
    return end;
  }

  /** Reads the part of a chunk size line after `;`. */
  #readExtension(buffer: Buffer, start: number, length: number): number {
    let end = start;
    while (end < length && buffer[end] !== CR) end += 1;
    this.#extensionBytes += end - start;
    const bytes = this.#text.length + end - start;
    if (bytes > MAX_EXTENSION_BYTES || this.#extensionBytes > MAX_HEAD_BYTES) {
      throw new InvalidResponse(5, 'it has chunk extensions that are too long');
    }
    this.#text += buffer.toString('latin1', start, end);
    if (end === length) return end;
    if (!CHUNK_EXTENSIONS.test(this.#text)) throw new InvalidResponse(5, 'it has a malformed chunk extension');
    this.#text = '';
    this.#state = CHUNK_SIZE_LF;
    return end + 1;
  }

  #startChunk(): void {
    if (this.remainingBytes > 0) {
      this.#state = CHUNK_DATA;
    } else {
      this.#state = TRAILERS;
      this.#startBlock();
    }
  }

  #endTrailers(text: string): void {
    const end = text.length - 2;
    for (let at = 0; at < end;) {
      const colon = nameEnd(text, at);
      const name = text.slice(at, colon).toLowerCase();
      if (name === 'content-length' || name === 'transfer-encoding') {
        throw new InvalidResponse(5, `it has a trailer ${name}`);
      }
      at = lineEnd(text, colon + 1) + 2;
    }
    this.#state = COMPLETE;
  }
}

/** A response head: status line, header lines, and the framing that they define. */
class Head {
  readonly status: number;
  readonly reason: string;
  readonly rawHeaders: string[] = [];
  contentLength: number | undefined;
  isChunked = false;
  keepAliveMs: number | undefined;
  readonly #isHttp11: boolean;
  #hasClose = false;
  #hasKeepAlive = false;

  /** @param text from the status line to the empty line; it begins with `HTTP/1.` and every LF follows a CR */
  constructor(text: string) {
    const minor = text.charCodeAt(7) - DIGIT_0;
    if ((minor !== 0 && minor !== 1) || text.charCodeAt(8) !== SPACE) {
      throw new InvalidResponse(1, 'its version is not HTTP/1.0 or HTTP/1.1');
    }
    this.#isHttp11 = minor === 1;
    this.status = statusAt(text, 9);
    const afterStatus = text.charCodeAt(12);
    if (afterStatus !== SPACE && afterStatus !== CR) throw new InvalidResponse(1, 'its status is not three digits');
    const reasonStart = afterStatus === SPACE ? 13 : 12;
    const reasonEnd = textEnd(text, reasonStart);
    if (text.charCodeAt(reasonEnd + 1) !== LF) throw new InvalidResponse(1, 'its status line has a control character');
    this.reason = text.slice(reasonStart, reasonEnd);
    const end = text.length - 2;
    for (let at = reasonEnd + 2; at < end;) at = this.#readLine(text, at);
    if (this.isChunked && this.contentLength !== undefined) {
      throw new InvalidResponse(4, 'it has both Content-Length and Transfer-Encoding');
    }
  }

  /** RFC 9112 9.3. */
  get keepsAlive(): boolean {
    return !this.#hasClose && (this.#isHttp11 || this.#hasKeepAlive);
  }

  #readLine(text: string, start: number): number {
    const colon = nameEnd(text, start);
    const end = lineEnd(text, colon + 1);
    let valueStart = colon + 1;
    let valueEnd = end;
    while (valueStart < end && isBlank(text.charCodeAt(valueStart))) valueStart += 1;
    while (valueEnd > valueStart && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd -= 1;
    const name = text.slice(start, colon);
    const value = text.slice(valueStart, valueEnd);
    this.rawHeaders.push(name, value);
    switch (name.length) {
      case 10:
        this.#readConnection(name.toLowerCase(), value);
        break;
      case 14:
        if (name.toLowerCase() === 'content-length') this.#readContentLength(text.slice(colon + 1, end));
        break;
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') this.#readTransferEncoding(text.slice(colon + 1, end));
        break;
    }
    return end + 2;
  }

  #readConnection(name: string, value: string): void {
    if (name === 'connection') {
      const options = value.toLowerCase();
      if (hasOption(options, 'close')) this.#hasClose = true;
      if (hasOption(options, 'keep-alive')) this.#hasKeepAlive = true;
    } else if (name === 'keep-alive') {
      const seconds = /(?:^|[,\s])timeout\s*=\s*(\d{1,9})/i.exec(value)?.[1];
      if (seconds !== undefined) this.keepAliveMs = Number(seconds) * 1000;
    }
  }

  /** RFC 9112 6.3 allows a client to accept a repeated, identical value. Node's parser does not, and neither does this. */
  #readContentLength(value: string): void {
    const length = /^ *\d{1,16} *$/.test(value) ? Number(value) : NaN;
    if (!Number.isSafeInteger(length)) throw new InvalidResponse(4, 'its Content-Length is not one number');
    if (this.contentLength !== undefined) throw new InvalidResponse(4, 'it has two Content-Length lines');
    this.contentLength = length;
  }

  /** Only `chunked` is decoded here (RFC 9112 6.1). HTTP/1.0 does not define it. */
  #readTransferEncoding(value: string): void {
    if (this.isChunked) throw new InvalidResponse(4, 'it has two Transfer-Encoding lines');
    if (!this.#isHttp11) throw new InvalidResponse(4, 'it has a Transfer-Encoding, but its version is HTTP/1.0');
    if (!/^ *chunked *$/i.test(value)) throw new InvalidResponse(4, 'it has a Transfer-Encoding other than chunked');
    this.isChunked = true;
  }
}

function statusAt(text: string, at: number): number {
  let status = 0;
  for (let i = at; i < at + 3; i++) {
    const digit = text.charCodeAt(i) - DIGIT_0;
    if (!(digit >= 0 && digit <= 9)) throw new InvalidResponse(1, 'its status is not three digits');
    status = status * 10 + digit;
  }
  if (status < 100 || status > 599) throw new InvalidResponse(1, 'its status is not in the range 100 to 599');
  return status;
}

/** The index of the colon after the header name that starts here. */
function nameEnd(text: string, start: number): number {
  let at = start;
  while (IS_TOKEN[text.charCodeAt(at)] === 1) at += 1;
  if (at === start || text.charCodeAt(at) !== COLON) throw malformedLine(at === start, text.charCodeAt(at));
  return at;
}

function malformedLine(isAtStart: boolean, code: number): InvalidResponse {
  if (isBlank(code)) {
    return new InvalidResponse(
      3,
      isAtStart ? 'it has a header line that begins with a space (line folding)' : 'it has a space in a header name',
    );
  }
  if (code === CR) return new InvalidResponse(3, 'it has a header line without a colon');
  if (code === COLON) return new InvalidResponse(3, 'it has a header without a name');
  return new InvalidResponse(3, 'it has a character in a header name that is not allowed');
}

/** The index of the CRLF that ends the line. */
function lineEnd(text: string, start: number): number {
  const end = textEnd(text, start);
  if (text.charCodeAt(end) !== CR || text.charCodeAt(end + 1) !== LF) {
    throw new InvalidResponse(3, 'it has a control character in a header');
  }
  return end;
}

/** The index of the first character that a field value cannot have. */
function textEnd(text: string, start: number): number {
  let at = start;
  while (IS_TEXT[text.charCodeAt(at)] === 1) at += 1;
  return at;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function hasOption(list: string, option: string): boolean {
  return list === option || (list.includes(option) && list.split(',').some((part) => part.trim() === option));
}

function expectByte(byte: number | undefined, expected: number, fault: string): void {
  if (byte !== expected) throw new InvalidResponse(5, `it has ${fault}`);
}

function invalidChunkSize(): InvalidResponse {
  return new InvalidResponse(5, 'it has a malformed chunk size');
}

/** RFC 9112 7.1.1, without whitespace around `;` and `=`. The pattern is unambiguous, so that matching is linear. */
function extensionPattern(): RegExp {
  const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
  const quoted = '"(?:[\\t !#-[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"';
  const extension = `${token}(?:=(?:${token}|${quoted}))?`;
  return new RegExp(`^${extension}(?:;${extension})*$`);
}

function hexDigits(): Uint8Array {
  const digits = new Uint8Array(256).fill(16);
  for (let digit = 0; digit < 16; digit++) {
    const text = digit.toString(16);
    digits[text.charCodeAt(0)] = digit;
    digits[text.toUpperCase().charCodeAt(0)] = digit;
  }
  return digits;
}

function charactersOf(holds: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (holds(code) ? 1 : 0));
}

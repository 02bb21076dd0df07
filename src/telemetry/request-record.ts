import { constants, gunzipSync } from 'node:zlib';
import type { ErrorCode, Outcome, Reason } from '../errors.ts';
import { ByteBuffer } from '../http/byte-buffer.ts';
import type { Redaction } from '../redaction.ts';

/** Values of the `wakala-token` header. */
export type TokenUse = 'cached' | 'fetched' | 'replayed' | 'not-replayed';

/** Of a body, no more than this is kept to be looked at. Bytes. */
export const KEPT_BYTES = 16 * 1024;

/** A compressed body is looked at up to this size. Bytes. */
const MAX_DECODED = 1024 * 1024;

interface KeptBodies {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
}

/** One sending of a request. Times are milliseconds on the scale of `performance.now`; 0: it never came to that. */
export interface AttemptRecord {
  sentAt: number;
  /** A connection was there, and the request began to leave on it. */
  connectedAt: number;
  /** The head of the answer was in. */
  respondedAt: number;
  status: number;
}

/**
 * What became of one request, noted as it happens and kept for those who look. Nothing in it is masked: the recorder and
 * the log do that. Times are milliseconds on the scale of `performance.now`; 0: it never came to that.
 */
export class RequestRecord {
  requestId: string;
  method: string;
  /** The client's headers, names and values by turns. */
  requestHeaders: readonly string[];
  /** Whether headers are here. */
  hasHeaders = true;
  /** Epoch milliseconds. */
  atMs = Date.now();
  startedAt = performance.now();
  /** Counts the records of this process; given when it is recorded. */
  number = 0;
  /** Name of the route; undefined where there is none, or the request did not get that far. */
  route: string | undefined = undefined;
  /** Path below the route's prefix, as the client sent it; undefined where it may hold a token. */
  path: string | undefined = undefined;
  /** From the question mark on. */
  query = '';
  /** Name of the client where there is a `clients` list. */
  client: string | undefined = undefined;
  /** The client's body was in, or known to come as a stream. */
  receivedAt = 0;
  /** Spent waiting for a token, before the first attempt and between the two. */
  tokenMs = 0;
  readonly attempts: AttemptRecord[] = [];
  /** How often the provider called the token dead. */
  refusals = 0;
  endedAt = 0;
  /** What the client got; 0: nothing, it had left. */
  status = 0;
  use: TokenUse | undefined = undefined;
  code: ErrorCode | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  reason: Reason | undefined = undefined;
  /** What wakala told the client. */
  detail: string | undefined = undefined;
  /** The client closed its connection before the end. */
  clientLeft = false;
  requestBytes = 0;
  responseBytes = 0;
  responseHeaders: readonly string[] = [];
  /** Of a recorded request. Undefined unless bodies are kept: what there is of them, up to 16 KiB each. */
  bodies: KeptBodies | undefined = undefined;
  #bodies: { readonly request: ByteBuffer; readonly answer: ByteBuffer } | undefined;

  #redaction: Redaction | undefined;

  constructor(requestId: string, method: string, requestHeaders: readonly string[]) {
    this.requestId = requestId;
    this.method = method;
    this.requestHeaders = requestHeaders;
  }

  keepBodies(): void {
    this.#bodies = { request: new ByteBuffer(), answer: new ByteBuffer() };
  }

  /** Finds the secrets that may be in it. */
  set redaction(redaction: Redaction) {
    this.#redaction = redaction;
  }

  /** A text of this request with its secrets cut out, in every spelling. */
  redacted(text: string): string {
    return this.#redaction === undefined ? text : this.#redaction.redact(text);
  }

  /** Cuts secrets out of all that is kept, before it is shown. */
  redact(): void {
    const redaction = this.#redaction;
    if (redaction === undefined) return;
    const cut = (text: string) => redaction.redact(text);
    this.requestId = cut(this.requestId);
    this.path = this.path && cut(this.path);
    this.query = cut(this.query);
    this.requestHeaders = this.requestHeaders.map(cut);
    this.responseHeaders = this.responseHeaders.map(cut);
    if (this.bodies !== undefined) {
      const { request, response: answer } = this.bodies;
      this.bodies = { request: cutBody(request, redaction), response: cutBody(answer, redaction) };
    }
    this.#redaction = undefined;
  }

  get keepsBodies(): boolean {
    return this.#bodies !== undefined;
  }

  /** What is kept of the bodies so far. */
  keptBodies(): KeptBodies | undefined {
    return this.#bodies && { request: this.#bodies.request.bytes, response: this.#bodies.answer.bytes };
  }

  onRequestBytes(chunk: Buffer): void {
    if (this.#bodies !== undefined) keep(this.#bodies.request, chunk);
    this.requestBytes += chunk.length;
  }

  onResponseBytes(chunk: Buffer): void {
    if (this.#bodies !== undefined) keep(this.#bodies.answer, chunk);
    this.responseBytes += chunk.length;
  }

  /** Takes over what another record says; of its headers only if told to. */
  copy(from: RequestRecord, withHeaders: boolean): this {
    this.requestId = from.requestId;
    this.method = from.method;
    this.atMs = from.atMs;
    this.startedAt = from.startedAt;
    this.number = from.number;
    this.route = from.route;
    this.path = from.path;
    this.query = from.query;
    this.client = from.client;
    this.receivedAt = from.receivedAt;
    this.tokenMs = from.tokenMs;
    this.refusals = from.refusals;
    this.endedAt = from.endedAt;
    this.status = from.status;
    this.use = from.use;
    this.code = from.code;
    this.outcome = from.outcome;
    this.reason = from.reason;
    this.detail = from.detail;
    this.clientLeft = from.clientLeft;
    this.requestBytes = from.requestBytes;
    this.responseBytes = from.responseBytes;
    this.bodies = from.bodies ?? from.keptBodies();
    this.hasHeaders = withHeaders && from.hasHeaders;
    this.requestHeaders = withHeaders ? from.requestHeaders : NONE;
    this.responseHeaders = withHeaders ? from.responseHeaders : NONE;
    this.#redaction = from.#redaction;
    this.#copyAttempts(from.attempts);
    return this;
  }

  #copyAttempts(from: readonly AttemptRecord[]): void {
    this.attempts.length = Math.min(this.attempts.length, from.length);
    for (let i = 0; i < from.length; i++) {
      const attempt = from[i];
      if (attempt === undefined) continue;
      const { sentAt, connectedAt, respondedAt: answeredAt, status } = attempt;
      const own = this.attempts[i];
      if (own === undefined) {
        this.attempts.push({ sentAt, connectedAt, respondedAt: answeredAt, status });
        continue;
      }
      own.sentAt = sentAt;
      own.connectedAt = connectedAt;
      own.respondedAt = answeredAt;
      own.status = status;
    }
  }

  /** Begins to note another attempt; the answer of the one before is forgotten. */
  onAttempt(): AttemptRecord {
    this.responseBytes = 0;
    this.#bodies?.answer.take();
    const attempt: AttemptRecord = { sentAt: performance.now(), connectedAt: 0, respondedAt: 0, status: 0 };
    this.attempts.push(attempt);
    return attempt;
  }
}

const NONE: readonly string[] = [];

function keep(kept: ByteBuffer, chunk: Buffer): void {
  if (kept.length < KEPT_BYTES) kept.append(chunk.subarray(0, KEPT_BYTES - kept.length));
}

/** A compressed body is decompressed where it holds a secret: without that it could be shown. */
function cutBody(body: Uint8Array, redaction: Redaction): Uint8Array {
  const text = Buffer.from(gunzipped(body)).toString('latin1');
  return redaction.isIn(text) ? Buffer.from(redaction.redact(text), 'latin1') : body;
}

/** As far as it is there; what is no gzip as it is. */
function gunzipped(body: Uint8Array): Uint8Array {
  if (body[0] !== 0x1f || body[1] !== 0x8b) return body;
  try {
    return gunzipSync(body, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_DECODED });
  } catch {
    return body;
  }
}

import type { ErrorCode, Outcome, Reason } from '../errors.ts';
import { ByteBuffer } from '../http/byte-buffer.ts';
import type { SecretSearch } from '../redaction.ts';

/** Values of the `wakala-token` header. */
export type TokenUse = (typeof TOKEN_USES)[number];

export const TOKEN_USES = ['cached', 'fetched', 'replayed', 'not-replayed'] as const;

/** Largest part of a body that is kept for the inspector. Bytes. */
const KEPT_BYTES = 16 * 1024;

interface KeptBodies {
  readonly request: Buffer;
  readonly response: Buffer;
}

/** One attempt to send a request. Times are milliseconds of `performance.now`; 0: it did not happen. */
export interface AttemptRecord {
  /** The values of `sign` began to be computed. */
  signingAt: number;
  sentAt: number;
  /** The request began to be written to a connection. */
  connectedAt: number;
  /** The head of the response was received. */
  respondedAt: number;
  status: number;
}

/**
 * The record of one request, used by the log, metrics, traces and the request inspector, which mask what they show.
 * Times are milliseconds of `performance.now`; 0: it did not happen.
 */
export class RequestRecord {
  requestId: string;
  method: string;
  /** The client's headers: names and values, alternating. */
  requestHeaders: readonly string[];
  /** False if the headers were not kept. */
  hasHeaders = true;
  /** Epoch milliseconds. */
  atMs = Date.now();
  startedAt = performance.now();
  /** Number among the recorded requests of this process, from 1; set when it is recorded. */
  number = 0;
  /** Name of the route; undefined if none matches, or the request was refused before. */
  route: string | undefined = undefined;
  /** Path without the route's prefix, as the client sent it; undefined if it may hold a token. */
  path: string | undefined = undefined;
  /** With its question mark. */
  query = '';
  /** Name of the client; undefined without a `clients` list. */
  client: string | undefined = undefined;
  /** The client's body was received, or is known to be streamed. */
  receivedAt = 0;
  /** Time spent waiting for tokens, before the first attempt and between the two. */
  tokenMs = 0;
  /** The next attempt is being signed since then. 0 once it is sent. */
  signingAt = 0;
  readonly attempts: AttemptRecord[] = [];
  /** Responses in which the provider refused the token. */
  refusals = 0;
  endedAt = 0;
  /** Status of the response to the client; 0: it disconnected before. */
  status = 0;
  use: TokenUse | undefined = undefined;
  code: ErrorCode | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  reason: Reason | undefined = undefined;
  /** The `detail` of the problem that Wakala sent to the client. */
  detail: string | undefined = undefined;
  /** The client disconnected before the end of the response. */
  clientLeft = false;
  requestBytes = 0;
  responseBytes = 0;
  responseHeaders: readonly string[] = [];
  /** Of a recorded request: the kept part of its bodies. Undefined if bodies are not kept. */
  bodies: KeptBodies | undefined = undefined;
  #bodies: { readonly request: ByteBuffer; readonly response: ByteBuffer } | undefined;

  #redaction: SecretSearch | undefined;
  #isRedacted = false;

  constructor(requestId: string, method: string, requestHeaders: readonly string[]) {
    this.requestId = requestId;
    this.method = method;
    this.requestHeaders = requestHeaders;
  }

  keepBodies(): void {
    this.#bodies = { request: new ByteBuffer(), response: new ByteBuffer() };
  }

  /** Finds the secrets that this request may contain. */
  set redaction(redaction: SecretSearch) {
    this.#redaction = redaction;
  }

  /** A text of this request without its secrets. */
  redacted(text: string): string {
    return this.#redaction === undefined ? text : this.#redaction.redact(text);
  }

  /** Removes the secrets from the kept texts. To be called before they are shown. Bodies stay as they were sent. */
  redact(): void {
    if (this.#redaction === undefined || this.#isRedacted) return;
    const redact = (text: string) => this.redacted(text);
    this.requestId = redact(this.requestId);
    this.path = this.path && redact(this.path);
    this.query = redact(this.query);
    this.requestHeaders = this.requestHeaders.map(redact);
    this.responseHeaders = this.responseHeaders.map(redact);
    this.#isRedacted = true;
  }

  get keepsBodies(): boolean {
    return this.#bodies !== undefined;
  }

  /** The kept part of the bodies so far. */
  keptBodies(): KeptBodies | undefined {
    return this.#bodies && { request: this.#bodies.request.bytes, response: this.#bodies.response.bytes };
  }

  onRequestBytes(chunk: Buffer): void {
    if (this.#bodies !== undefined) keepBytes(this.#bodies.request, chunk);
    this.requestBytes += chunk.length;
  }

  onResponseBytes(chunk: Buffer): void {
    if (this.#bodies !== undefined) keepBytes(this.#bodies.response, chunk);
    this.responseBytes += chunk.length;
  }

  /** Copies another record into this one. */
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
    this.signingAt = from.signingAt;
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
    this.#isRedacted = from.#isRedacted;
    this.#copyAttempts(from.attempts);
    return this;
  }

  #copyAttempts(from: readonly AttemptRecord[]): void {
    this.attempts.length = Math.min(this.attempts.length, from.length);
    for (let i = 0; i < from.length; i++) {
      const attempt = from[i];
      if (attempt === undefined) continue;
      const { signingAt, sentAt, connectedAt, respondedAt, status } = attempt;
      const own = this.attempts[i];
      if (own === undefined) {
        this.attempts.push({ signingAt, sentAt, connectedAt, respondedAt, status });
        continue;
      }
      own.signingAt = signingAt;
      own.sentAt = sentAt;
      own.connectedAt = connectedAt;
      own.respondedAt = respondedAt;
      own.status = status;
    }
  }

  /** Begins another attempt. The response of the attempt before is dropped. @param sentAt `performance.now()` */
  onAttempt(sentAt: number): AttemptRecord {
    this.responseBytes = 0;
    this.#bodies?.response.take();
    const { signingAt } = this;
    const attempt: AttemptRecord = { signingAt, sentAt, connectedAt: 0, respondedAt: 0, status: 0 };
    this.signingAt = 0;
    this.attempts.push(attempt);
    return attempt;
  }
}

const NONE: readonly string[] = [];

function keepBytes(kept: ByteBuffer, chunk: Buffer): void {
  if (kept.length < KEPT_BYTES) kept.append(chunk.subarray(0, KEPT_BYTES - kept.length));
}

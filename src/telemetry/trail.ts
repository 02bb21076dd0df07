import type { ErrorCode, Outcome } from '../errors.ts';

/** Values of the `wakala-token` header. */
export type TokenUse = 'cached' | 'fetched' | 'replayed' | 'not-replayed';

/** Of a body, no more than this is kept to be looked at. Bytes. */
const KEPT_BYTES = 16 * 1024;

/** One sending of a request. Times are milliseconds on the scale of `performance.now`; 0: it never came to that. */
export interface AttemptTrail {
  sentAt: number;
  /** A connection was there, and the request began to leave on it. */
  connectedAt: number;
  /** The head of the answer was in. */
  answeredAt: number;
  status: number;
}

/**
 * What became of one request, noted as it happens and kept for those who look. Nothing in it is masked: the recorder and
 * the log do that. Times are milliseconds on the scale of `performance.now`; 0: it never came to that.
 */
export class Trail {
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
  readonly attempts: AttemptTrail[] = [];
  /** How often the provider called the token dead. */
  refusals = 0;
  endedAt = 0;
  /** What the client got; 0: nothing, it had left. */
  status = 0;
  use: TokenUse | undefined = undefined;
  code: ErrorCode | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  /** What wakala told the client. */
  detail: string | undefined = undefined;
  /** The client closed its connection before the end. */
  clientLeft = false;
  requestBytes = 0;
  answerBytes = 0;
  answerHeaders: readonly string[] = [];
  /** Undefined unless bodies are kept: what there is of them, up to 16 KiB each. */
  bodies: { readonly request: Uint8Array[]; readonly answer: Uint8Array[] } | undefined = undefined;

  constructor(requestId: string, method: string, requestHeaders: readonly string[]) {
    this.requestId = requestId;
    this.method = method;
    this.requestHeaders = requestHeaders;
  }

  keepBodies(): void {
    this.bodies = { request: [], answer: [] };
  }

  onRequestBytes(chunk: Uint8Array): void {
    if (this.bodies !== undefined) keep(this.bodies.request, chunk, this.requestBytes);
    this.requestBytes += chunk.length;
  }

  onAnswerBytes(chunk: Uint8Array): void {
    if (this.bodies !== undefined) keep(this.bodies.answer, chunk, this.answerBytes);
    this.answerBytes += chunk.length;
  }

  /** Takes over what another trail says; of its headers only if told to. */
  copy(from: Trail, withHeaders: boolean): this {
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
    this.detail = from.detail;
    this.clientLeft = from.clientLeft;
    this.requestBytes = from.requestBytes;
    this.answerBytes = from.answerBytes;
    this.bodies = from.bodies;
    this.hasHeaders = withHeaders && from.hasHeaders;
    this.requestHeaders = withHeaders ? from.requestHeaders : NONE;
    this.answerHeaders = withHeaders ? from.answerHeaders : NONE;
    this.#copyAttempts(from.attempts);
    return this;
  }

  #copyAttempts(from: readonly AttemptTrail[]): void {
    this.attempts.length = Math.min(this.attempts.length, from.length);
    for (let i = 0; i < from.length; i++) {
      const attempt = from[i];
      if (attempt === undefined) continue;
      const { sentAt, connectedAt, answeredAt, status } = attempt;
      const own = this.attempts[i];
      if (own === undefined) {
        this.attempts.push({ sentAt, connectedAt, answeredAt, status });
        continue;
      }
      own.sentAt = sentAt;
      own.connectedAt = connectedAt;
      own.answeredAt = answeredAt;
      own.status = status;
    }
  }

  /** Begins to note another attempt; the answer of the one before is forgotten. */
  onAttempt(): AttemptTrail {
    this.answerBytes = 0;
    if (this.bodies !== undefined) this.bodies.answer.length = 0;
    const attempt: AttemptTrail = { sentAt: performance.now(), connectedAt: 0, answeredAt: 0, status: 0 };
    this.attempts.push(attempt);
    return attempt;
  }
}

const NONE: readonly string[] = [];

/** Copies, since a chunk may be a view of a much larger buffer. */
function keep(kept: Uint8Array[], chunk: Uint8Array, before: number): void {
  if (before < KEPT_BYTES) kept.push(Uint8Array.from(chunk.subarray(0, KEPT_BYTES - before)));
}

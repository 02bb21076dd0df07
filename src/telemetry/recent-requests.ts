import { combinedHeaderValue } from '../http/header-list.ts';
import { maskedBody, maskedHeaders, maskedPath, maskedQuery } from './mask.ts';
import { RequestRecord } from './request-record.ts';

/** A recorded request, with the text of the client masked and cut. */
export type RecordedRequest = Readonly<
  Pick<
    RequestRecord,
    | 'number'
    | 'requestId'
    | 'method'
    | 'route'
    | 'path'
    | 'query'
    | 'client'
    | 'atMs'
    | 'startedAt'
    | 'receivedAt'
    | 'tokenMs'
    | 'signingAt'
    | 'endedAt'
    | 'attempts'
    | 'refusals'
    | 'status'
    | 'use'
    | 'code'
    | 'outcome'
    | 'detail'
    | 'clientLeft'
    | 'hasHeaders'
    | 'requestBytes'
    | 'responseBytes'
  >
>;

/** A recorded request with its headers and bodies, masked and cut. */
export interface RecordedDetails extends RecordedRequest {
  readonly request: RecordedMessage;
  readonly response: RecordedMessage;
}

export interface RecordedMessage {
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Undefined if the body was not recorded. */
  readonly body: { readonly text: string; /** Bytes that were not recorded. */ readonly cut: number } | undefined;
}

/** More successful requests in a second are not recorded. Under load they would replace the failed ones at once. */
const MAX_SUCCESSES_PER_SECOND = 100;

/** How long the headers of all requests are kept after the inspector was used. */
const VIEWED_MS = 60_000;

/**
 * The last requests of this process, in a ring buffer. Records are copied into preallocated slots: a record that is kept
 * itself would be moved by each garbage collection (docs/decisions/0010-what-is-seen.md). Requests are masked when the
 * inspector first shows them, and the result is cached.
 */
export class RecentRequests {
  readonly #ring: RequestRecord[];
  /** Cache of masked requests, by index in the ring. An entry may belong to an older request. */
  readonly #masked: (RecordedRequest | undefined)[] = [];
  #count = 0;
  #viewedAt = -Infinity;
  #skipped = 0;
  #secondAt = -Infinity;
  #successesInSecond = 0;

  constructor(size: number) {
    this.#ring = Array.from({ length: size }, () => new RequestRecord('', '', []));
  }

  /**
   * Records a request, unless too many requests of this second succeeded. Headers are kept of requests that failed or
   * whose bodies are kept, and of all requests while the inspector is in use.
   */
  add(record: RequestRecord): void {
    const failed = record.status < 200 || record.status >= 400 || record.code !== undefined;
    if (!failed && this.#exceedsRate(record.endedAt)) {
      this.#skipped += 1;
      return;
    }
    this.#count += 1;
    record.number = this.#count;
    const withHeaders = failed || record.keepsBodies || record.endedAt - this.#viewedAt < VIEWED_MS;
    this.#ring[this.#count % this.#ring.length]?.copy(record, withHeaders);
  }

  /** Requests that were replaced by newer ones, or never recorded. */
  get dropped(): number {
    return this.#overwritten + this.#skipped;
  }

  get #overwritten(): number {
    return Math.max(0, this.#count - this.#ring.length);
  }

  /** Requests with higher numbers than `after`, newest first. */
  since(after: number): RecordedRequest[] {
    this.#viewedAt = performance.now();
    const oldest = Math.max(after, this.#overwritten);
    const found: RecordedRequest[] = [];
    for (let number = this.#count; number > oldest; number--) {
      const shown = this.#maskedAt(number);
      if (shown !== undefined) found.push(shown);
    }
    return found;
  }

  /** A request with its headers and bodies; undefined if it was replaced by a newer one. */
  details(number: number): RecordedDetails | undefined {
    this.#viewedAt = performance.now();
    const kept = this.#at(number);
    kept?.redact();
    return kept && maskedDetails(kept);
  }

  /** The original request with its secrets, to be resent to an emulated provider. */
  unmasked(number: number): RequestRecord | undefined {
    const kept = this.#at(number);
    return kept && new RequestRecord('', '', []).copy(kept, true);
  }

  #at(number: number): RequestRecord | undefined {
    const kept = this.#ring[number % this.#ring.length];
    return number > 0 && kept?.number === number ? kept : undefined;
  }

  #maskedAt(number: number): RecordedRequest | undefined {
    const index = number % this.#ring.length;
    const known = this.#masked[index];
    if (known?.number === number) return known;
    const kept = this.#at(number);
    kept?.redact();
    return (this.#masked[index] = kept && maskedRequest(kept));
  }

  #exceedsRate(now: number): boolean {
    if (now - this.#secondAt >= 1000) {
      this.#secondAt = now;
      this.#successesInSecond = 0;
    }
    this.#successesInSecond += 1;
    return this.#successesInSecond > MAX_SUCCESSES_PER_SECOND;
  }
}

function maskedRequest(record: RequestRecord): RecordedRequest {
  const { number, requestId, method, route, client, atMs, startedAt, receivedAt, tokenMs, endedAt } = record;
  const { signingAt, refusals, status, use, code, outcome, detail, clientLeft, hasHeaders } = record;
  const { requestBytes, responseBytes } = record;
  return {
    ...{ number, requestId, method, route, client, atMs, startedAt, receivedAt, tokenMs, signingAt, endedAt, refusals },
    ...{ status, use, code, outcome, detail, clientLeft, hasHeaders, requestBytes, responseBytes },
    path: record.path && maskedPath(record.path),
    query: maskedQuery(record.query),
    attempts: record.attempts.map((attempt) => ({ ...attempt })),
  };
}

/** Exported for tests. */
export function maskedDetails(record: RequestRecord): RecordedDetails {
  const { bodies, requestHeaders, requestBytes, responseHeaders, responseBytes } = record;
  const redact = (text: string) => record.redacted(text);
  return {
    ...maskedRequest(record),
    request: maskedMessage(requestHeaders, bodies?.request, requestBytes, redact),
    response: maskedMessage(responseHeaders, bodies?.response, responseBytes, redact),
  };
}

function maskedMessage(
  headers: readonly string[],
  bytes: Buffer | undefined,
  size: number,
  redact: (text: string) => string,
): RecordedMessage {
  if (bytes === undefined) return { headers: maskedHeaders(headers), body: undefined };
  const cut = size - bytes.length;
  const text = maskedBody(bytes, {
    codings: combinedHeaderValue(headers, 'content-encoding'),
    isCut: cut > 0,
    redact,
  });
  return { headers: maskedHeaders(headers), body: { text, cut } };
}

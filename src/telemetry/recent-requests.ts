import { maskedBody, maskedHeaders, maskedPath, maskedQuery } from './mask.ts';
import { KEPT_BYTES, RequestRecord } from './request-record.ts';

/** A recorded request as it leaves the recorder: what a client wrote in it is masked and cut. */
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

/** The same with headers and bodies, masked and cut too. */
export interface RecordedDetails extends RecordedRequest {
  readonly request: RecordedMessage;
  readonly response: RecordedMessage;
}

export interface RecordedMessage {
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Undefined if the body was not recorded. */
  readonly body: { readonly text: string; /** Bytes that were not recorded. */ readonly cut: number } | undefined;
}

/** Of requests that go well, no more are recorded in a second: under load they would push out the others at once. */
const WELL_PER_SECOND = 100;

/** How long after somebody looked the headers of all requests are kept. */
const LOOKED_MS = 60_000;

/**
 * The last requests of this process, the oldest overwritten by the newest. They are copied into places that were made
 * before: a record that lives on would have to be moved out of the way again and again when memory is cleaned up
 * (docs/decisions/0010-what-is-seen.md). They are masked when somebody looks, and once: the result is remembered.
 */
export class RecentRequests {
  readonly #ring: RequestRecord[];
  /** By the same index: what was shown of a request, which may be that of an older one. */
  readonly #shown: (RecordedRequest | undefined)[] = [];
  #count = 0;
  #lookedAt = -Infinity;
  #passedOver = 0;
  #secondAt = -Infinity;
  #wellInSecond = 0;

  constructor(size: number) {
    this.#ring = Array.from({ length: size }, () => new RequestRecord('', '', []));
  }

  /**
   * Keeps what a record says now, unless it went well as so many did in this second. Headers are kept of requests that
   * failed or whose bodies are kept, and of all while somebody looks.
   */
  add(record: RequestRecord): void {
    const failed = record.status < 200 || record.status >= 400 || record.code !== undefined;
    if (!failed && this.#isOneTooMany(record.endedAt)) {
      this.#passedOver += 1;
      return;
    }
    this.#count += 1;
    record.number = this.#count;
    const withHeaders = failed || record.keepsBodies || record.endedAt - this.#lookedAt < LOOKED_MS;
    this.#ring[this.#count % this.#ring.length]?.copy(record, withHeaders);
  }

  /** How many are not here any more, or never were. */
  get dropped(): number {
    return this.#overwritten + this.#passedOver;
  }

  get #overwritten(): number {
    return Math.max(0, this.#count - this.#ring.length);
  }

  /** Those with higher numbers than `after`, newest first. */
  since(after: number): RecordedRequest[] {
    this.#lookedAt = performance.now();
    const oldest = Math.max(after, this.#overwritten);
    const found: RecordedRequest[] = [];
    for (let number = this.#count; number > oldest; number--) {
      const shown = this.#show(number);
      if (shown !== undefined) found.push(shown);
    }
    return found;
  }

  /** One request with its headers and bodies; undefined if it is not here any more. */
  details(number: number): RecordedDetails | undefined {
    this.#lookedAt = performance.now();
    const kept = this.#at(number);
    kept?.redact();
    return kept && maskedDetails(kept);
  }

  /** One request as it came, with all that is secret in it: to be sent again, where providers are emulated. */
  unmasked(number: number): RequestRecord | undefined {
    const kept = this.#at(number);
    return kept && new RequestRecord('', '', []).copy(kept, true);
  }

  #at(number: number): RequestRecord | undefined {
    const kept = this.#ring[number % this.#ring.length];
    return number > 0 && kept?.number === number ? kept : undefined;
  }

  #show(number: number): RecordedRequest | undefined {
    const index = number % this.#ring.length;
    const known = this.#shown[index];
    if (known?.number === number) return known;
    const kept = this.#at(number);
    kept?.redact();
    return (this.#shown[index] = kept && maskedRequest(kept));
  }

  #isOneTooMany(now: number): boolean {
    if (now - this.#secondAt >= 1000) {
      this.#secondAt = now;
      this.#wellInSecond = 0;
    }
    this.#wellInSecond += 1;
    return this.#wellInSecond > WELL_PER_SECOND;
  }
}

function maskedRequest(record: RequestRecord): RecordedRequest {
  const { number, requestId, method, route, client, atMs, startedAt, receivedAt, tokenMs, endedAt, refusals } = record;
  const {
    status,
    use,
    code,
    outcome,
    detail,
    clientLeft,
    hasHeaders,
    requestBytes,
    responseBytes: responseBytes,
  } = record;
  return {
    ...{ number, requestId, method, route, client, atMs, startedAt, receivedAt, tokenMs, endedAt, refusals },
    ...{ status, use, code, outcome, detail, clientLeft, hasHeaders, requestBytes, responseBytes: responseBytes },
    path: record.path && maskedPath(record.path),
    query: maskedQuery(record.query),
    attempts: record.attempts.map((attempt) => ({ ...attempt })),
  };
}

/** Exported for tests. */
export function maskedDetails(record: RequestRecord): RecordedDetails {
  const { bodies, requestHeaders, requestBytes, responseHeaders, responseBytes } = record;
  return {
    ...maskedRequest(record),
    request: maskedMessage(requestHeaders, bodies?.request, requestBytes),
    response: maskedMessage(responseHeaders, bodies?.response, responseBytes),
  };
}

function maskedMessage(headers: readonly string[], bytes: Uint8Array | undefined, size: number): RecordedMessage {
  if (bytes === undefined) return { headers: maskedHeaders(headers), body: undefined };
  const at = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === 'content-encoding');
  // Redaction may have changed the length of what was kept.
  const cut = Math.max(0, size - KEPT_BYTES);
  const text = maskedBody(bytes, at === -1 ? undefined : headers[at + 1], cut > 0);
  return { headers: maskedHeaders(headers), body: { text, cut } };
}

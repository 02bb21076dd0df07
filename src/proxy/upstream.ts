import type { Dispatcher, Pool } from 'undici';
// The pool alone: all of undici, with its fetch, costs a fifth of the start-up.
import UndiciPool from 'undici/lib/dispatcher/pool.js';
import { networkCode, ProxyError } from '../errors.ts';
import { guardedLookup } from '../lookup.ts';
import type { AttemptTrail } from '../telemetry/trail.ts';
import type { Body } from './body.ts';
import type { HeaderList } from './headers.ts';

/** One request to an upstream. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query as they go on the wire. */
  readonly path: string;
  readonly headers: HeaderList;
  readonly body: Body;
}

/** What comes back, in order: one head, any number of chunks, then an end or a failure. */
export interface AnswerListener {
  onHead(status: number, reason: string, rawHeaders: readonly string[]): void;
  onChunk(chunk: Buffer): void;
  onEnd(): void;
  /** After `cancel` it is not called. */
  onFailure(error: ProxyError): void;
}

/** Interim answers (1xx) that one request may get. */
export const MAX_INTERIM = 32;

/** Pools of connections, one for each origin: HTTP/1.1, one request at a time on each, TLS verified. */
export class UpstreamPools {
  readonly #pools = new Map<string, Pool>();

  for(origin: string, connectTimeoutMs: number): Pool {
    const key = `${origin} ${connectTimeoutMs}`;
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const pool = new UndiciPool(origin, {
      allowH2: false,
      pipelining: 1,
      // Said out loud, so that no environment variable turns it off.
      connect: { timeout: connectTimeoutMs, lookup: guardedLookup, rejectUnauthorized: true },
      maxHeaderSize: 16 * 1024,
      // Dropped before the upstream would drop them: 4 s, or its Keep-Alive hint less 2 s.
      keepAliveTimeout: 4000,
      keepAliveTimeoutThreshold: 2000,
      keepAliveMaxTimeout: 60_000,
      // The request's own deadline rules.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#pools.set(key, pool);
    return pool;
  }

  /**
   * Forgets every pool that is not among these. It is not closed: requests under way may have a second attempt before
   * them. Its connections end by themselves once they are idle.
   */
  retain(used: ReadonlySet<Pool>): void {
    for (const [key, pool] of this.#pools) {
      if (!used.has(pool)) this.#pools.delete(key);
    }
  }

  /** Connections by origin. */
  stats(): { origin: string; busy: number; idle: number; waiting: number }[] {
    return [...this.#pools].map(([key, { stats }]) => ({
      origin: key.split(' ', 1)[0] ?? '',
      busy: stats.running,
      idle: stats.free,
      waiting: stats.queued,
    }));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }
}

/** One sending of one request. */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly #listener: AnswerListener;
  readonly #times: AttemptTrail;
  #controller: Dispatcher.DispatchController | undefined;
  #interim = 0;
  #cancelled = false;
  #over = false;
  #sent = false;

  constructor(listener: AnswerListener, times: AttemptTrail) {
    this.#listener = listener;
    this.#times = times;
  }

  send(pool: Pool, request: UpstreamRequest): this {
    const { method, path, headers, body } = request;
    const length = body.kind === 'stream' ? body.length : undefined;
    pool.dispatch(
      {
        method: method,
        path,
        headers: length === undefined ? headers : [...headers, 'content-length', String(length)],
        body: body.kind === 'none' ? null : body.kind === 'whole' ? body.bytes : (body.chunks as never),
      },
      this,
    );
    return this;
  }

  /** Whether any byte of the request may have left. */
  get started(): boolean {
    return this.#controller !== undefined;
  }

  /** Whether the whole request was handed to the network. */
  get sent(): boolean {
    return this.#sent;
  }

  /** Stops it; nothing more is told to the listener. A request that has not started never will. */
  cancel(): void {
    if (this.#over || this.#cancelled) return;
    this.#cancelled = true;
    this.#controller?.abort(new Error('cancelled'));
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#times.connectedAt = performance.now();
    if (this.#cancelled) controller.abort(new Error('cancelled'));
    else this.#controller = controller;
  }

  onRequestSent(): void {
    this.#sent = true;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    reason: string | undefined,
  ): void {
    if (this.#cancelled) return;
    if (status === 101) {
      this.#invalid('it switched protocols unasked');
    } else if (status >= 100 && status < 200) {
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM) this.#invalid('it sent no end of interim answers');
    } else if (!isFinalStatus(status)) {
      this.#invalid('its status is out of range');
    } else {
      const raw = (controller.rawHeaders ?? []) as readonly Buffer[];
      const headers = raw.map((bytes) => bytes.toString('latin1'));
      this.#listener.onHead(status, reason ?? '', headers);
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#cancelled) this.#listener.onChunk(chunk);
  }

  onResponseEnd(): void {
    this.#over = true;
    if (!this.#cancelled) this.#listener.onEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#over = true;
    if (!this.#cancelled) this.#listener.onFailure(meaningOf(error, this.started));
  }

  #invalid(what: string): void {
    const error = new ProxyError('upstream_invalid', `The provider's answer was no valid HTTP: ${what}.`);
    this.cancel();
    this.#listener.onFailure(error);
  }
}

/** RFC 9110 15: 2xx to 5xx end a request; there is nothing above. */
export function isFinalStatus(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status <= 599;
}

const INVALID = new Set([
  'HTTPParserError',
  'UND_ERR_HEADERS_OVERFLOW',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_RESPONSE',
]);

/** What a failed attempt means for the one who asked: above all, whether the provider may have seen the request. */
export function meaningOf(error: Error, started: boolean): ProxyError {
  if (error instanceof ProxyError) return error;
  const code = networkCode(error);
  if (!started) {
    // The second is http-proxy-3's.
    if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ECONNECT_TIMEOUT') {
      return new ProxyError('upstream_timeout', 'The provider could not be connected to in time. Nothing was sent.', {
        cause: error,
        outcome: 'not_sent',
      });
    }
    return new ProxyError(
      'upstream_unreachable',
      `The provider could not be connected to (${code}). Nothing was sent.`,
      {
        cause: error,
      },
    );
  }
  if (code.startsWith('HPE_') || INVALID.has(code) || /^bad (upgrade|response)$/.test(error.message)) {
    return new ProxyError(
      'upstream_invalid',
      "The provider's answer was no valid HTTP. It may have acted on the request.",
      {
        cause: error,
      },
    );
  }
  return new ProxyError(
    'upstream_reset',
    'The connection to the provider broke off before its answer was whole. It may have acted on the request: ask it ' +
      'for the outcome before you send this again.',
    { cause: error },
  );
}

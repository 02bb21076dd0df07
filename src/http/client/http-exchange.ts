import type { ProxyError } from '../../errors.ts';
import { handlerFailed } from './failures.ts';

/** Methods that change nothing at the server (RFC 9110 9.2.1). TRACE is safe too, but is never forwarded. */
export const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A request body. A stream can be read only once. */
export type RequestBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /** `length` is in bytes. If undefined, the body is sent chunked. A chunk must not be changed after it was yielded. */
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<Buffer>; readonly length: number | undefined };

export interface ClientRequest {
  readonly method: string;
  /** Path and query as they are written in the request line (RFC 9112 3.2.1). */
  readonly target: string;
  /** Names and values in turn, without `CLIENT_SET_HEADERS`: the client writes those itself. */
  readonly headers: readonly string[];
  readonly body: RequestBody;
}

/**
 * Callbacks for one request, in this order: `onSending`, `onSent`, `onHead`, `onData` any number of times, `onEnd`.
 * `onError` can replace the remaining calls at any point. Nothing is called after `onEnd`, `onError` or `abort`. A
 * response can start before `onSent` and end without it. If a callback throws, the exchange ends with `onError`.
 */
export interface ResponseHandler {
  /**
   * The first byte is about to be written. Can be called before `send` returns. Called once, even if the client resends
   * the request on a new connection.
   */
  onSending(): void;
  /** All bytes of the request were written to the socket. */
  onSent(): void;
  /**
   * The head of the final response. Interim responses (1xx) are dropped.
   * @param rawHeaders names and values in turn, one pair for each line; the handler may keep and change it
   */
  onHead(status: number, reason: string, rawHeaders: string[]): void;
  /**
   * A chunk of the body. It belongs to the handler and is never overwritten, unless the handler returns it with
   * `exchange.release`. Chunks that were read before `pause` are still delivered.
   */
  onData(chunk: Buffer): void;
  onEnd(): void;
  /** `error.outcome` is `not_sent` if no byte was written to a socket, or if the server certainly read nothing of it. */
  onError(error: ProxyError): void;
}

/** What an exchange belongs to: the pool while it waits, then its connection. */
export interface ExchangeOwner {
  /** The exchange was aborted. */
  drop(exchange: Exchange): void;
  setPaused(isPaused: boolean): void;
  /** Returns a chunk of a body for reuse. */
  release(chunk: Buffer): void;
}

/** One request and its response. It can wait for a connection, and can move to another one. */
export class Exchange {
  readonly request: ClientRequest;
  /** Request line and header lines. */
  readonly head: string;
  readonly handler: ResponseHandler;
  owner: ExchangeOwner;
  /** Failed attempts to open a connection for it. */
  failedDials = 0;
  /** Deadline for opening a connection, on the clock of the pool. Milliseconds. */
  connectBy: number | undefined;
  /** Whether it was resent on a second connection after the first one broke. */
  isResent = false;
  #hasStarted = false;
  #isSent = false;
  #isOver = false;
  #isPaused = false;

  constructor(request: ClientRequest, head: string, handler: ResponseHandler, owner: ExchangeOwner) {
    this.request = request;
    this.head = head;
    this.handler = handler;
    this.owner = owner;
  }

  /** Whether any byte of the request may have been sent. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Whether the client may resend the request although the server may have received it (RFC 9110 9.2.2). */
  get mayResend(): boolean {
    const { method, body } = this.request;
    return body.kind === 'none' && SAFE_METHODS.has(method);
  }

  /** Closes the connection or leaves the queue. No handler is called after this. */
  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.owner.drop(this);
  }

  /** Stops reading from the server. Chunks that were already read may still be delivered, and the end as well. */
  pause(): void {
    if (this.#isPaused || this.#isOver) return;
    this.#isPaused = true;
    this.owner.setPaused(true);
  }

  resume(): void {
    if (!this.#isPaused || this.#isOver) return;
    this.#isPaused = false;
    this.owner.setPaused(false);
  }

  /**
   * Returns a chunk of the body so that its memory can be reused. Optional. Only for a chunk that nothing reads any more:
   * after the callback of the write that used it, if that reported no error.
   */
  release(chunk: Buffer): void {
    this.owner.release(chunk);
  }

  /** Called by the connection before its first write. */
  start(): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.handler.onSending();
  }

  /** Called by the connection after its last write. */
  sent(): void {
    if (this.#isSent || this.#isOver) return;
    this.#isSent = true;
    this.handler.onSent();
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      this.handler.onEnd();
    } catch (cause) {
      this.handler.onError(handlerFailed(cause));
    }
  }

  fail(error: ProxyError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.handler.onError(error);
  }
}

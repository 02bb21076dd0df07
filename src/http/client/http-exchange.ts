import type { ProxyError } from '../../errors.ts';
import { handlerFailed } from './failures.ts';

/** A body that is sent: none, bytes, or a stream that can be read once. */
export type RequestBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /** `length` in bytes; undefined sends it in chunks. A chunk must not be changed once it was given. */
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<Buffer>; readonly length: number | undefined };

export interface ClientRequest {
  readonly method: string;
  /** Path and query as they go on the wire. */
  readonly target: string;
  /**
   * Names and values by turns. `host`, `connection`, `content-length` and `transfer-encoding` are the client's own and
   * may not be among them.
   */
  readonly headers: readonly string[];
  readonly body: RequestBody;
}

/**
 * Is told what becomes of one request: `onSending`, `onSent`, `onHead`, `onData` any number of times, `onEnd`. `onError`
 * can come at any point instead of what is left, and nothing comes after `onEnd`, `onError` or `abort`. A response may
 * come before `onSent`, and end without it. An exception thrown by a handler ends the exchange with `onError`.
 */
export interface ResponseHandler {
  /**
   * The first byte is about to be written. It can be called before `send` returns. Called once, also if the client sends
   * the request again on a new connection.
   */
  onSending(): void;
  /** All bytes were handed to the socket. */
  onSent(): void;
  /**
   * The head of the final response; interim ones (1xx) are dropped.
   * @param rawHeaders names and values by turns, one pair for each line; the handler may keep and change it
   */
  onHead(status: number, reason: string, rawHeaders: string[]): void;
  /**
   * A piece of the body. It belongs to the handler and is never overwritten, unless the handler gives it back by
   * `exchange.release`. Pieces that were read before `pause` still come.
   */
  onData(chunk: Buffer): void;
  onEnd(): void;
  /** `outcome` is `not_sent` exactly if no byte was handed to a socket. */
  onError(error: ProxyError): void;
}

/** Who holds an exchange: the pool while it waits, then its connection. */
export interface ExchangeOwner {
  /** The exchange was aborted. */
  drop(exchange: Exchange): void;
  /** Reads no more from the socket, or reads on. */
  setPaused(isPaused: boolean): void;
  /** Takes back a piece of a body. */
  release(chunk: Buffer): void;
}

/** One request and its response, on whatever connection it is. */
export class Exchange {
  readonly request: ClientRequest;
  /** Request line and header lines. */
  readonly head: string;
  readonly handler: ResponseHandler;
  /** For the pool and the connection. */
  owner: ExchangeOwner;
  /** For the pool: connections for it that could not be opened, and until when one must be. Milliseconds. */
  failedDials = 0;
  connectBy: number | undefined;
  /** Whether it was sent on a second connection after the first one broke. */
  isResent = false;
  #hasStarted = false;
  #isSent = false;
  #isOver = false;
  #isPaused = false;

  constructor(request: ClientRequest, head: string, handler: ResponseHandler, carrier: ExchangeOwner) {
    this.request = request;
    this.head = head;
    this.handler = handler;
    this.owner = carrier;
  }

  /** Whether any byte of the request may have left. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Whether the request may be sent again although the server may have seen it (RFC 9110 9.2.2). */
  get mayResend(): boolean {
    const { method, body } = this.request;
    return body.kind === 'none' && (method === 'GET' || method === 'HEAD' || method === 'OPTIONS');
  }

  /** Closes the connection, or leaves the queue. The handler hears nothing more. */
  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.owner.drop(this);
  }

  /** Stops reading from the server. Some pieces that were read already may still come, and the end with them. */
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
   * Gives a piece of the body back, so that its memory is used again. Optional, and only for a piece that nobody reads
   * any more: after the callback of the write that it went into, and only if that reported no error.
   */
  release(chunk: Buffer): void {
    this.owner.release(chunk);
  }

  /** For the connection, before its first write. */
  start(): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.handler.onSending();
  }

  /** For the connection, after its last write. */
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

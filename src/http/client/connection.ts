import type { Socket } from 'node:net';
import type { ProxyError } from '../../errors.ts';
import { prematureEndError } from '../node-internals.ts';
import type { EgressProxy } from './connect-options.ts';
import type { DialListener } from './dial.ts';
import { isFromProxy } from './egress.ts';
import {
  brokenBody,
  brokenConnection,
  egressRefused,
  handlerFailed,
  invalidResponse,
  unreachable,
  wrongBodyLength,
} from './failures.ts';
import type { Exchange, ExchangeOwner, RequestBody } from './http-exchange.ts';
import type { BufferLease, ReadBuffers } from './read-buffers.ts';
import { InvalidResponse, type ResponseListener, ResponseParser } from './response-parser.ts';

/** A body up to this size is written together with the head, as one string. Bytes. */
const MAX_JOINED_BYTES = 4 * 1024;
/** A body with at least this much left is read into leased buffers. Bytes. */
const LARGE_BODY_BYTES = 32 * 1024;
/** A body of unknown length is treated as large after a read of this size. Bytes. */
const LARGE_READ_BYTES = 16 * 1024;
/** Smaller slices of a leased buffer are copied: each slice keeps the whole buffer in use. Bytes. */
const MIN_SLICE_BYTES = 4 * 1024;

/** The pool that a connection belongs to. */
export interface ConnectionOwner {
  onConnected(connection: Connection): void;
  onDialFailed(connection: Connection, error: unknown): void;
  /** A response is complete and the connection can carry another request. */
  onReusable(connection: Connection): void;
  /** An open connection was closed. Called once. */
  onClosed(connection: Connection): void;
  /** The connection broke. The exchange may be resent on a new connection. */
  resend(exchange: Exchange): void;
}

/** What all connections of a pool have in common. */
export interface ConnectionOptions {
  readonly buffers: ReadBuffers;
  /** Host of the server, for error messages. */
  readonly server: string;
  /** Limit for the head of a response. Default: that of the parser. */
  readonly maxHeadBytes: number | undefined;
  /** The egress proxy, if it gets the requests itself, in absolute form. */
  readonly proxy: EgressProxy | undefined;
}

/** One connection to an upstream. It carries one request at a time. */
export class Connection implements DialListener, ResponseListener, ExchangeOwner {
  // Times on the clock of the pool. Milliseconds.
  /** Deadline for opening the connection. */
  connectBy = 0;
  openedAt = 0;
  /** Valid while the connection is idle. */
  idleUntil = 0;
  /** Number of requests sent on it. */
  requests = 0;
  /** The exchange that the connection is being opened for, unless another connection has taken it. */
  openedFor: Exchange | undefined;
  readonly #owner: ConnectionOwner;
  readonly #buffers: ReadBuffers;
  readonly #server: string;
  readonly #proxy: EgressProxy | undefined;
  readonly #parser: ResponseParser;
  #socket: Socket | undefined;
  #isClosed = false;
  #exchange: Exchange | undefined;
  #isReused = false;
  #isRequestComplete = true;
  /** The leased buffer that the socket reads into. Undefined while it reads into the shared one. */
  #lease: BufferLease | undefined;
  #lastReadBytes = 0;
  /** Resumes writing a streamed body. */
  #onDrained: (() => void) | undefined;

  constructor(owner: ConnectionOwner, { buffers, server, maxHeadBytes, proxy }: ConnectionOptions) {
    this.#owner = owner;
    this.#buffers = buffers;
    this.#server = server;
    this.#proxy = proxy;
    this.#parser = new ResponseParser(this, maxHeadBytes);
  }

  /** Whether a request can be written. A socket may be closed before its event arrives. */
  get isUsable(): boolean {
    return !this.#isClosed && this.#socket?.writable === true;
  }

  /** The `timeout` of the last response's `Keep-Alive` header. Milliseconds. */
  get keepAliveMs(): number | undefined {
    return this.#parser.keepAliveMs;
  }

  onConnected(socket: Socket): void {
    this.#socket = socket;
    socket.on('error', (error) => this.#onBroken(error));
    socket.on('end', () => this.#onEnd(socket));
    socket.on('close', () => this.#onBroken(undefined));
    socket.on('drain', () => this.#goOn());
    this.#owner.onConnected(this);
  }

  onDialFailed(error: unknown): void {
    this.#isClosed = true;
    this.#owner.onDialFailed(this, error);
  }

  /** @param isReused whether the server may have closed the connection meanwhile: it has carried a request before */
  send(exchange: Exchange, isReused: boolean): void {
    const { request } = exchange;
    this.#exchange = exchange;
    this.#isReused = isReused;
    this.#isRequestComplete = false;
    this.requests += 1;
    exchange.owner = this;
    this.#parser.start(request.method);
    if (exchange.isPaused) this.setPaused(true);
    try {
      exchange.start();
      if (this.#exchange === exchange) this.#write(exchange, request.body);
    } catch (error) {
      this.fail(handlerFailed(error));
    }
  }

  #write(exchange: Exchange, body: RequestBody): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (body.kind === 'stream') {
      socket.write(exchange.head, 'latin1');
      void this.#writeStream(exchange, socket, body);
      return;
    }
    if (body.kind === 'none') {
      socket.write(exchange.head, 'latin1');
    } else if (body.bytes.length <= MAX_JOINED_BYTES) {
      socket.write(exchange.head + body.bytes.toString('latin1'), 'latin1');
    } else {
      socket.cork();
      socket.write(exchange.head, 'latin1');
      socket.write(body.bytes);
      socket.uncork();
    }
    this.#isRequestComplete = true;
    exchange.sent();
  }

  /** Writes the chunks as they arrive. Stops reading them once the exchange is over. */
  async #writeStream(exchange: Exchange, socket: Socket, body: RequestBody & { kind: 'stream' }): Promise<void> {
    try {
      let sentBytes = 0;
      for await (const chunk of body.chunks) {
        if (this.#exchange !== exchange) return;
        sentBytes += chunk.length;
        if (body.length !== undefined && sentBytes > body.length) throw wrongBodyLength();
        if (chunk.length > 0 && !writeChunk(socket, chunk, body.length === undefined)) await this.#drained();
        if (this.#exchange !== exchange) return;
      }
      if (this.#exchange !== exchange) return;
      if (body.length === undefined) socket.write('0\r\n\r\n', 'latin1');
      else if (sentBytes < body.length) throw wrongBodyLength();
      this.#isRequestComplete = true;
      exchange.sent();
    } catch (error) {
      if (this.#exchange !== exchange) return;
      this.fail(this.#isRequestComplete ? handlerFailed(error) : brokenBody(error));
    }
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => (this.#onDrained = resolve));
  }

  #goOn(): void {
    const onDrained = this.#onDrained;
    this.#onDrained = undefined;
    onDrained?.();
  }

  nextBuffer(): Buffer {
    const lease = this.#lease;
    const isLarge = this.#isLargeBody();
    const space = isLarge && lease !== undefined ? this.#buffers.freeSpace(lease) : undefined;
    if (space !== undefined) return space;
    if (lease !== undefined) this.#buffers.detach(lease);
    this.#lease = isLarge ? this.#buffers.lease() : undefined;
    return this.#lease?.memory ?? this.#buffers.scratch;
  }

  #isLargeBody(): boolean {
    if (this.#exchange === undefined || this.#exchange.isPaused) return false;
    return this.#parser.remainingBytes >= LARGE_BODY_BYTES || this.#lastReadBytes >= LARGE_READ_BYTES;
  }

  onRead(length: number, buffer: Buffer): void {
    if (this.#lease !== undefined) this.#lease.filledBytes += length;
    this.#lastReadBytes = length;
    // Unsolicited bytes must not become the response to the next request (RFC 9112 9.2).
    if (this.#exchange === undefined) {
      this.close();
      return;
    }
    try {
      const consumed = this.#parser.read(buffer, length);
      if (this.#parser.isComplete) this.#finish(consumed === length);
    } catch (error) {
      this.fail(
        error instanceof InvalidResponse ? invalidResponse(this.#server, error.message, error) : handlerFailed(error),
      );
    }
  }

  onHead(status: number, reason: string, rawHeaders: string[]): void {
    if (this.#proxy !== undefined && isFromProxy(status, rawHeaders)) {
      throw unreachable(this.#server, egressRefused(this.#proxy, this.#server, status));
    }
    this.#exchange?.handler.onHead(status, reason, rawHeaders);
  }

  onBody(buffer: Buffer, start: number, end: number): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    const lease = this.#lease;
    // The shared buffer must be copied: the next read of any connection overwrites it.
    const mustCopy = lease === undefined || end - start < MIN_SLICE_BYTES;
    exchange.handler.onData(mustCopy ? copyOf(buffer, start, end) : this.#buffers.slice(lease, buffer, start, end));
  }

  #finish(isCleanEnd: boolean): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#exchange = undefined;
    if (isCleanEnd && this.#isRequestComplete && this.#parser.keepsAlive) {
      if (exchange.isPaused) this.#socket?.resume();
      this.#owner.onReusable(this);
    } else {
      this.close();
    }
    exchange.end();
  }

  drop(): void {
    this.#exchange = undefined;
    this.close();
  }

  setPaused(isPaused: boolean): void {
    if (isPaused) this.#socket?.pause();
    else this.#socket?.resume();
  }

  release(chunk: Buffer): void {
    this.#buffers.release(chunk);
  }

  #onEnd(socket: Socket): void {
    const isExpected = this.#parser.endsWithConnection;
    const fault = isExpected ? prematureEndError(socket) : undefined;
    if (isExpected && fault === undefined) this.#finish(false);
    else this.#onBroken(fault);
  }

  #onBroken(cause: Error | undefined): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.close();
    if (exchange === undefined) return;
    if (this.#isReused && !this.#parser.hasStarted && exchange.mayResend) {
      exchange.isResent = true;
      this.#owner.resend(exchange);
    } else {
      exchange.fail(brokenConnection(this.#server, cause));
    }
  }

  /** Closes the connection. Its exchange ends with this error. */
  fail(error: ProxyError): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.close();
    exchange?.fail(error);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket?.destroy();
    this.#owner.onClosed(this);
    this.#goOn();
  }
}

/** @returns false if the socket must drain before the next write */
function writeChunk(socket: Socket, chunk: Buffer, isChunked: boolean): boolean {
  if (!isChunked) return socket.write(chunk);
  socket.cork();
  socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
  socket.write(chunk);
  const canWriteMore = socket.write('\r\n', 'latin1');
  socket.uncork();
  return canWriteMore;
}

function copyOf(buffer: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start);
  buffer.copy(copy, 0, start, end);
  return copy;
}

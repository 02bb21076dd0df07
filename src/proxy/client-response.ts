import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ByteBuffer } from '../http/byte-buffer.ts';
import { type HeaderList, headerValue } from '../http/header-list.ts';
import { discardInput, endResponse, endSocket, ignoreError } from '../http/linger.ts';
import { http, resetConnection } from '../http/node-internals.ts';
import type { SecretSearch } from '../redaction.ts';

/**
 * A response on a socket that node:http has handed over for an upgrade. The connection closes after it. Further input of
 * the client is read and dropped.
 */
export function responseForSocket(socket: Socket, req: IncomingMessage): ServerResponse {
  // Over TLS, a reset is noticed only by reading. Otherwise the connection would stay open.
  discardInput(socket);
  const res = new http.ServerResponse(req);
  res.on('error', ignoreError);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  // node:http does this itself for sockets that it has not handed over.
  const onDrain = () => res.emit('drain');
  socket.on('drain', onDrain);
  res.once('finish', () => {
    socket.off('drain', onDrain);
    res.detachSocket(socket);
    endSocket(socket);
  });
  return res;
}

/** The upstream side of a streamed response. */
interface ResponseSource {
  pause(): void;
  resume(): void;
  /** Returns a chunk that was written, so that its memory can be reused. */
  release(chunk: Buffer): void;
}

/** A body up to this size is written together with the head. Bytes. */
export const SMALL_BODY_BYTES = 16 * 1024;

/** Smaller chunks are collected before they are written. Bytes. */
const SMALL_CHUNK_BYTES = 4096;

/** A response that is relayed to the client: held at first, then sent whole or streamed. */
export class ClientResponse {
  readonly status: number;
  readonly headers: HeaderList;
  readonly #res: ServerResponse;
  readonly #reason: string;
  /** Bytes that are not written yet. */
  readonly #held = new ByteBuffer();
  /** Set once the response is streamed. */
  #source: ResponseSource | undefined;
  #onProgress: () => void = () => undefined;
  /** Whether small chunks are held until the previous write is complete. */
  #isCollecting = false;
  /**
   * Whether the kernel did not take the last write at once. A fast client gets one event-loop iteration before the source
   * is paused, because pausing is expensive.
   */
  #isClientSlow = false;
  #isWaitingForDrain = false;

  /** @param headers names and values in turn; more may be added until the response is sent */
  constructor(res: ServerResponse, status: number, reason: string, headers: HeaderList) {
    this.#res = res;
    this.status = status;
    this.#reason = reason;
    this.headers = headers;
  }

  /** Whether the body is known to be small, so that it can be sent in one write. */
  isSmall(method: string): boolean {
    if (method === 'HEAD' || this.status === 204 || this.status === 304) return true;
    const length = headerValue(this.headers, 'content-length');
    return length !== undefined && Number(length) <= SMALL_BODY_BYTES;
  }

  get heldBytes(): number {
    return this.#held.length;
  }

  held(): Buffer {
    return this.#held.bytes;
  }

  /** Whether the source is paused because the client is slow to read. */
  get isWaitingForClient(): boolean {
    return this.#isWaitingForDrain;
  }

  hold(chunk: Buffer): void {
    this.#held.append(chunk);
  }

  /** Sends the head and the complete, held body in one write. As a Latin-1 string, Node joins the body to the head. */
  sendWhole(): void {
    this.#res.writeHead(this.status, this.#reason, this.headers);
    if (this.heldBytes === 0) endResponse(this.#res);
    else endResponse(this.#res, this.held().toString('latin1'), 'latin1');
  }

  /**
   * Sends the head and the held bytes. The rest follows through `write`.
   * @param source paused while the client is slow
   * @param onProgress called when a slow client has taken everything that was written
   */
  startStreaming(source: ResponseSource, onProgress: () => void): void {
    this.#source = source;
    this.#onProgress = onProgress;
    this.#res.writeHead(this.status, this.#reason, this.headers);
    // Send the head in this event-loop iteration, in one packet with the body bytes that are available. The socket is
    // corked, not the response: a corked response would delay chunks past an `end` in the same iteration.
    const { socket } = this.#res;
    socket?.cork();
    process.nextTick(() => socket?.uncork());
    this.#res.flushHeaders();
    this.#writeHeld();
  }

  write(chunk: Buffer): void {
    if (chunk.length >= SMALL_CHUNK_BYTES) {
      this.#writeHeld();
      // After a failed write, something may still read the chunk, so it is not returned.
      this.#write(chunk, (error) => {
        if (error === null || error === undefined) this.#source?.release(chunk);
      });
      return;
    }
    this.#held.append(chunk);
    if (this.heldBytes >= SMALL_CHUNK_BYTES) {
      this.#writeHeld();
    } else if (!this.#isCollecting) {
      this.#isCollecting = true;
      process.nextTick(() => this.#writeCollected());
    }
  }

  /** A pending write takes about 1000 bytes of memory, so small chunks are held until the previous write is complete. */
  #writeCollected(): void {
    this.#isCollecting = this.heldBytes > 0 && !this.#res.destroyed;
    if (this.#isCollecting) this.#writeHeld(() => this.#writeCollected());
  }

  #writeHeld(onWritten?: () => void): void {
    if (this.heldBytes > 0) this.#write(this.#held.take(), onWritten);
  }

  #write(bytes: Buffer, onWritten?: (error: Error | null | undefined) => void): void {
    if (this.#res.write(bytes, onWritten)) return;
    // Node passes the bytes to the kernel after this callback. If the client was fast so far, do not pause yet.
    if (this.#isClientSlow) this.#source?.pause();
    process.nextTick(checkBackPressure, this);
  }

  /** Called on the next tick. Pauses the source while the client is slow to read. */
  checkBackPressure(): void {
    this.#isClientSlow = this.#res.writableLength > 0;
    if (!this.#isClientSlow) {
      this.#source?.resume();
    } else if (!this.#isWaitingForDrain) {
      this.#isWaitingForDrain = true;
      this.#source?.pause();
      this.#res.once('drain', () => {
        this.#isWaitingForDrain = false;
        this.#onProgress();
        this.#source?.resume();
      });
    }
  }

  end(): void {
    this.#writeHeld();
    endResponse(this.#res);
  }

  /** Closes the connection so that the client cannot mistake a part of the response for all of it (RFC 9112 8). */
  abort(): void {
    const { socket } = this.#res;
    // Without chunks or a length, an orderly close would be the end of the body (RFC 9112 6.3). A reset is not.
    const isEndedByClose = !this.#res.chunkedEncoding && headerValue(this.headers, 'content-length') === undefined;
    if (isEndedByClose && socket !== null) resetConnection(socket);
    this.#res.destroy();
  }
}

function checkBackPressure(response: ClientResponse): void {
  response.checkBackPressure();
}

/** The reason phrase to send. One that is not ASCII or contains a secret is replaced by the standard phrase. */
export function reasonPhrase(reason: string, status: number, redaction: SecretSearch): string {
  return /[^\0-\x7f]/.test(reason) || redaction.isIn(reason) ? (http.STATUS_CODES[status] ?? '') : reason;
}

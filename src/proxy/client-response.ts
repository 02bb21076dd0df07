import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ByteBuffer } from '../http/byte-buffer.ts';
import { type HeaderList, headerValue } from '../http/header-list.ts';
import { discardInput, endResponse, endSocket, ignoreError } from '../http/linger.ts';
import { http, resetConnection } from '../http/node-internals.ts';
import type { Redaction } from '../redaction.ts';

/**
 * A response on a connection that node gave away for an upgrade. The connection ends with it; what the client goes on
 * sending until then is read for nothing.
 */
export function responseForSocket(socket: Socket, req: IncomingMessage): ServerResponse {
  // Over TLS, a reset is noticed only by reading: unread, the connection would stay open.
  discardInput(socket);
  const res = new http.ServerResponse(req);
  res.on('error', ignoreError);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  // Node does this for connections that are still its own.
  const onDrain = () => res.emit('drain');
  socket.on('drain', onDrain);
  res.once('finish', () => {
    socket.off('drain', onDrain);
    res.detachSocket(socket);
    endSocket(socket);
  });
  return res;
}

/** Where the bytes of a response come from. */
interface ResponseSource {
  pause(): void;
  resume(): void;
  /** Takes back a chunk that was written, so that its memory is used again. */
  release(chunk: Buffer): void;
}

/** Bodies up to this size go out in one write with the head. Bytes. */
export const SMALL_BODY_BYTES = 16 * 1024;

/** Chunks below this size are written together with others. Bytes. */
const SMALL_CHUNK_BYTES = 4096;

/** The response of an upstream on its way to the client: held at first, then sent whole or streamed. */
export class ClientResponse {
  readonly status: number;
  readonly headers: HeaderList;
  readonly #res: ServerResponse;
  readonly #reason: string;
  /** What was not written yet. */
  readonly #held = new ByteBuffer();
  /** Undefined until it is streamed. */
  #source: ResponseSource | undefined;
  #onProgress: () => void = () => undefined;
  /** Whether small chunks wait until those before them are written. */
  #isGathering = false;
  /** Whether the last write was not taken at once. A fast client gets one turn before the source is paused: a pause costs. */
  #isClientSlow = false;
  #isDraining = false;

  /** @param headers names and values by turns; more may be added until it is sent */
  constructor(res: ServerResponse, status: number, reason: string, headers: HeaderList) {
    this.#res = res;
    this.status = status;
    this.#reason = reason;
    this.headers = headers;
  }

  /** Whether the whole body is sure to be small, so that it can go out in one write. */
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

  /** Whether the source is paused because the client has not taken what was written. */
  get isWaitingForClient(): boolean {
    return this.#isDraining;
  }

  hold(chunk: Buffer): void {
    this.#held.append(chunk);
  }

  /** Sends head and body, all of it held, in one write. Latin-1 keeps every byte and lets Node join it to the head. */
  sendWhole(): void {
    this.#res.writeHead(this.status, this.#reason, this.headers);
    if (this.heldBytes === 0) endResponse(this.#res);
    else endResponse(this.#res, this.held().toString('latin1'), 'latin1');
  }

  /**
   * Sends the head and what is held. The rest follows through `write`.
   * @param source is paused while the client is slow
   * @param onProgress is called when a slow client has taken all that was written
   */
  startStreaming(source: ResponseSource, onProgress: () => void): void {
    this.#source = source;
    this.#onProgress = onProgress;
    this.#res.writeHead(this.status, this.#reason, this.headers);
    // The head leaves in this turn even if no body follows, and in one packet with what does. The socket is corked, not
    // the response: that would put off chunks past an end in the same turn.
    const { socket } = this.#res;
    socket?.cork();
    process.nextTick(() => socket?.uncork());
    this.#res.flushHeaders();
    this.#writeHeld();
  }

  write(chunk: Buffer): void {
    if (chunk.length >= SMALL_CHUNK_BYTES) {
      this.#writeHeld();
      // Where the write failed, something may still read the chunk: it is not given back.
      this.#write(chunk, (error) => {
        if (error === null || error === undefined) this.#source?.release(chunk);
      });
      return;
    }
    this.#held.append(chunk);
    if (this.heldBytes >= SMALL_CHUNK_BYTES) {
      this.#writeHeld();
    } else if (!this.#isGathering) {
      this.#isGathering = true;
      process.nextTick(() => this.#writeGathered());
    }
  }

  /** Each write costs some 1000 bytes until the client has read it: the next small chunks wait for that. */
  #writeGathered(): void {
    this.#isGathering = this.heldBytes > 0 && !this.#res.destroyed;
    if (this.#isGathering) this.#writeHeld(() => this.#writeGathered());
  }

  #writeHeld(onWritten?: () => void): void {
    if (this.heldBytes > 0) this.#write(this.#held.take(), onWritten);
  }

  #write(bytes: Buffer, onWritten?: (error: Error | null | undefined) => void): void {
    if (this.#res.write(bytes, onWritten)) return;
    // Node hands the bytes to the kernel at the end of this turn. A client that was fast so far is likely to take them.
    if (this.#isClientSlow) this.#source?.pause();
    process.nextTick(checkBackPressure, this);
  }

  /** For `checkBackPressure`. Pauses the source while bytes wait for the client. */
  checkBackPressure(): void {
    this.#isClientSlow = this.#res.writableLength > 0;
    if (!this.#isClientSlow) {
      this.#source?.resume();
    } else if (!this.#isDraining) {
      this.#isDraining = true;
      this.#source?.pause();
      this.#res.once('drain', () => {
        this.#isDraining = false;
        this.#onProgress();
        this.#source?.resume();
      });
    }
  }

  end(): void {
    this.#writeHeld();
    endResponse(this.#res);
  }

  /** Breaks the connection, so that the client cannot take half a response for a whole one. */
  abort(): void {
    const { socket } = this.#res;
    // Without chunks or a length, an orderly close is the end of the body: only a reset tells it apart.
    const isEndedByClose = !this.#res.chunkedEncoding && headerValue(this.headers, 'content-length') === undefined;
    if (isEndedByClose && socket !== null) resetConnection(socket);
    this.#res.destroy();
  }
}

function checkBackPressure(response: ClientResponse): void {
  response.checkBackPressure();
}

/** The reason phrase as it goes out: anything but plain ASCII, and a secret, gives way to the usual one. */
export function reasonPhrase(reason: string, status: number, redaction: Redaction): string {
  return /[^\0-\x7f]/.test(reason) || redaction.isIn(reason) ? (http.STATUS_CODES[status] ?? '') : reason;
}

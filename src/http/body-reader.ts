import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { ProxyError } from '../errors.ts';
import { ByteBuffer } from './byte-buffer.ts';
import { pauseConnection, resumeConnection } from './node-internals.ts';

/** The connection is paused while more than this of a streamed body is buffered. Bytes. */
const MAX_BUFFERED_BYTES = 32 * 1024;

/** After a chunk smaller than this, wait for the other chunks of the same read. Bytes. */
const SMALL_CHUNK_BYTES = 4096;

interface BodyListener {
  onChunk(chunk: Buffer): void;
  onEnd(): void;
  /** The rest of the body is invalid or will not arrive. */
  onError(error: ProxyError): void;
}

const READER = Symbol('body reader');

/** A request that may have a reader. */
type Request = IncomingMessage & { [READER]?: BodyReader };

/**
 * Reads a request body as it arrives and keeps unread bytes in one buffer. The stream of node:http would keep each chunk
 * as an object: about 400 bytes for a chunk of one byte, while its high-water mark counts only that byte.
 */
export class BodyReader {
  readonly #req: Request;
  readonly #buffered = new ByteBuffer();
  #listener: BodyListener | undefined;
  #maxBufferedBytes = MAX_BUFFERED_BYTES;
  #state: 'reading' | 'paused' | 'ended' | 'discarded' = 'reading';
  #error: ProxyError | undefined;
  /** Whether `chunks` is waiting for the next bytes. */
  #isConsumerWaiting = false;
  #wake: () => void = () => undefined;

  private constructor(req: Request) {
    this.#req = req;
    req[READER] = this;
    req.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    req.on('end', () => this.#onEnd());
    req.on('close', () => this.#wake());
  }

  /** The reader of this request. Starts reading if there was none. */
  static of(req: Request): BodyReader {
    return req[READER] ?? new BodyReader(req);
  }

  static find(req: Request): BodyReader | undefined {
    return req[READER];
  }

  get bufferedBytes(): number {
    return this.#buffered.length;
  }

  /** Whether everything that has arrived was taken, and the client has not sent the rest. */
  get isWaitingForClient(): boolean {
    return this.#isConsumerWaiting && this.#state === 'reading' && this.bufferedBytes === 0;
  }

  /**
   * Calls the listener with the bytes that are already buffered, and from then on.
   * @param maxBufferedBytes raises the limit at which the connection is paused
   */
  listen(maxBufferedBytes: number, listener: BodyListener): void {
    this.#maxBufferedBytes = Math.max(maxBufferedBytes, MAX_BUFFERED_BYTES);
    this.#resume();
    if (this.bufferedBytes > 0) listener.onChunk(this.#buffered.bytes);
    this.#listener = listener;
    if (this.#state === 'ended') listener.onEnd();
    if (this.#error !== undefined) listener.onError(this.#error);
  }

  /** Removes and returns the buffered bytes. */
  take(): Buffer {
    this.#isConsumerWaiting = false;
    this.#resume();
    return this.#buffered.take();
  }

  /** The rest of the body will not arrive. */
  fail(error: ProxyError): void {
    this.#error = error;
    this.#listener?.onError(error);
    this.#wake();
  }

  /** The chunks of the body as they arrive. @throws ProxyError with outcome `unknown` if the body is incomplete */
  async *chunks(): AsyncGenerator<Buffer> {
    this.#maxBufferedBytes = MAX_BUFFERED_BYTES;
    let lastChunkBytes = SMALL_CHUNK_BYTES;
    for (;;) {
      if (this.bufferedBytes > 0) {
        lastChunkBytes = this.bufferedBytes;
        yield this.take();
      } else if (this.#state === 'ended') {
        return;
      } else if (this.#error !== undefined) {
        const { code, message, reason } = this.#error;
        throw new ProxyError(code, message, { reason, outcome: 'unknown' });
      } else if (this.#state === 'discarded' || this.#req.destroyed) {
        throw new ProxyError('bad_request', 'The request body ended early.', { outcome: 'unknown' });
      } else {
        this.#isConsumerWaiting = true;
        await new Promise<void>((resolve) => (this.#wake = resolve));
        const areChunksSmall = lastChunkBytes < SMALL_CHUNK_BYTES && this.bufferedBytes < SMALL_CHUNK_BYTES;
        if (areChunksSmall && this.#state === 'reading') await setImmediate();
      }
    }
  }

  /** Reads and drops the rest of the body. */
  discard(): void {
    this.take();
    if (this.#state === 'reading') this.#state = 'discarded';
    this.#wake();
  }

  #onChunk(chunk: Buffer): void {
    if (this.#state === 'discarded') return;
    this.#buffered.append(chunk);
    this.#listener?.onChunk(chunk);
    const isFull = this.bufferedBytes > this.#maxBufferedBytes;
    if (isFull && !this.#isConsumerWaiting && this.#state === 'reading') this.#pause();
    this.#wake();
  }

  #onEnd(): void {
    this.#resume();
    if (this.#state === 'reading') this.#state = 'ended';
    this.#listener?.onEnd();
    this.#wake();
  }

  #pause(): void {
    this.#state = 'paused';
    pauseConnection(this.#req);
  }

  #resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'reading';
    resumeConnection(this.#req);
  }
}

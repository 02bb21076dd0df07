import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { ProxyError } from '../errors.ts';
import { ByteBuffer } from './byte-buffer.ts';
import { pauseConnection, resumeConnection } from './node-internals.ts';

/** At most this much of a streamed body waits to be taken; then its connection is paused. Bytes. */
const MAX_WAITING = 32 * 1024;

/** A chunk below this size, behind another one, waits for the others of the same read. Bytes. */
const SMALL_CHUNK = 4096;

interface BodyListener {
  onChunk(chunk: Buffer): void;
  onEnd(): void;
  /** What follows is no valid HTTP, or nothing follows. */
  onBroken(error: ProxyError): void;
}

const READER = Symbol('body reader');

/** A request whose body may have a reader. */
type Request = IncomingMessage & { [READER]?: BodyReader };

/**
 * Reads the body of a request as it arrives, and keeps what was not taken yet in one buffer. The stream of the request
 * would keep each chunk as an object, some 400 bytes for a chunk of one byte, and count that one byte.
 */
export class BodyReader {
  readonly #req: Request;
  readonly #waiting = new ByteBuffer();
  #listener: BodyListener | undefined;
  #maxWaiting = MAX_WAITING;
  #state: 'reading' | 'paused' | 'ended' | 'discarded' = 'reading';
  #error: ProxyError | undefined;
  /** Whether what comes next is taken at once. */
  #wanted = false;
  #wake: () => void = () => undefined;

  private constructor(req: Request) {
    this.#req = req;
    req[READER] = this;
    req.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    req.on('end', () => this.#onEnd());
    req.on('close', () => this.#wake());
  }

  /** The reader of this body. Begins to read. */
  static of(req: Request): BodyReader {
    return req[READER] ?? new BodyReader(req);
  }

  static ifAny(req: Request): BodyReader | undefined {
    return req[READER];
  }

  /** Bytes that wait to be taken. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Calls back for what has arrived and what arrives. More than 32 KiB may wait if `maxWaiting` says so. */
  listen(maxWaiting: number, listener: BodyListener): void {
    this.#maxWaiting = Math.max(maxWaiting, MAX_WAITING);
    this.#resume();
    if (this.waiting > 0) listener.onChunk(this.#waiting.bytes);
    this.#listener = listener;
    if (this.#state === 'ended') listener.onEnd();
    if (this.#error !== undefined) listener.onBroken(this.#error);
  }

  /** All bytes that wait. */
  take(): Buffer {
    this.#wanted = false;
    this.#resume();
    return this.#waiting.take();
  }

  /** Tells that the rest of the body will not come. */
  breakOff(error: ProxyError): void {
    this.#error = error;
    this.#listener?.onBroken(error);
    this.#wake();
  }

  /** The body as it comes. @throws ProxyError `unknown` where it breaks off */
  async *chunks(): AsyncGenerator<Buffer> {
    this.#maxWaiting = MAX_WAITING;
    let taken = SMALL_CHUNK;
    for (;;) {
      if (this.waiting > 0) {
        taken = this.waiting;
        yield this.take();
      } else if (this.#state === 'ended') {
        return;
      } else if (this.#error !== undefined) {
        throw new ProxyError(this.#error.code, this.#error.message, { outcome: 'unknown' });
      } else if (this.#state === 'discarded' || this.#req.destroyed) {
        throw new ProxyError('bad_request', 'The request body broke off.', { outcome: 'unknown' });
      } else {
        this.#wanted = true;
        await new Promise<void>((resolve) => (this.#wake = resolve));
        if (taken < SMALL_CHUNK && this.waiting < SMALL_CHUNK && this.#state === 'reading') await setImmediate();
      }
    }
  }

  /** Reads the rest for nothing. */
  discard(): void {
    this.take();
    if (this.#state === 'reading') this.#state = 'discarded';
    this.#wake();
  }

  #onChunk(chunk: Buffer): void {
    if (this.#state === 'discarded') return;
    this.#waiting.append(chunk);
    this.#listener?.onChunk(chunk);
    if (!this.#wanted && this.#state === 'reading' && this.waiting > this.#maxWaiting) this.#pause();
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

import type { ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { ByteBuffer } from '../byte-buffer.ts';
import { http } from '../node-http.ts';
import type { Redaction } from '../redaction.ts';
import { type HeaderList, headerOf } from './headers.ts';
import { endAnswer } from './linger.ts';

/** Where an answer's bytes come from: told to stop while the client is slow. */
interface Source {
  pause(): void;
  resume(): void;
}

/** Bodies up to this size go out in one write with the head. Bytes. */
export const SMALL_BODY = 16 * 1024;

/** Chunks below this size are written together with others. Bytes. */
const SMALL_CHUNK = 4096;

/** An upstream's answer on its way to the client: held while it is small or in doubt, then relayed as it comes. */
export class ClientAnswer {
  readonly #res: ServerResponse;
  readonly #source: Source;
  readonly #status: number;
  readonly #reason: string;
  readonly #headers: HeaderList;
  /** What was not written yet. */
  readonly #held = new ByteBuffer();
  /** Small chunks gather until they are written together, behind what was written before. */
  #gathers = false;

  constructor(res: ServerResponse, source: Source, status: number, reason: string, headers: HeaderList) {
    this.#res = res;
    this.#source = source;
    this.#status = status;
    this.#reason = reason;
    this.#headers = headers;
  }

  get status(): number {
    return this.#status;
  }

  get headers(): HeaderList {
    return this.#headers;
  }

  get heldBytes(): number {
    return this.#held.length;
  }

  hold(chunk: Buffer): void {
    this.#held.append(chunk);
  }

  held(): Buffer {
    return this.#held.bytes;
  }

  /** Sends head and body, all of it held, in one write. Latin-1 keeps every byte and lets node join it to the head. */
  sendWhole(): void {
    this.#res.writeHead(this.#status, this.#reason, this.#headers);
    if (!this.#res.req.complete) {
      if (this.heldBytes > 0) this.#res.write(this.held());
      endAnswer(this.#res);
    } else if (this.heldBytes === 0) this.#res.end();
    else this.#res.end(this.held().toString('latin1'), 'latin1');
  }

  /** Sends the head and what is held; the rest follows through `relay`. */
  startStreaming(): void {
    this.#res.writeHead(this.#status, this.#reason, this.#headers);
    // The head leaves in this turn even if no body follows, and in one packet with what does. The socket is corked, not
    // the response: that would put off chunks past an end in the same turn.
    const { socket } = this.#res;
    socket?.cork();
    process.nextTick(() => socket?.uncork());
    this.#res.flushHeaders();
    this.#writeHeld();
  }

  relay(chunk: Buffer): void {
    if (chunk.length >= SMALL_CHUNK) {
      this.#writeHeld();
      this.#write(chunk);
      return;
    }
    this.#held.append(chunk);
    if (this.heldBytes >= SMALL_CHUNK) {
      this.#writeHeld();
    } else if (!this.#gathers) {
      this.#gathers = true;
      process.nextTick(() => this.#writeGathered());
    }
  }

  /** Each write costs some 1000 bytes until the client has read it: the next small chunks wait for that. */
  #writeGathered(): void {
    this.#gathers = this.heldBytes > 0 && !this.#res.destroyed;
    if (this.#gathers) this.#writeHeld(() => this.#writeGathered());
  }

  #writeHeld(written?: () => void): void {
    if (this.heldBytes > 0) this.#write(this.#held.take(), written);
  }

  #write(bytes: Buffer, written?: () => void): void {
    if (this.#res.write(bytes, written)) return;
    this.#source.pause();
    this.#res.once('drain', () => this.#source.resume());
  }

  end(): void {
    this.#writeHeld();
    if (this.#res.req.complete) this.#res.end();
    else endAnswer(this.#res);
  }

  /** Half an answer must not pass for a whole one: the client sees its connection break. */
  breakOff(): void {
    const { socket } = this.#res;
    // Without chunks or a length, an orderly close is the end of the body: only a reset tells it apart.
    const closeIsEnd = !this.#res.chunkedEncoding && headerOf(this.#headers, 'content-length') === undefined;
    if (closeIsEnd && socket !== null && !(socket instanceof TLSSocket)) socket.resetAndDestroy();
    else this.#res.destroy();
  }
}

/** The reason phrase as it goes out: anything but plain ASCII, and a secret, gives way to the usual one. */
export function reasonOf(reason: string, status: number, redaction: Redaction): string {
  return /[^\0-\x7f]/.test(reason) || redaction.isIn(reason) ? (http.STATUS_CODES[status] ?? '') : reason;
}

/** True if an answer's whole body is sure to be small, so that it can go out in one write. */
export function isSmallBody(headers: readonly string[], status: number, method: string): boolean {
  if (method === 'HEAD' || status === 204 || status === 304) return true;
  const length = headerOf(headers, 'content-length');
  return length !== undefined && Number(length) <= SMALL_BODY;
}

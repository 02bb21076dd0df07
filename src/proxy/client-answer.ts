import type { ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { http } from '../node-http.ts';
import { type HeaderList, headerOf } from './headers.ts';
import { endAnswer } from './linger.ts';

/** Where an answer's bytes come from: told to stop while the client is slow. */
interface Source {
  pause(): void;
  resume(): void;
}

/** Bodies up to this size go out in one write with the head. Bytes. */
export const SMALL_BODY = 16 * 1024;

/** An upstream's answer on its way to the client: held while it is small or in doubt, then relayed as it comes. */
export class ClientAnswer {
  readonly #res: ServerResponse;
  readonly #source: Source;
  readonly #status: number;
  readonly #reason: string;
  readonly #headers: HeaderList;
  #held: Buffer[] = [];
  #heldBytes = 0;

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
    return this.#heldBytes;
  }

  hold(chunk: Buffer): void {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
  }

  held(): Buffer {
    const [only] = this.#held;
    return this.#held.length === 1 && only !== undefined ? only : Buffer.concat(this.#held, this.#heldBytes);
  }

  /** Sends head and body, all of it held, in one write. Latin-1 keeps every byte and lets node join it to the head. */
  sendWhole(): void {
    this.#res.writeHead(this.#status, this.#reason, this.#headers);
    if (!this.#res.req.complete) {
      if (this.#heldBytes > 0) this.#res.write(this.held());
      endAnswer(this.#res);
    } else if (this.#heldBytes === 0) this.#res.end();
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
    const held = this.#held;
    this.#held = [];
    for (const chunk of held) this.relay(chunk);
  }

  relay(chunk: Buffer): void {
    if (this.#res.write(chunk)) return;
    this.#source.pause();
    this.#res.once('drain', () => this.#source.resume());
  }

  end(): void {
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

/** The reason phrase as it goes out: anything but plain ASCII, and our token, gives way to the usual one. */
export function reasonOf(reason: string, status: number, accessToken: string): string {
  return /[^\0-\x7f]/.test(reason) || reason.includes(accessToken) ? (http.STATUS_CODES[status] ?? '') : reason;
}

/** True if an answer's whole body is sure to be small, so that it can go out in one write. */
export function isSmallBody(headers: readonly string[], status: number, method: string): boolean {
  if (method === 'HEAD' || status === 204 || status === 304) return true;
  const length = headerOf(headers, 'content-length');
  return length !== undefined && Number(length) <= SMALL_BODY;
}

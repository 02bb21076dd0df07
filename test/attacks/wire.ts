import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { eventually, withTimeout } from '../soak/scope.ts';

/** Where a listener is, and how it is spoken to. */
export interface Endpoint {
  readonly port: number;
  /** PEM text of the certificate to trust; undefined on a plain listener. */
  readonly ca: string | undefined;
}

/** How long an attacker waits for a response or a close. Long: the machine may be busy. */
const RESPONSE_TIMEOUT_MS = 20_000;
/** A peer that takes no bytes for this long is taken for one that has stopped reading. */
const STALLED_MS = 1000;
/** Received bytes that are kept. */
const KEPT = 4 * 1024 * 1024;

/** A client connection, plain or TLS, that sends exactly the bytes it is given. */
export class Wire {
  readonly #raw: Socket;
  readonly #socket: Socket;
  #received = '';
  #bytes = 0;
  #closed = false;

  private constructor(raw: Socket, socket: Socket) {
    this.#raw = raw;
    this.#socket = socket;
    for (const one of new Set([raw, socket])) one.on('error', () => {});
    raw.on('close', () => (this.#closed = true));
    socket.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#received.length < KEPT) this.#received += chunk.toString('latin1');
    });
  }

  /** Connects; over TLS it also does the handshake. @throws Error if that fails */
  static async open({ port, ca }: Endpoint): Promise<Wire> {
    const raw = connect({ port, host: '127.0.0.1' });
    if (ca === undefined) {
      const wire = new Wire(raw, raw);
      await withTimeout(once(raw, 'connect'), RESPONSE_TIMEOUT_MS, 'connecting');
      return wire;
    }
    const socket = connectTls({ socket: raw, servername: 'localhost', ca });
    const wire = new Wire(raw, socket);
    await withTimeout(once(socket, 'secureConnect'), RESPONSE_TIMEOUT_MS, 'the TLS handshake');
    return wire;
  }

  /** Connects by TCP alone, whatever the listener speaks. */
  static async openTcp(port: number): Promise<Wire> {
    return Wire.open({ port, ca: undefined });
  }

  /** Everything received so far, up to 4 MiB, as Latin-1. */
  get received(): string {
    return this.#received;
  }

  get bytesReceived(): number {
    return this.#bytes;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  send(bytes: string | Buffer): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends, and waits until the peer took the bytes, closed, or stopped reading. */
  async sendAll(bytes: string | Buffer): Promise<void> {
    this.send(bytes);
    let left = this.#unsent();
    while (left > 0 && !this.#closed) {
      if (!(await eventually(STALLED_MS, () => this.#closed || this.#unsent() < left))) return;
      left = this.#unsent();
    }
  }

  /** Repeats these bytes until `maxBytes` are sent, the peer closes, or it stops reading. @returns bytes sent */
  async flood(bytes: Buffer, maxBytes: number): Promise<number> {
    let sent = 0;
    while (sent < maxBytes && !this.#closed) {
      await this.sendAll(bytes);
      if (this.#unsent() > 0) break;
      sent += bytes.length;
    }
    return sent;
  }

  /** Waits until the received bytes match. @throws Error if the connection ends before, or nothing comes */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    let found: RegExpExecArray | null = null;
    await eventually(RESPONSE_TIMEOUT_MS, () => (found = pattern.exec(this.#received)) !== null || this.#closed);
    if (found === null) {
      const end = this.#closed ? 'the connection ended' : 'no response came';
      throw new Error(`${end}: expected ${String(pattern)} in ${JSON.stringify(this.#received.slice(-500))}`);
    }
    return found;
  }

  /** Waits until the peer closed the connection. @returns whether it did */
  async waitForClose(timeoutMs = RESPONSE_TIMEOUT_MS): Promise<boolean> {
    return eventually(timeoutMs, () => this.#closed);
  }

  stopReading(): void {
    this.#socket.pause();
  }

  /** Sends a FIN, and goes on reading. */
  end(): void {
    this.#socket.end();
  }

  /**
   * Sends a TCP reset, also below TLS. The TLS socket ends by itself: Node 22 to 26 crash with a segmentation fault if
   * it is destroyed in the same turn.
   */
  reset(): void {
    if (!this.#raw.destroyed) this.#raw.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
    this.#raw.destroy();
  }

  #unsent(): number {
    return this.#socket.writableLength;
  }
}

/** Lines of a request head, with the blank line behind them. */
export function head(...lines: readonly string[]): string {
  return [...lines, '', ''].join('\r\n');
}

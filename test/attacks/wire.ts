import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { eventually, withTimeout } from '../soak/scope.ts';

/** The address of a plain or TLS listener. */
export interface Endpoint {
  readonly port: number;
  /** PEM text of the certificate to trust; undefined on a plain listener. */
  readonly ca: string | undefined;
}

/** How long an attacker waits for a response or a close. The machine may be busy. */
const RESPONSE_TIMEOUT_MS = 20_000;
/** A peer that reads no bytes for this time counts as stalled. */
const STALLED_MS = 1000;
/** Received bytes that are kept. */
const MAX_RECEIVED_BYTES = 4 * 1024 * 1024;

/** A client connection, plain or TLS, that sends exactly the bytes it is given. */
export class Wire {
  readonly #raw: Socket;
  readonly #socket: Socket;
  #received = '';
  #bytes = 0;
  #isClosed = false;

  private constructor(raw: Socket, socket: Socket) {
    this.#raw = raw;
    this.#socket = socket;
    for (const one of new Set([raw, socket])) one.on('error', () => {});
    raw.on('close', () => (this.#isClosed = true));
    socket.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#received.length < MAX_RECEIVED_BYTES) this.#received += chunk.toString('latin1');
    });
  }

  /** Connects, and does the handshake on a TLS listener. @throws Error if that fails */
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

  /** Connects without a TLS handshake. */
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
    return this.#isClosed;
  }

  send(bytes: string | Buffer): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends bytes and waits until the peer has read them, closed or stalled. */
  async sendAll(bytes: string | Buffer): Promise<void> {
    this.send(bytes);
    let left = this.#unsent();
    while (left > 0 && !this.#isClosed) {
      if (!(await eventually(STALLED_MS, () => this.#isClosed || this.#unsent() < left))) return;
      left = this.#unsent();
    }
  }

  /** Repeats the bytes until `maxBytes` are sent, or the peer closes or stalls. @returns the number of bytes sent */
  async flood(bytes: Buffer, maxBytes: number): Promise<number> {
    let sent = 0;
    while (sent < maxBytes && !this.#isClosed) {
      await this.sendAll(bytes);
      if (this.#unsent() > 0) break;
      sent += bytes.length;
    }
    return sent;
  }

  /** Waits until the received bytes match. @throws Error if the connection ends before or the time is over */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    let found: RegExpExecArray | null = null;
    await eventually(RESPONSE_TIMEOUT_MS, () => (found = pattern.exec(this.#received)) !== null || this.#isClosed);
    if (found === null) {
      const end = this.#isClosed ? 'the connection ended' : 'no response';
      throw new Error(`${end}: expected ${String(pattern)} in ${JSON.stringify(this.#received.slice(-500))}`);
    }
    return found;
  }

  /** Waits until the peer closes the connection. @returns whether it did in time */
  async waitForClose(timeoutMs = RESPONSE_TIMEOUT_MS): Promise<boolean> {
    return eventually(timeoutMs, () => this.#isClosed);
  }

  stopReading(): void {
    this.#socket.pause();
  }

  /** Sends a FIN and keeps reading. */
  end(): void {
    this.#socket.end();
  }

  /**
   * Sends a TCP reset, also below TLS. Do not destroy the TLS socket in the same turn: Node 22 to 26 crash with a
   * segmentation fault. It closes without that.
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

/** The lines of a request head and the blank line that ends it. */
export function head(...lines: readonly string[]): string {
  return [...lines, '', ''].join('\r\n');
}

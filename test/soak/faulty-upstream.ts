import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Random } from '../support/random.ts';
import { type RawMessage, RawReader, valuesOf } from '../support/raw-message.ts';
import { json } from '../support/upstream-raw.ts';
import { type Fault, paymentWithId } from './faults.ts';
import { respondWith } from './faulty-responses.ts';
import type { Ledger } from './ledger.ts';
import type { Scope } from './scope.ts';

/** A token is rejected only after this many calls, because the proxy limits token requests after a rejected new token. */
const MIN_CALLS_PER_TOKEN = 30;
const DOWN_MS = 15;

/** A payment whose request head was received. */
interface PaymentHead {
  readonly id: string;
  readonly fault: Fault;
}

/** A payment API that records payments in a ledger and treats each payment as its fault says. */
export class FaultyUpstream {
  readonly sockets = new Set<Socket>();
  /** Every token that it received. */
  readonly tokens = new Set<string>();
  /** Percentage of new connections that it resets at once. */
  resetsNewPercent = 0.5;
  readonly #ledger: Ledger;
  readonly #server: Server;
  readonly #random: Random;
  readonly #port: number;
  readonly #resetOnNext = new WeakSet<Socket>();
  readonly #deadTokens = new Set<string>();
  readonly #served = new Map<string, number>();

  private constructor(server: Server, ledger: Ledger, seed: number) {
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#ledger = ledger;
    this.#random = new Random(seed);
  }

  static async start(scope: Scope, ledger: Ledger, seed: number): Promise<FaultyUpstream> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const upstream = new FaultyUpstream(server, ledger, seed);
    server.on('connection', (socket) => upstream.#serve(socket));
    scope.onEnd(() => {
      for (const socket of upstream.sockets) socket.destroy();
      server.close();
    });
    return upstream;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Accepts no connections for `forMs`. */
  goDown(forMs: number): void {
    if (!this.#server.listening) return;
    this.#server.close();
    setTimeout(() => this.#server.listen(this.#port, '127.0.0.1'), forMs);
  }

  #serve(socket: Socket): void {
    this.sockets.add(socket);
    // Resets are expected.
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    if (this.#random.chance(this.resetsNewPercent / 100)) {
      socket.resetAndDestroy();
      return;
    }
    const reader = new RawReader();
    let head: PaymentHead | undefined;
    let isIgnoring = false;
    socket.on('data', (bytes) => {
      if (isIgnoring) return;
      reader.push(bytes);
      if (head === undefined) {
        head = this.#paymentHeadOf(reader);
        if (head === undefined) return;
        isIgnoring = this.#onHead(socket, head);
      }
      const message = isIgnoring ? undefined : reader.take('empty');
      if (message === undefined) return;
      this.#onWhole(socket, head, message);
      head = undefined;
    });
  }

  #paymentHeadOf(reader: RawReader): PaymentHead | undefined {
    const message = reader.peekHead();
    if (message === undefined) return undefined;
    const [id = ''] = valuesOf(message, 'idempotency-key');
    if (id !== '') this.#ledger.count(id, 'received');
    return { id, fault: paymentWithId(id)?.fault ?? 'fine' };
  }

  /** @returns whether to ignore the rest of the request */
  #onHead(socket: Socket, { id, fault }: PaymentHead): boolean {
    if (this.#resetOnNext.has(socket) || fault === 'reset before the body') {
      socket.resetAndDestroy();
      return true;
    }
    if (fault === 'reset in the body') {
      // Part of the body arrived but is not read.
      setImmediate(() => socket.resetAndDestroy());
      return true;
    }
    if (fault === 'refuses early') socket.end(json(413, { id }, 'connection: close'));
    return fault === 'refuses early' || fault === 'stalls before the body';
  }

  #onWhole(socket: Socket, { id, fault }: PaymentHead, message: RawMessage): void {
    const [token = ''] = valuesOf(message, 'authorization');
    this.tokens.add(token.replace(/^Bearer /, ''));
    const served = this.#served.get(token) ?? 0;
    if (fault === 'dead token' && served >= MIN_CALLS_PER_TOKEN && this.#ledger.of(id).refused === 0)
      this.#deadTokens.add(token);
    if (this.#deadTokens.has(token)) {
      if (id !== '') this.#ledger.count(id, 'refused');
      socket.write(json(401, { error: 'dead token' }));
      return;
    }
    this.#served.set(token, served + 1);
    if (id !== '') {
      this.#ledger.count(id, 'executed');
      if (!message.body.includes(`"id":"${id}"`)) this.#ledger.mixedUp += 1;
    }
    respondWith(socket, fault, id, this.#random);
    if (fault === 'goes down') this.goDown(DOWN_MS);
    if (fault === 'drops on the next request') this.#resetOnNext.add(socket);
  }
}

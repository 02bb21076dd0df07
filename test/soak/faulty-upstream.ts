import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type RawMessage, RawReader, valuesOf } from '../support/raw-message.ts';
import { json } from '../support/upstream-raw.ts';
import { answerWith } from './faulty-responses.ts';
import { type Fault, paymentWithId } from './faults.ts';
import type { Ledger } from './ledger.ts';
import { Random } from '../support/random.ts';
import type { Scope } from './scope.ts';

/** A token that served fewer calls than this is not declared dead: a fresh one that is refused is rationed. */
const SERVES_FIRST = 30;
const DOWN_MS = 15;

/** A payment whose head has come in. */
interface Visit {
  readonly id: string;
  readonly fault: Fault;
}

/** A payment API that keeps a ledger and does to each payment, and to its connection, what the payment's fault says. */
export class FaultyUpstream {
  readonly sockets = new Set<Socket>();
  /** Every token that it was shown. */
  readonly tokens = new Set<string>();
  /** How many new connections of a hundred it cuts at once. */
  cutsNewPercent = 0.5;
  readonly #ledger: Ledger;
  readonly #server: Server;
  readonly #random: Random;
  readonly #port: number;
  readonly #doomed = new WeakSet<Socket>();
  readonly #dead = new Set<string>();
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

  /** Takes no connections for a while. */
  goDown(forMs: number): void {
    if (!this.#server.listening) return;
    this.#server.close();
    setTimeout(() => this.#server.listen(this.#port, '127.0.0.1'), forMs);
  }

  #serve(socket: Socket): void {
    this.sockets.add(socket);
    // Resets are what it is all about.
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    if (this.#random.chance(this.cutsNewPercent / 100)) {
      socket.resetAndDestroy();
      return;
    }
    const reader = new RawReader();
    let visit: Visit | undefined;
    let deaf = false;
    socket.on('data', (bytes) => {
      if (deaf) return;
      reader.push(bytes);
      if (visit === undefined) {
        visit = this.#visitOf(reader);
        if (visit === undefined) return;
        deaf = this.#onHead(socket, visit);
      }
      const message = deaf ? undefined : reader.take('empty');
      if (message === undefined) return;
      this.#onWhole(socket, visit, message);
      visit = undefined;
    });
  }

  #visitOf(reader: RawReader): Visit | undefined {
    const head = reader.peekHead();
    if (head === undefined) return undefined;
    const [id = ''] = valuesOf(head, 'idempotency-key');
    if (id !== '') this.#ledger.count(id, 'sighted');
    return { id, fault: paymentWithId(id)?.fault ?? 'fine' };
  }

  /** @returns whether the rest of the request is left unread */
  #onHead(socket: Socket, { id, fault }: Visit): boolean {
    if (this.#doomed.has(socket) || fault === 'reset before the body') {
      socket.resetAndDestroy();
      return true;
    }
    if (fault === 'reset in the body') {
      // What is there of it goes unread, and the rest finds nobody.
      setImmediate(() => socket.resetAndDestroy());
      return true;
    }
    if (fault === 'refuses early') socket.end(json(413, { id }, 'connection: close'));
    return fault === 'refuses early' || fault === 'stalls before the body';
  }

  #onWhole(socket: Socket, { id, fault }: Visit, message: RawMessage): void {
    const [token = ''] = valuesOf(message, 'authorization');
    this.tokens.add(token.replace(/^Bearer /, ''));
    const served = this.#served.get(token) ?? 0;
    if (fault === 'dead token' && served >= SERVES_FIRST && this.#ledger.of(id).refused === 0) this.#dead.add(token);
    if (this.#dead.has(token)) {
      if (id !== '') this.#ledger.count(id, 'refused');
      socket.write(json(401, { error: 'dead token' }));
      return;
    }
    this.#served.set(token, served + 1);
    if (id !== '') {
      this.#ledger.count(id, 'executed');
      if (!message.body.includes(`"id":"${id}"`)) this.#ledger.mixedUp += 1;
    }
    answerWith(socket, fault, id, this.#random);
    if (fault === 'goes down') this.goDown(DOWN_MS);
    if (fault === 'drops when asked again') this.#doomed.add(socket);
  }
}

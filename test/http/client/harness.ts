import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { onTestFinished } from 'vitest';
import type { ProxyError } from '../../../src/errors.ts';
import { type Dial, dialFor } from '../../../src/http/client/dial.ts';
import type { ClientRequest, Exchange, ResponseHandler } from '../../../src/http/client/http-exchange.ts';
import { originOf } from '../../../src/http/client/origin.ts';
import { ConnectionPool, type PoolOptions } from '../../../src/http/client/pool.ts';
import { ReadBuffers } from '../../../src/http/client/read-buffers.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type RawMessage, RawReader } from '../../support/raw-message.ts';

/** One connection that a server accepted. */
export interface ServerConnection {
  /** Counted from 1. */
  readonly number: number;
  readonly socket: Socket;
  /** The TCP socket below, the same as `socket` without TLS. */
  readonly tcp: Socket;
  /** Requests that came in on it. */
  readonly requests: RawMessage[];
}

type OnRequest = (request: RawMessage, connection: ServerConnection) => void;

export interface ServerOptions {
  readonly tls?: TlsOptions;
  /** Runs as soon as the head is there; the body then is empty. */
  readonly atHead?: boolean;
  readonly onConnection?: (connection: ServerConnection) => void;
}

/** A server that reads requests and leaves the rest to `onRequest`. Closed when the test ends. */
export class RawServer {
  readonly connections: ServerConnection[] = [];
  readonly port: number;
  readonly origin: string;

  private constructor(port: number, isTls: boolean) {
    this.port = port;
    this.origin = isTls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  }

  static async start(onRequest: OnRequest, options: ServerOptions = {}): Promise<RawServer> {
    const { tls } = options;
    const server = tls === undefined ? createTcpServer() : createTlsServer(tls);
    const tcpSockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      tcpSockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => tcpSockets.delete(socket));
    });
    server.on('tlsClientError', () => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      for (const socket of tcpSockets) socket.destroy();
      server.close();
    });
    const raw = new RawServer((server.address() as AddressInfo).port, tls !== undefined);
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      const tcp = tls === undefined ? socket : [...tcpSockets].find((each) => each.remotePort === socket.remotePort)!;
      raw.#serve({ number: raw.connections.length + 1, socket, tcp, requests: [] }, onRequest, options);
    });
    return raw;
  }

  /** Requests on all connections, in the order of the connections. */
  get requests(): RawMessage[] {
    return this.connections.flatMap(({ requests }) => requests);
  }

  #serve(connection: ServerConnection, onRequest: OnRequest, { atHead = false, onConnection }: ServerOptions): void {
    const reader = new RawReader();
    this.connections.push(connection);
    connection.socket.on('error', () => {});
    connection.socket.on('data', (chunk) => {
      reader.push(chunk);
      for (;;) {
        const request = atHead ? reader.takeHead() : reader.take('empty');
        if (request === undefined) return;
        connection.requests.push(request);
        onRequest(request, connection);
      }
    });
    onConnection?.(connection);
  }
}

/** A response with a length. */
export function response(body = '', ...lines: string[]): string {
  return [`HTTP/1.1 200 OK`, `content-length: ${body.length}`, ...lines, '', body].join('\r\n');
}

/** Records all calls of a handler. */
export class Recorder implements ResponseHandler {
  /** Names of the calls, in their order; the same one twice in a row is there once. */
  readonly calls: string[] = [];
  readonly chunks: Buffer[] = [];
  status = 0;
  reason = '';
  rawHeaders: string[] = [];
  error: ProxyError | undefined;
  exchange!: Exchange;
  readonly #over = Promise.withResolvers<this>();
  readonly #called = new Map<string, PromiseWithResolvers<unknown>>();

  onSending(): void {
    this.#note('sending');
  }

  onSent(): void {
    this.#note('sent');
  }

  onHead(status: number, reason: string, rawHeaders: string[]): void {
    this.status = status;
    this.reason = reason;
    this.rawHeaders = rawHeaders;
    this.#note('head');
  }

  onData(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.#note('data');
  }

  onEnd(): void {
    this.#note('end');
    this.#over.resolve(this);
  }

  onError(error: ProxyError): void {
    this.error = error;
    this.#note('error');
    this.#over.resolve(this);
  }

  /** Resolves after `onEnd` or `onError`. */
  get over(): Promise<this> {
    return this.#over.promise;
  }

  /** Resolves after the first call of this name. */
  called(name: string): Promise<unknown> {
    if (this.calls.includes(name)) return Promise.resolve();
    const called = this.#called.get(name) ?? Promise.withResolvers();
    this.#called.set(name, called);
    return called.promise;
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  /** `200 body`, or the code and the outcome of the error. */
  get summary(): string {
    if (this.error !== undefined) return `${this.error.code} ${this.error.outcome}`;
    return this.calls.at(-1) === 'end' ? `${this.status} ${this.body}` : 'pending';
  }

  #note(name: string): void {
    if (this.calls.at(-1) !== name) this.calls.push(name);
    this.#called.get(name)?.resolve(undefined);
  }
}

/** A pool that is closed when the test ends. Its time stands still: no idle connection is closed because of its age. */
export function poolTo(origin: string, options: Partial<PoolOptions> = {}): ConnectionPool {
  const defaults = { connectTimeoutMs: 5000, buffers: new ReadBuffers(), clock: new ManualClock() };
  const pool = new ConnectionPool(origin, { ...defaults, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

/** Sends a request, by default `GET /`, and records the response. */
export function send<R extends Recorder = Recorder>(
  pool: ConnectionPool,
  request: Partial<ClientRequest> = {},
  recorder: R = new Recorder() as R,
): R {
  recorder.exchange = pool.send(
    { method: 'GET', target: '/', headers: [], body: { kind: 'none' }, ...request },
    recorder,
  );
  return recorder;
}

/** Sends a request and waits until it is over. */
export async function sent(pool: ConnectionPool, request: Partial<ClientRequest> = {}): Promise<Recorder> {
  return await send(pool, request).over;
}

/** Waits some turns of the event loop, in which finished connections become idle. */
export async function iterations(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Polls until `check` returns true. The timeout of the test ends it. */
export async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Connects to this port of this machine, whatever the origin is. */
export function dialTo(port: number): Dial {
  return dialFor(originOf(`http://127.0.0.1:${port}`));
}

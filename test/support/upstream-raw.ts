import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { type RawMessage, RawReader, valuesOf } from './raw-message.ts';

/** A request as the upstream received it. */
export interface UpstreamRequest extends RawMessage {
  readonly method: string;
  readonly target: string;
  readonly socket: Socket;
  /** Of all lines with this lower-case name. */
  values(lowerCaseName: string): string[];
  /** Writes exactly these bytes. */
  send(bytes: string | Buffer): void;
}

/** Responds to a request with bytes, or does something else to its connection. */
export type Script = (request: UpstreamRequest) => Scripted | Promise<Scripted>;
type Scripted = string | Buffer | undefined;

export interface UpstreamOptions {
  /** `head`: the script runs before the body has arrived, and the body of the request is empty. */
  readonly respondsAt?: 'head' | 'end';
  /** Always issues the first token. */
  readonly oneToken?: boolean;
}

/** Path of the token endpoint of every raw upstream. */
export const TOKEN_PATH = '/issue/token';

/** An upstream that records all bytes and responds by a script. Its token endpoint always works. */
export class RawUpstream {
  /** Requests to the API, in order, without token requests. */
  readonly requests: UpstreamRequest[] = [];
  /** Issued tokens, in order. */
  readonly tokens: string[] = [];
  readonly sockets = new Set<Socket>();
  /** Delay of the token endpoint. */
  delayTokensMs = 0;
  readonly port: number;
  readonly #server: Server;
  readonly #script: Script;
  readonly #options: UpstreamOptions;
  readonly #received: Buffer[] = [];
  #arrived: PromiseWithResolvers<undefined> = Promise.withResolvers();

  private constructor(server: Server, script: Script, options: UpstreamOptions) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#script = script;
    this.#options = options;
  }

  static async start(script: Script, options: UpstreamOptions = {}): Promise<RawUpstream> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const upstream = new RawUpstream(server, script, options);
    server.on('connection', (socket) => upstream.#serve(socket));
    onTestFinished(() => {
      for (const socket of upstream.sockets) socket.destroy();
      server.close();
    });
    return upstream;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Refuses new connections from now on. Open ones stay. */
  stopListening(): void {
    this.#server.close();
  }

  /** All bytes received on all connections. */
  get received(): Buffer {
    return Buffer.concat(this.#received);
  }

  /** Waits for this many API requests, and returns the last of them. */
  async request(count = 1): Promise<UpstreamRequest> {
    while (this.requests.length < count) await this.#arrived.promise;
    return this.requests[count - 1]!;
  }

  /** Waits until the received bytes contain this text. */
  async until(text: string): Promise<void> {
    while (!this.received.includes(text, 0, 'latin1')) await this.#arrived.promise;
  }

  #serve(socket: Socket): void {
    const reader = new RawReader();
    this.sockets.add(socket);
    // Resets are part of the tests.
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (chunk) => {
      this.#received.push(chunk);
      reader.push(chunk);
      const early = this.#options.respondsAt === 'head' && reader.peekHead()?.start.includes(TOKEN_PATH) === false;
      for (;;) {
        const message = early ? reader.takeHead() : reader.take('empty');
        if (message === undefined) break;
        this.#handle(requestOf(message, socket));
        if (early) break;
      }
      this.#arrived.resolve(undefined);
      this.#arrived = Promise.withResolvers();
    });
  }

  #handle(request: UpstreamRequest): void {
    if (request.target === TOKEN_PATH) {
      const number = this.#options.oneToken === true ? 1 : this.tokens.length + 1;
      const token = `real-token-${number}-${this.port}`;
      this.tokens.push(token);
      const response = json(200, { access_token: token, expires_in: 3600 });
      if (this.delayTokensMs === 0) request.send(response);
      else setTimeout(() => request.send(response), this.delayTokensMs);
      return;
    }
    this.requests.push(request);
    void Promise.resolve(this.#script(request)).then((bytes) => {
      if (bytes !== undefined) request.send(bytes);
    });
  }
}

/** A response with a Content-Length. */
export function reply(status: number, body: string | Buffer = '', ...lines: string[]): Buffer {
  const bytes = Buffer.from(body as string);
  const head = [`HTTP/1.1 ${status} As Scripted`, `content-length: ${bytes.length}`, ...lines];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
}

export function json(status: number, value: unknown, ...lines: string[]): Buffer {
  return reply(status, JSON.stringify(value), 'content-type: application/json', ...lines);
}

/** One chunk of a chunked body. The empty one ends it. */
export function chunk(bytes: string | Buffer): Buffer {
  const body = Buffer.from(bytes as string);
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]);
}

/** Refuses the first token with a 401, and accepts all others. */
export function refusingFirstToken(
  accepted: Script,
  refusal: () => Buffer = () => json(401, { error: 'dead' }),
): Script {
  const dead = new Set<string>();
  return (request) => {
    const [authorization = ''] = request.values('authorization');
    if (dead.size === 0) dead.add(authorization);
    return dead.has(authorization) ? refusal() : accepted(request);
  };
}

function requestOf(message: RawMessage, socket: Socket): UpstreamRequest {
  const [method = '', target = ''] = message.start.split(' ');
  return {
    ...message,
    method,
    target,
    socket,
    values: (name) => valuesOf(message, name),
    send: (bytes) => {
      if (socket.writable) socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    },
  };
}

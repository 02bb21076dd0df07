import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { type RawMessage, RawReader, valuesOf } from './raw-message.ts';

/** A response, byte for byte. */
export interface RawResponse extends RawMessage {
  readonly status: number;
  /** Of all lines with this lower-case name. */
  values(lowerCaseName: string): string[];
  json(): Record<string, unknown>;
}

/** How a connection ended: `clean` with a FIN, `broken` with a reset. */
export type Ending = 'clean' | 'broken';

/** A client that sends exactly the given bytes. */
export class RawClient {
  readonly socket: Socket;
  readonly ending: Promise<Ending>;
  readonly #reader = new RawReader();
  readonly #received: Buffer[] = [];
  #ended = false;
  #change = Promise.withResolvers<undefined>();

  private constructor(socket: Socket) {
    this.socket = socket;
    const { promise, resolve } = Promise.withResolvers<Ending>();
    this.ending = promise;
    socket.on('data', (chunk) => {
      this.#received.push(chunk);
      this.#reader.push(chunk);
      this.#changed();
    });
    socket.on('error', () => resolve('broken'));
    socket.on('close', () => {
      resolve('clean');
      this.#ended = true;
      this.#changed();
    });
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1' });
    const client = new RawClient(socket);
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    return client;
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Everything received so far. */
  get received(): Buffer {
    return Buffer.concat(this.#received);
  }

  /** Waits until the received bytes contain this text. */
  async until(text: string): Promise<void> {
    while (!this.received.includes(text, 0, 'latin1')) {
      if (this.#ended) throw new Error(`the connection ended without ${JSON.stringify(text)}`);
      await this.#change.promise;
    }
  }

  /** The next complete response. @param to method of its request @throws Error if the connection ends before */
  async nextResponse(to = 'GET'): Promise<RawResponse> {
    for (;;) {
      const message = this.#take(to);
      if (message !== undefined) return responseOf(message);
      if (this.#ended)
        throw new Error(`the connection ended within a response: ${this.#reader.rest.toString('latin1')}`);
      await this.#change.promise;
    }
  }

  #take(to: string): RawMessage | undefined {
    const head = this.#reader.peekHead();
    if (head === undefined) return undefined;
    const status = statusOf(head.start);
    const bodyless = to === 'HEAD' || status < 200 || status === 204 || status === 304;
    return bodyless ? this.#reader.takeHead() : this.#reader.take(this.#ended ? 'all there is' : 'still coming');
  }

  #changed(): void {
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

/** Sends these bytes as one request and returns its response. */
export async function sendRaw(port: number, request: string | Buffer): Promise<RawResponse> {
  const client = await RawClient.open(port);
  client.send(request);
  return client.nextResponse(request.toString('latin1').split(' ', 1)[0]);
}

function statusOf(start: string): number {
  return Number(start.split(' ')[1]);
}

function responseOf(message: RawMessage): RawResponse {
  return {
    ...message,
    status: statusOf(message.start),
    values: (name) => valuesOf(message, name),
    json: () => JSON.parse(message.body.toString('utf8')) as Record<string, unknown>,
  };
}

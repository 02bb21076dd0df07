import { type IncomingMessage, request } from 'node:http';
import { Duplex } from 'node:stream';

/** What Node's own client made of a stream of bytes. */
export interface NodeReading {
  readonly isAccepted: boolean;
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly string[];
  readonly body: string;
  /** Of the error, if it was refused. */
  readonly code: string;
}

/** An in-memory connection: delivers these parts once the request was written, and ends. */
class Script extends Duplex {
  readonly #pieces: readonly Buffer[];
  #isStarted = false;

  constructor(pieces: readonly Buffer[]) {
    super();
    this.#pieces = pieces;
  }

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: string, callback: () => void): void {
    callback();
    if (this.#isStarted) return;
    this.#isStarted = true;
    process.nextTick(() => {
      for (const piece of this.#pieces) this.push(piece);
      this.push(null);
    });
  }
}

/** Lets `http.request` read a response in these parts. Then the connection ends. */
export function readByNode(method: string, pieces: readonly Buffer[]): Promise<NodeReading> {
  return new Promise((resolve) => {
    let response: IncomingMessage | undefined;
    let body = '';
    const settle = (isAccepted: boolean, code = '') => {
      const { statusCode = 0, statusMessage = '', rawHeaders = [] } = response ?? {};
      resolve({ isAccepted, status: statusCode, reason: statusMessage, headers: rawHeaders, body, code });
    };
    const sent = request({
      method,
      path: '/',
      host: 'localhost',
      insecureHTTPParser: false,
      createConnection: () => new Script(pieces),
    });
    sent.on('error', (error: NodeJS.ErrnoException) => settle(false, error.code ?? error.message));
    sent.on('response', (incoming) => {
      response = incoming;
      incoming.setEncoding('latin1');
      incoming.on('data', (chunk: string) => (body += chunk));
      incoming.on('end', () => settle(incoming.complete));
      incoming.on('error', (error: NodeJS.ErrnoException) => settle(false, error.code ?? error.message));
    });
    sent.on('close', () => settle(false, 'closed'));
    sent.end();
  });
}

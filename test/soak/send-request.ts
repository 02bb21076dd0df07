import { type Agent, type IncomingMessage, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { Readable } from 'node:stream';
import { textOf } from './http-upstream.ts';

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  /** Sent with a length if it is whole, else in chunks. */
  readonly body?: string | Buffer | AsyncIterable<string>;
  readonly agent?: Agent;
  readonly timeoutMs?: number;
  /** PEM text of the certificate to trust: asks over TLS. */
  readonly ca?: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** Of the text as JSON; undefined where there is none. */
  field(name: string): unknown;
}

/** Asks the proxy; over a connection of its own unless there is an agent. @throws Error if no whole answer comes */
export function ask(port: number, path: string, asked: Asked = {}): Promise<Answer> {
  const { method = asked.body === undefined ? 'GET' : 'POST', headers = {}, body, agent = false, ca } = asked;
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, headers: { ...headers }, agent };
    const outgoing = ca === undefined ? request(options) : requestTls({ ...options, ca, servername: 'localhost' });
    outgoing.setTimeout(asked.timeoutMs ?? 20_000, () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      textOf(incoming).then((text) => {
        const { statusCode: status = 0, headers: received } = incoming;
        resolve({ status, headers: received, text, field: (name) => fieldOf(text, name) });
      }, reject);
    });
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) outgoing.end(body);
    else Readable.from(body).pipe(outgoing);
  });
}

function fieldOf(text: string, name: string): unknown {
  try {
    return (JSON.parse(text) as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

import { type Agent, type IncomingMessage, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { Readable } from 'node:stream';
import { readText } from './http-upstream.ts';

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  /** A string or buffer is sent with a content length, anything else in chunks. */
  readonly body?: string | Buffer | AsyncIterable<string>;
  readonly agent?: Agent;
  readonly timeoutMs?: number;
  /** PEM text of the certificate to trust. If it is set, the request uses TLS. */
  readonly ca?: string | undefined;
}

export interface ReceivedResponse {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** A field of the JSON text; undefined if there is none. */
  field(name: string): unknown;
}

/** Sends a request to the proxy, over a new connection unless there is an agent. @throws Error without a complete response */
export function sendRequest(port: number, path: string, options: RequestOptions = {}): Promise<ReceivedResponse> {
  const { method = options.body === undefined ? 'GET' : 'POST', headers = {}, body, agent = false, ca } = options;
  return new Promise((resolve, reject) => {
    const requestOptions = { host: '127.0.0.1', port, path, method, headers: { ...headers }, agent };
    const outgoing =
      ca === undefined ? request(requestOptions) : requestTls({ ...requestOptions, ca, servername: 'localhost' });
    outgoing.setTimeout(options.timeoutMs ?? 20_000, () => outgoing.destroy(new Error('no response in time')));
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      readText(incoming).then((text) => {
        const { statusCode: status = 0, headers: received } = incoming;
        resolve({ status, headers: received, text, field: (name) => jsonField(text, name) });
      }, reject);
    });
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) outgoing.end(body);
    else Readable.from(body).pipe(outgoing);
  });
}

function jsonField(text: string, name: string): unknown {
  try {
    return (JSON.parse(text) as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

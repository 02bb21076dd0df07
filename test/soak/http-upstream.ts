import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Scope } from './scope.ts';

const TOKEN_PATH = '/issue/token';

export interface HttpUpstreamOptions {
  /** How long the token endpoint takes. Milliseconds. */
  readonly tokenDelayMs?: number;
  /** Seconds that its tokens live. */
  readonly lifetimeS?: number;
}

export type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** An API that answers as its handler does, and issues the tokens for it. */
export class HttpUpstream {
  readonly origin: string;
  readonly sockets = new Set<Socket>();
  /** The keys that tokens were asked for with, in order. */
  readonly keys: string[] = [];

  private constructor(origin: string) {
    this.origin = origin;
  }

  static async start(scope: Scope, handler: Handler, options: HttpUpstreamOptions = {}): Promise<HttpUpstream> {
    // It leaves it to the proxy to close connections, and does not say how long it would keep them.
    const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const upstream = new HttpUpstream(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('connection', (socket) => {
      upstream.sockets.add(socket);
      socket.on('close', () => upstream.sockets.delete(socket));
    });
    server.on('request', (req, res) => {
      if (req.url === TOKEN_PATH) void upstream.#issue(req, res, options);
      else void handler(req, res);
    });
    scope.onEnd(() => {
      server.close();
      server.closeAllConnections();
    });
    return upstream;
  }

  /** A route to it, for clients whose token is got with this key. */
  route(key: string, settings: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return {
      upstream: this.origin,
      credentials: { key },
      token: {
        request: { path: TOKEN_PATH, json: { key: '{key}' } },
        response: { access_token: 'access_token', expires_in: 'expires_in' },
      },
      ...settings,
    };
  }

  async #issue(req: IncomingMessage, res: ServerResponse, options: HttpUpstreamOptions): Promise<void> {
    const { tokenDelayMs = 0, lifetimeS = 3600 } = options;
    const { key } = JSON.parse(await textOf(req)) as { key: string };
    this.keys.push(key);
    if (tokenDelayMs > 0) await delay(tokenDelayMs);
    // No keeping of this connection: what stays open then belongs to API calls.
    res.setHeader('connection', 'close');
    answer(res, 200, { access_token: `token-${this.keys.length}-for-${key}`, expires_in: lifetimeS });
  }
}

export async function textOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Answers with JSON and a length. */
export function answer(res: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  res.end(body);
}

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Scope } from './scope.ts';

const TOKEN_PATH = '/issue/token';

export interface HttpUpstreamOptions {
  /** How long the token endpoint takes to respond. */
  readonly tokenDelayMs?: number;
  /** Lifetime of its tokens. */
  readonly lifetimeS?: number;
}

export type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** An API with the given handler, and its token endpoint. */
export class HttpUpstream {
  readonly origin: string;
  readonly sockets = new Set<Socket>();
  /** The keys of the token requests, in order. */
  readonly keys: string[] = [];

  private constructor(origin: string) {
    this.origin = origin;
  }

  static async start(scope: Scope, handler: Handler, options: HttpUpstreamOptions = {}): Promise<HttpUpstream> {
    // The proxy closes the connections, and gets no keep-alive timeout from this server.
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

  /** A route to this API. `key` is the credential of its token requests. */
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
    const { key } = JSON.parse(await readText(req)) as { key: string };
    this.keys.push(key);
    if (tokenDelayMs > 0) await delay(tokenDelayMs);
    // Close the token connection, so that open connections belong to API calls.
    res.setHeader('connection', 'close');
    sendJson(res, 200, { access_token: `token-${this.keys.length}-for-${key}`, expires_in: lifetimeS });
  }
}

export async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Responds with JSON and a content length. */
export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  res.end(body);
}

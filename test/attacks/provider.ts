import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Handler, readText, sendJson } from '../soak/http-upstream.ts';
import type { Scope } from '../soak/scope.ts';

export type UpgradeHandler = (req: IncomingMessage, socket: Duplex) => void;
export type Route = Readonly<Record<string, unknown>>;

const TOKEN_PATH = '/token';

/** The API and the token endpoint behind a target, in the process of the attacker. */
export class Provider {
  readonly origin: string;
  readonly port: number;
  readonly #handlers = new Map<string, Handler>();
  readonly #upgrades = new Map<string, UpgradeHandler>();
  readonly #exchanges = new Map<string, Handler>();
  readonly #tokens = new Map<string, string[]>();

  private constructor(port: number) {
    this.port = port;
    this.origin = `http://127.0.0.1:${port}`;
  }

  static async start(scope: Scope): Promise<Provider> {
    const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, maxHeaderSize: 64 * 1024 });
    server.maxHeadersCount = 0;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const provider = new Provider((server.address() as AddressInfo).port);
    const upgraded = new Set<Duplex>();
    server.on('connection', (socket: Socket) => socket.on('error', () => {}));
    server.on('request', (req, res) => {
      // Attackers abort requests.
      provider.#handle(req, res).catch(() => res.destroy());
    });
    server.on('upgrade', (req: IncomingMessage, socket: Duplex) => {
      upgraded.add(socket);
      socket.on('error', () => {}).on('close', () => upgraded.delete(socket));
      const handler = provider.#upgrades.get(firstSegment(req.url));
      if (handler === undefined) socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
      else handler(req, socket);
    });
    scope.onEnd(() => {
      for (const socket of upgraded) socket.destroy();
      server.close();
      server.closeAllConnections();
    });
    return provider;
  }

  /** Sets the handler of requests below `/name`. */
  on(name: string, handler: Handler): void {
    this.#handlers.set(name, handler);
  }

  /** Sets the handler of upgrade requests below `/name`. */
  onUpgrade(name: string, handler: UpgradeHandler): void {
    this.#upgrades.set(name, handler);
  }

  /** Sets the handler of token requests with this key. Default: each gets a new token. */
  onExchange(key: string, handler: Handler): void {
    this.#exchanges.set(key, handler);
  }

  /** A route to the API below `/name`, with its own credential. */
  route(name: string, settings: Route = {}): Route {
    return {
      upstream: `${this.origin}/${name}`,
      auth_server: this.origin,
      credentials: { key: name },
      token: {
        request: { path: TOKEN_PATH, json: { key: '{key}' } },
        response: { access_token: 'access_token', expires_in: 'expires_in' },
      },
      ...settings,
    };
  }

  /** Tokens issued for this key, the newest last. */
  tokensOf(key: string): readonly string[] {
    return this.#tokens.get(key) ?? [];
  }

  /** Issues a token. It contains characters that other encodings escape. */
  issue(key: string, res: ServerResponse): void {
    const tokens = this.#tokens.get(key) ?? [];
    this.#tokens.set(key, [...tokens, `at/${key}+${randomBytes(18).toString('hex')}/${tokens.length}==`]);
    sendJson(res, 200, { access_token: this.tokensOf(key).at(-1), expires_in: 3600 });
  }

  async #handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (req.url === TOKEN_PATH) {
      const { key } = JSON.parse(await readText(req)) as { key: string };
      const exchange = this.#exchanges.get(key);
      if (exchange === undefined) this.issue(key, res);
      else await exchange(req, res);
      return;
    }
    const handler = this.#handlers.get(firstSegment(req.url));
    if (handler === undefined) sendJson(res, 404, { error: 'no such API' });
    else await handler(req, res);
  }
}

function firstSegment(url = ''): string {
  return url.split(/[/?]/, 2)[1] ?? '';
}

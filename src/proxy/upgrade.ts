import type { IncomingMessage } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ProxyServer } from 'http-proxy-3';
import { networkCode, ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import { guardedLookup } from '../lookup.ts';
import { http } from '../node-http.ts';
import type { Journal } from '../telemetry/journal.ts';
import type { Trail } from '../telemetry/trail.ts';
import { type Gateway, refuseOverload, trailOf, upgradeRefused } from './gateway.ts';
import { Handshake } from './handshake.ts';
import { requestHeaders, tracedHeaders } from './headers.ts';
import { endSocket } from './linger.ts';
import { asProxyError, rawProblem } from './problem.ts';
import { tokenPathRefused } from './token-paths.ts';

/** A connection for each handshake, which is then the WebSocket's own. */
const AGENTS = {
  plain: new http.Agent({ lookup: guardedLookup }),
  tls: new TlsAgent({ lookup: guardedLookup, rejectUnauthorized: true }),
};

/** Lets WebSocket handshakes through to routes that allow it, with the token put on; everything else is refused. */
export class UpgradeHandler {
  readonly #gateway: () => Gateway;
  readonly #log: Log;
  readonly #journal: Journal;
  readonly #handshakes = new WeakMap<IncomingMessage, Handshake>();
  readonly #sockets = new Set<Duplex>();
  #loading: Promise<ProxyServer> | undefined;

  constructor(gateway: () => Gateway, log: Log, journal: Journal) {
    this.#gateway = gateway;
    this.#log = log;
    this.#journal = journal;
  }

  async handle(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    if (this.#gateway().distrusts(req.socket)) {
      socket.destroy();
      return;
    }
    const trail = trailOf(req);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    try {
      await this.#forward(req, socket, head, this.#admit(req, socket, trail));
    } catch (thrown) {
      const error = asProxyError(thrown);
      this.#journal.refused(trail, error, 'upgrade refused', req.url ?? '');
      endSocket(socket, rawProblem(error, trail.requestId));
    }
  }

  /** Ends every WebSocket: none of them ends by itself. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Loaded for the first handshake: most configurations have no WebSockets. */
  #proxy(): Promise<ProxyServer> {
    this.#loading ??= import('http-proxy-3').then(({ createProxyServer }) => {
      const proxy = createProxyServer({});
      proxy.on('proxyReqWs', (request, req) => this.#handshakes.get(req)?.watch(request));
      // Each handshake has its own error callback; without a listener a late error would end the process.
      proxy.on('error', (error) => this.#log.warn({ error: networkCode(error) }, 'websocket failed'));
      return proxy;
    });
    return this.#loading;
  }

  /** How many there are. */
  get open(): number {
    return this.#sockets.size;
  }

  #admit(req: IncomingMessage, socket: Duplex, trail: Trail): Handshake {
    const { route, below } = this.#gateway().admit(req, trail);
    if (route === undefined) throw new ProxyError('no_route', 'No route has this path.');
    if (route.tokenPaths.judge(req.method ?? '', below.path) !== 'other') throw tokenPathRefused();
    if (!route.config.websocket) throw upgradeRefused();
    if (req.headers.upgrade?.trim().toLowerCase() !== 'websocket' || req.method !== 'GET') {
      throw new ProxyError('upgrade_refused', 'Only `Upgrade: websocket` on a GET is forwarded.');
    }
    // Its bytes would be taken for those of the WebSocket.
    if (hasBody(req))
      throw new ProxyError('bad_request', 'A WebSocket handshake may not have a body. Nothing was sent.');
    refuseOverload(route);
    trail.path = below.path;
    trail.query = below.query;
    const path = (route.basePath + below.path || '/') + below.query;
    const trace = this.#gateway().trace(trail, route);
    return new Handshake(route, path, socket, { trail, journal: this.#journal, trace });
  }

  async #forward(req: IncomingMessage, socket: Duplex, head: Buffer, handshake: Handshake): Promise<void> {
    try {
      const { route, trace } = handshake;
      const [token, proxy] = await Promise.all([handshake.token(), this.#proxy()]);
      if (!socket.writable) return;
      const [below = ''] = handshake.path.slice(route.basePath.length).split('?', 1);
      if (route.tokenPaths.isFound(below)) throw tokenPathRefused();
      // http-proxy-3 sends what it finds in req.headers: the same rules as for any other request.
      const headers = requestHeaders(req.rawHeaders, route.headers, route.authorization(token), route.withToken(token));
      req.headers = {
        ...grouped(trace === undefined ? headers : tracedHeaders(headers, trace)),
        connection: 'Upgrade',
        upgrade: 'websocket',
      };
      this.#handshakes.set(req, handshake);
      const { origin, protocol } = new URL(route.config.upstream);
      const agent = protocol === 'https:' ? AGENTS.tls : AGENTS.plain;
      const options = { target: origin, changeOrigin: true, agent, connectTimeout: route.config.connectTimeoutMs };
      proxy.ws(req, socket, head, options, (error) => handshake.fail(handshake.meaningOf(error)));
    } catch (error) {
      handshake.fail(asProxyError(error));
    }
  }
}

function grouped(list: readonly string[]): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    const value = list[i + 1] ?? '';
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

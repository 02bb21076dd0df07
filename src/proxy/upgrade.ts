import type { IncomingMessage } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ProxyServer } from 'http-proxy-3';
import { networkCode, ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import { guardedLookup } from '../lookup.ts';
import { http } from '../node-http.ts';
import type { Journal } from '../telemetry/journal.ts';
import type { Trail } from '../telemetry/trail.ts';
import { hasBody } from './body.ts';
import { corsHeaders } from './cors.ts';
import { type Gateway, refuseOverload, trailOf, upgradeRefused } from './gateway.ts';
import { Handshake } from './handshake.ts';
import { grouped, requestHeaders, tracedHeaders } from './headers.ts';
import { asProxyError } from './problem.ts';
import { responseOn } from './socket-response.ts';
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
  readonly #sockets = new Set<Socket>();
  #loading: Promise<ProxyServer> | undefined;

  constructor(gateway: () => Gateway, log: Log, journal: Journal) {
    this.#gateway = gateway;
    this.#log = log;
    this.#journal = journal;
  }

  /** `socket` is what node gives out: typed as a stream, always a socket. */
  async handle(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const gateway = this.#gateway();
    if (!(socket instanceof Socket) || gateway.distrusts(req.socket)) {
      socket.destroy();
      return;
    }
    const trail = trailOf(req);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    let handshake: Handshake;
    try {
      handshake = this.#admit(gateway, req, socket, trail);
    } catch (thrown) {
      gateway.refuse(req, responseOn(socket, req), asProxyError(thrown), { trail, isUpgrade: true });
      return;
    }
    await this.#forward(req, socket, head, handshake);
  }

  /** Ends every WebSocket: none of them ends by itself. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Loaded for the first handshake: most configurations have no WebSockets. */
  #proxy(): Promise<ProxyServer> {
    this.#loading ??= import('http-proxy-3').then(({ createProxyServer }) => {
      const proxy = createProxyServer({});
      proxy.on('proxyReqWs', (request, req) => this.#handshakes.get(req)?.onRequest(request));
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

  #admit(gateway: Gateway, req: IncomingMessage, socket: Socket, trail: Trail): Handshake {
    const { route, caller, below } = gateway.admit(req, trail);
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
    const { maxWebsockets, name } = route.config;
    if (route.activity.websockets >= maxWebsockets) {
      throw new ProxyError('overloaded', `${name} has ${maxWebsockets} WebSockets open, its max_websockets.`);
    }
    gateway.beginTrail(trail, route, below);
    const extraHeaders = corsHeaders(caller.origin);
    const trace = gateway.trace(trail, route);
    return new Handshake(route, req, socket, { trail, below, journal: this.#journal, trace, extraHeaders });
  }

  async #forward(req: IncomingMessage, socket: Socket, head: Buffer, handshake: Handshake): Promise<void> {
    try {
      const { route, trace } = handshake;
      const [token, proxy] = await Promise.all([handshake.token(), this.#proxy()]);
      if (handshake.isOver || !socket.writable) return;
      const [below = ''] = handshake.path.slice(route.basePath.length).split('?', 1);
      if (route.tokenPaths.isFound(below)) throw tokenPathRefused();
      // http-proxy-3 sends what it finds in req.headers: the same rules as for any other request.
      const headers = requestHeaders(req.rawHeaders, route.headers, route.authorization(token), route.withToken(token));
      const sent = trace === undefined ? headers : tracedHeaders(headers, trace);
      req.headers = grouped([...sent, 'connection', 'Upgrade', 'upgrade', 'websocket']);
      this.#handshakes.set(req, handshake);
      const { origin, protocol } = new URL(route.config.upstream);
      const agent = protocol === 'https:' ? AGENTS.tls : AGENTS.plain;
      const options = { target: origin, changeOrigin: true, agent, connectTimeout: route.config.connectTimeoutMs };
      proxy.ws(req, socket, head, options, () => socket.destroy());
      handshake.takeOver();
    } catch (error) {
      handshake.onFailure(asProxyError(error));
    }
  }
}

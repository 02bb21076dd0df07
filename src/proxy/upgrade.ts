import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createProxyServer } from 'http-proxy-3';
import { networkCode, ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Token } from '../tokens/token.ts';
import { type Gateway, refuseOverload, tokenPathRefused } from './gateway.ts';
import { refuseNominatedFraming, requestHeaders } from './headers.ts';
import type { LiveRoute } from './live-route.ts';
import { asProxyError, rawProblem } from './problem.ts';
import { requestIdOf } from './request-id.ts';
import type { Target } from './target.ts';

type ProxyServer = ReturnType<typeof createProxyServer>;

/** Lets WebSocket handshakes through to routes that allow it, with the token put on; everything else is refused. */
export class UpgradeHandler {
  readonly #gateway: () => Gateway;
  readonly #log: Log;
  readonly #proxy: ProxyServer = createProxyServer({});
  /** Path on the wire and source of the token, for a handshake that http-proxy-3 is about to send. */
  readonly #handshakes = new WeakMap<IncomingMessage, { path: string; route: LiveRoute; token: Token }>();

  constructor(gateway: () => Gateway, log: Log) {
    this.#gateway = gateway;
    this.#log = log;
    this.#proxy.on('proxyReqWs', (proxyReq, req, socket) => this.#onHandshake(proxyReq, req, socket as Duplex));
    // Each call has its own error callback; without a listener a late error would end the process.
    this.#proxy.on('error', (error) => log.warn({ error: networkCode(error) }, 'websocket failed'));
  }

  async handle(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const requestId = requestIdOf(req.rawHeaders);
    socket.on('error', () => socket.destroy());
    try {
      const { route, below } = this.#gateway().admit(req);
      if (route === undefined) throw new ProxyError('no_route', 'No route has this path.');
      if (route.tokenPaths.judge(req.method ?? '', below.path) !== 'other') throw tokenPathRefused();
      refuseNonWebSocket(req, route);
      refuseOverload(route);
      refuseNominatedFraming(req.rawHeaders);
      const token = await route.tokens.token();
      if (!socket.destroyed) await this.#forward(req, socket, head, { route, below, token, requestId });
    } catch (error) {
      refuse(socket, asProxyError(error), requestId);
    }
  }

  #forward(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    handshake: { route: LiveRoute; below: Target; token: Token; requestId: string },
  ): Promise<void> {
    const { route, below, token, requestId } = handshake;
    const path = (route.basePath + below.path || '/') + below.query;
    // http-proxy-3 sends what it finds in req.headers: the same rules as for any other request.
    req.headers = {
      ...grouped(requestHeaders(req.rawHeaders, route.headers, route.authorization(token))),
      connection: 'Upgrade',
      upgrade: 'websocket',
    };
    this.#handshakes.set(req, { path, route, token });
    const { origin } = new URL(route.config.upstream);
    return new Promise((resolve) => {
      const options = { target: origin, changeOrigin: true, connectTimeout: route.config.connectTimeoutMs };
      socket.once('close', resolve);
      this.#proxy.ws(req, socket, head, options, (error) => {
        const fields = { request_id: requestId, route: route.config.name, error: networkCode(error) };
        this.#log.warn(fields, 'websocket failed');
        const failure = 'The WebSocket handshake with the provider failed.';
        refuse(socket, new ProxyError('upstream_unreachable', failure, { outcome: 'unknown' }), requestId);
      });
    });
  }

  /** Runs before http-proxy-3's own listeners: the raw path, and no token of ours on the way back. */
  #onHandshake(proxyReq: ClientRequest, req: IncomingMessage, socket: Duplex): void {
    const handshake = this.#handshakes.get(req);
    if (handshake === undefined) return;
    const { path, route, token } = handshake;
    proxyReq.path = path;
    proxyReq.prependListener('upgrade', (answer: IncomingMessage) => {
      dropToken(answer, token);
      route.tokens.served(token, 'GET', path);
    });
    proxyReq.prependListener('response', (answer: IncomingMessage) => {
      dropToken(answer, token);
      answer.once('error', () => socket.destroy());
      // The handshake itself is not sent again: whoever opens WebSockets reconnects, and then has the new token.
      if (route.deadToken.status(answer.statusCode ?? 0) === 'dead') void route.tokens.reject(token, 'GET', path);
    });
  }
}

/** `Upgrade: h2c` and the like are never forwarded. */
function refuseNonWebSocket(req: IncomingMessage, route: LiveRoute): void {
  if (!route.config.websocket) {
    throw new ProxyError(
      'upgrade_refused',
      'This route forwards no WebSockets; `websocket: true` on it lets them through.',
    );
  }
  if (req.headers.upgrade?.trim().toLowerCase() !== 'websocket' || req.method !== 'GET') {
    throw new ProxyError('upgrade_refused', 'Only `Upgrade: websocket` on a GET is forwarded.');
  }
}

function dropToken(answer: IncomingMessage, token: Token): void {
  const secret = token.accessToken.reveal();
  const kept = Object.entries(answer.headers).filter(
    ([, value]) => ![value].flat().some((line) => line?.includes(secret) === true),
  );
  answer.headers = Object.fromEntries(kept);
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

function refuse(socket: Duplex, error: ProxyError, requestId: string): void {
  if (socket.writable) socket.end(rawProblem(error, requestId));
}

import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { RequestLog } from '../telemetry/journal.ts';
import type { RequestRecord } from '../telemetry/trail.ts';
import { hasBody } from './body.ts';
import { type Gateway, refuseOverload, trailOf, upgradeRefused } from './gateway.ts';
import { asProxyError } from './problem.ts';
import { ProxiedRequest } from './request.ts';
import { responseOn } from './socket-response.ts';
import { tokenPathRefused } from './token-paths.ts';
import { WebSocketProxy } from './websocket.ts';

/** Lets WebSocket handshakes through to routes that allow it, with the token put on; everything else is refused. */
export class UpgradeHandler {
  readonly #gateway: () => Gateway;
  readonly #journal: RequestLog;
  readonly #proxy: WebSocketProxy;
  readonly #sockets = new Set<Socket>();

  constructor(gateway: () => Gateway, log: Log, journal: RequestLog) {
    this.#gateway = gateway;
    this.#journal = journal;
    this.#proxy = new WebSocketProxy((error) => log.warn({ error }, 'websocket failed'));
  }

  /** `socket` is what Node gives out: typed as a stream, always a socket. */
  handle(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const gateway = this.#gateway();
    if (!(socket instanceof Socket) || gateway.distrusts(req.socket)) {
      socket.destroy();
      return;
    }
    const trail = trailOf(req);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    try {
      this.#forward(gateway, req, socket, head, trail);
    } catch (thrown) {
      gateway.refuse(req, responseOn(socket, req), asProxyError(thrown), { trail, isUpgrade: true });
    }
  }

  /** Ends every WebSocket: none of them ends by itself. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** How many there are. */
  get open(): number {
    return this.#sockets.size;
  }

  /** @throws ProxyError if the handshake may not be forwarded */
  #forward(gateway: Gateway, req: IncomingMessage, socket: Socket, head: Buffer, trail: RequestRecord): void {
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
    const { activity } = route;
    const { maxWebsockets, name, connectTimeoutMs, websocketIdleTimeoutMs, upstream } = route.config;
    if (activity.websockets >= maxWebsockets) {
      throw new ProxyError('overloaded', `${name} has ${maxWebsockets} WebSockets open, its max_websockets.`);
    }
    const handshake = {
      ...{ req, socket, head, connectTimeoutMs },
      origin: new URL(upstream).origin,
      idleTimeoutMs: websocketIdleTimeoutMs,
      onIdle: () => this.#journal.say('info', trail, 'idle websocket closed'),
    };
    const request = new ProxiedRequest(route, req, undefined, {
      ...gateway.begin(trail, route, caller, below),
      handshake: { send: (sent, listener) => this.#proxy.send(handshake, sent, listener) },
    });
    activity.websockets += 1;
    socket.once('close', () => {
      activity.websockets -= 1;
      request.onClientClosed();
    });
    request.start();
  }
}

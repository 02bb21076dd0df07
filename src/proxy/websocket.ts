import type { ClientRequest as NodeRequest, IncomingMessage } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { ProxyServer } from 'http-proxy-3';
import { networkCode, ProxyError } from '../errors.ts';
import { brokenConnection, connectTimeout, invalidResponse, unreachable } from '../http/client/failures.ts';
import type { ClientRequest } from '../http/client/http-exchange.ts';
import { headersByName, headerValue } from '../http/header-list.ts';
import { guardedLookup } from '../http/ip-address.ts';
import { endSocket } from '../http/linger.ts';
import { prematureEndError, http, pauseConnection, resumeConnection } from '../http/node-internals.ts';
import { asProxyError } from '../http/problem.ts';
import type { Log } from '../logger.ts';
import type { RequestLog } from '../telemetry/request-log.ts';
import type { RequestRecord } from '../telemetry/request-record.ts';
import { hasBody } from './body.ts';
import { responseForSocket } from './client-response.ts';
import { type Gateway, refuseOverload, createRecord, upgradeRefused } from './gateway.ts';
import { ProxiedRequest, type UpstreamExchange, type UpstreamListener } from './request.ts';
import { tokenPathRefused } from './token-paths.ts';

/** Interim responses (1xx) that a handshake may get. */
const MAX_INTERIM_RESPONSES = 32;

/** How long one side of a WebSocket may stay open once the other has closed. Milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;

/** A connection for each handshake, which is then the WebSocket's own. */
const AGENTS = {
  plain: new http.Agent({ lookup: guardedLookup }),
  tls: new TlsAgent({ lookup: guardedLookup, rejectUnauthorized: true }),
};

/** What http-proxy-3 does with a 101. */
type Forward = (response: IncomingMessage, upstream: Socket, head: Buffer) => void;

/** The client's side of a handshake, and where it goes. */
interface Handshake {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  /** Bytes that the client sent behind its handshake. */
  readonly head: Buffer;
  /** Such as `https://api.example.com`. */
  readonly origin: string;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** A WebSocket was closed because no byte had moved. */
  readonly onIdle: () => void;
}

/** Sends WebSocket handshakes through http-proxy-3, which is loaded for the first one: most configurations have none. */
class WebSocketProxy {
  readonly #onError: (code: string) => void;
  readonly #exchanges = new WeakMap<IncomingMessage, WebSocketExchange>();
  #loading: Promise<ProxyServer> | undefined;

  /** @param onError is told of errors of WebSockets that nobody else is told of */
  constructor(onError: (code: string) => void) {
    this.#onError = onError;
  }

  send(handshake: Handshake, request: ClientRequest, listener: UpstreamListener): UpstreamExchange {
    const exchange = new WebSocketExchange(handshake, request, listener);
    this.#exchanges.set(handshake.req, exchange);
    this.#load().then(
      (proxy) => exchange.start(proxy),
      (error: unknown) => exchange.fail(error),
    );
    return exchange;
  }

  #load(): Promise<ProxyServer> {
    this.#loading ??= import('http-proxy-3').then(({ createProxyServer }) => {
      const proxy = createProxyServer({});
      proxy.on('proxyReqWs', (request, req) => this.#exchanges.get(req)?.onRequest(request));
      // Each handshake has its own error callback; without a listener a late error would end the process.
      proxy.on('error', (error) => this.#onError(networkCode(error)));
      return proxy;
    });
    return this.#loading;
  }
}

/**
 * One handshake. http-proxy-3 makes the request and, after a 101, joins the two connections. In between, this class
 * takes the place of its listeners: by itself it writes every other response without waiting for the client, and
 * accepts any protocol. `takeOver` is the only place that relies on more than its documented interface.
 */
class WebSocketExchange implements UpstreamExchange {
  readonly #handshake: Handshake;
  readonly #request: ClientRequest;
  readonly #listener: UpstreamListener;
  readonly #server: string;
  #upstreamRequest: NodeRequest | undefined;
  #response: IncomingMessage | undefined;
  #isConnected = false;
  /** Why the end of the connection is not the end of a response; undefined if it is. */
  #endError: Error | undefined;
  #interimResponses = 0;
  #isDone = false;

  constructor(handshake: Handshake, request: ClientRequest, listener: UpstreamListener) {
    this.#handshake = handshake;
    this.#request = request;
    this.#listener = listener;
    this.#server = new URL(handshake.origin).host;
  }

  start(proxy: ProxyServer): void {
    if (this.#isDone) return;
    const { req, socket, head, origin, connectTimeoutMs } = this.#handshake;
    try {
      // http-proxy-3 sends the headers that it finds here.
      req.headers = headersByName([...this.#request.headers, 'connection', 'Upgrade', 'upgrade', 'websocket']);
      const agent = origin.startsWith('https:') ? AGENTS.tls : AGENTS.plain;
      const options = { target: origin, changeOrigin: true, agent, connectTimeout: connectTimeoutMs };
      proxy.ws(req, socket, head, options, () => socket.destroy());
      this.#takeOver();
    } catch (error) {
      this.fail(error);
    }
  }

  /** The request, before http-proxy-3 sends it. */
  onRequest(request: NodeRequest): void {
    this.#upstreamRequest = request;
    request.path = this.#request.target;
    // Node drops headers above its default of 1000 silently.
    request.maxHeadersCount = 0;
    request.once('socket', (socket) => {
      // Before Node's own listener, which takes it for the end of a response that has no length.
      socket.prependOnceListener('end', () => (this.#endError = prematureEndError(socket)));
      socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
        this.#isConnected = true;
        if (this.#isDone) return;
        this.#listener.onSending();
        this.#listener.onSent();
      });
    });
  }

  #takeOver(): void {
    const request = this.#upstreamRequest;
    if (request === undefined) return;
    const [forward] = request.listeners('upgrade') as (Forward | undefined)[];
    if (forward === undefined) throw new Error('this version of http-proxy-3 has no listener for upgrades');
    for (const event of ['upgrade', 'response', 'error']) request.removeAllListeners(event);
    request.on('error', (error) => this.fail(this.#proxyErrorOf(error)));
    request.on('information', () => {
      this.#interimResponses += 1;
      if (this.#interimResponses > MAX_INTERIM_RESPONSES) this.#failInvalid('it sent too many interim responses');
    });
    request.once('upgrade', (response: IncomingMessage, upstream: Socket, head: Buffer) => {
      this.#onUpgrade(response, upstream, () => forward.call(request, response, upstream, head));
    });
    request.once('response', (response) => this.#onResponse(response));
  }

  #onResponse(response: IncomingMessage): void {
    const { statusCode = 0, statusMessage = '', rawHeaders } = response;
    const listener = this.#listener;
    response.on('error', (error) => this.fail(brokenConnection(this.#server, error)));
    if (this.#isDone) return;
    if (statusCode < 200 || statusCode > 599) {
      this.#failInvalid('its status is out of range');
      return;
    }
    this.#response = response;
    this.#try(() => listener.onHead(statusCode, statusMessage, [...rawHeaders]));
    const endsWithConnection = !('content-length' in response.headers || 'transfer-encoding' in response.headers);
    response.on('data', (chunk: Buffer) => this.#try(() => listener.onData(chunk)));
    response.on('end', () => {
      if (endsWithConnection && this.#endError !== undefined) {
        this.fail(brokenConnection(this.#server, this.#endError));
        return;
      }
      this.#try(() => {
        this.#isDone = true;
        listener.onEnd();
      });
    });
  }

  /** Does nothing once the exchange is over. */
  #try(act: () => void): void {
    if (this.#isDone) return;
    try {
      act();
    } catch (error) {
      this.#isDone = false;
      this.fail(error);
    }
  }

  #onUpgrade(response: IncomingMessage, upstream: Socket, forward: () => void): void {
    const upgrade = headerValue(response.rawHeaders, 'upgrade') ?? '';
    if (this.#isDone || upgrade.trim().toLowerCase() !== 'websocket') {
      upstream.destroy();
      this.#failInvalid('it switched to another protocol');
      return;
    }
    try {
      response.headers = headersByName(this.#listener.onUpgrade(response.rawHeaders));
    } catch (error) {
      upstream.destroy();
      this.fail(error);
      return;
    }
    this.#isDone = true;
    forward();
    this.#closeWhenIdle(upstream);
  }

  /** Closes both connections once no byte has moved in either direction for the route's limit, or one side has closed. */
  #closeWhenIdle(upstream: Socket): void {
    const { socket: client, idleTimeoutMs, onIdle } = this.#handshake;
    const watch = (socket: Socket, other: Socket) => {
      socket.setTimeout(idleTimeoutMs).on('timeout', () => {
        // Nothing comes from it while the other is slow to take what has come: that one's own timeout decides.
        if (socket.writableLength === 0 && other.writableLength > 0) {
          socket.setTimeout(idleTimeoutMs);
          return;
        }
        if (!socket.destroyed) onIdle();
        socket.destroy();
        other.destroy();
      });
      // A WebSocket that one side has closed is over (RFC 6455 7.1.1); the other side has a moment to follow.
      socket.once('end', () => {
        const timer = setTimeout(() => {
          socket.destroy();
          other.destroy();
        }, CLOSE_TIMEOUT_MS);
        timer.unref();
      });
    };
    watch(client, upstream);
    watch(upstream, client);
    // A reset has no `end`, and http-proxy-3 leaves the other side as it is.
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => endSocket(client));
  }

  abort(): void {
    this.#isDone = true;
    this.#upstreamRequest?.destroy();
  }

  pause(): void {
    if (this.#response !== undefined) pauseConnection(this.#response);
  }

  resume(): void {
    if (this.#response !== undefined) resumeConnection(this.#response);
  }

  /** Chunks are Node's own: their memory is not used again. */
  release(): void {
    return;
  }

  #failInvalid(why: string): void {
    this.fail(invalidResponse(this.#server, why));
  }

  fail(error: unknown): void {
    if (this.#isDone) return;
    this.abort();
    this.#listener.onError(asProxyError(error));
  }

  /** What an error of the request means, above all whether the upstream may have seen it. */
  #proxyErrorOf(error: Error): unknown {
    const code = networkCode(error);
    if (!this.#isConnected) {
      const isTimeout = code === 'ECONNECT_TIMEOUT';
      const { connectTimeoutMs } = this.#handshake;
      return isTimeout ? connectTimeout(this.#server, connectTimeoutMs) : unreachable(this.#server, error);
    }
    if (code.startsWith('HPE_')) return invalidResponse(this.#server, `Node's parser says ${code}`, error);
    return brokenConnection(this.#server, error);
  }
}

/** Lets WebSocket handshakes through to routes that allow it, with the token put on; everything else is refused. */
export class UpgradeHandler {
  readonly #gateway: () => Gateway;
  readonly #requestLog: RequestLog;
  readonly #proxy: WebSocketProxy;
  readonly #sockets = new Set<Socket>();

  constructor(gateway: () => Gateway, log: Log, requestLog: RequestLog) {
    this.#gateway = gateway;
    this.#requestLog = requestLog;
    this.#proxy = new WebSocketProxy((error) => log.warn('websocket_failed', { error }));
  }

  /** `socket` is what Node gives out: typed as a stream, always a socket. */
  handle(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const gateway = this.#gateway();
    if (!(socket instanceof Socket) || gateway.isClosing(req.socket)) {
      socket.destroy();
      return;
    }
    const record = createRecord(req);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    try {
      this.#forward(gateway, req, socket, head, record);
    } catch (thrown) {
      gateway.refuse(req, responseForSocket(socket, req), asProxyError(thrown), { record, isUpgrade: true });
    }
  }

  /** Ends every WebSocket: none of them ends by itself. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** How many there are. */
  get openCount(): number {
    return this.#sockets.size;
  }

  /** @throws ProxyError if the handshake may not be forwarded */
  #forward(gateway: Gateway, req: IncomingMessage, socket: Socket, head: Buffer, record: RequestRecord): void {
    const { route, caller, rest: below } = gateway.admit(req, record);
    if (route === undefined) throw new ProxyError('no_route', 'No route has this path.');
    if (route.tokenPaths.classify(req.method ?? '', below.path) !== 'other') throw tokenPathRefused();
    if (!route.config.websocket) throw upgradeRefused();
    if (req.headers.upgrade?.trim().toLowerCase() !== 'websocket' || req.method !== 'GET') {
      throw new ProxyError('upgrade_refused', 'Only `Upgrade: websocket` on a GET is forwarded.');
    }
    // Its bytes would be taken for those of the WebSocket.
    if (hasBody(req))
      throw new ProxyError('bad_request', 'A WebSocket handshake may not have a body. Nothing was sent.');
    refuseOverload(route);
    const { stats: activity } = route;
    const { maxWebsockets, name, connectTimeoutMs, websocketIdleTimeoutMs, upstream } = route.config;
    if (activity.websockets >= maxWebsockets) {
      throw new ProxyError('overloaded', `${name} has ${maxWebsockets} WebSockets open, its max_websockets.`, {
        reason: { kind: 'limit', key: 'max_websockets' },
      });
    }
    const handshake = {
      ...{ req, socket, head, connectTimeoutMs },
      origin: new URL(upstream).origin,
      idleTimeoutMs: websocketIdleTimeoutMs,
      onIdle: () => this.#requestLog.log('info', 'websocket_idle_closed', record),
    };
    const request = new ProxiedRequest(route, req, undefined, {
      ...gateway.createContext(record, route, caller, below),
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

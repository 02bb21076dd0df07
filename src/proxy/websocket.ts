import type { ClientRequest as NodeRequest, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ProxyServer } from 'http-proxy-3';
import { EgressError, networkCode, parserRule, ProxyError } from '../errors.ts';
import type { ConnectOptions } from '../http/client/connect-options.ts';
import { brokenConnection, connectTimeout, invalidResponse, unreachable } from '../http/client/failures.ts';
import type { ClientRequest } from '../http/client/http-exchange.ts';
import { agentFor, ConnectTimeout, openSocket } from '../http/client/open-socket.ts';
import { type Origin, originOf } from '../http/client/origin.ts';
import { headersByName, headerValue } from '../http/header-list.ts';
import { endSocket } from '../http/linger.ts';
import { pauseConnection, prematureEndError, resumeConnection } from '../http/node-internals.ts';
import { asProxyError } from '../http/problem.ts';
import type { Log } from '../logger.ts';
import type { RequestLog } from '../telemetry/request-log.ts';
import type { RequestRecord } from '../telemetry/request-record.ts';
import { hasBody } from './body.ts';
import { responseForSocket } from './client-response.ts';
import { createRecord, type Gateway, refuseOverload, upgradeRefused } from './gateway.ts';
import { ProxiedRequest, type UpstreamExchange, type UpstreamListener } from './request.ts';
import { tokenPathRefused } from './token-paths.ts';

/** Handles `upgrade` events: forwards WebSocket handshakes to routes with `websocket: true`, and refuses all others. */
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

  /** @param socket typed as a stream by Node, but always a Socket */
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

  /** Closes all WebSockets. They would stay open indefinitely. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Number of open connections. */
  get openCount(): number {
    return this.#sockets.size;
  }

  /** @throws ProxyError if the handshake may not be forwarded */
  #forward(gateway: Gateway, req: IncomingMessage, socket: Socket, head: Buffer, record: RequestRecord): void {
    const { route, caller, target } = gateway.admit(req, record);
    if (route === undefined) throw new ProxyError('no_route', 'No route has this path.');
    if (route.tokenPaths.classify(req.method ?? '', target.path) !== 'other') throw tokenPathRefused();
    if (!route.config.websocket) throw upgradeRefused();
    if (req.headers.upgrade?.trim().toLowerCase() !== 'websocket' || req.method !== 'GET') {
      throw new ProxyError('upgrade_refused', 'Only GET requests with `Upgrade: websocket` can be upgraded.');
    }
    // The upstream would treat the body as WebSocket frames.
    if (hasBody(req)) {
      throw new ProxyError('bad_request', 'A WebSocket handshake must not have a body. Nothing was sent.');
    }
    refuseOverload(route);
    const { stats } = route;
    const { maxWebsockets, name, websocketIdleTimeoutMs, upstream } = route.config;
    const { connection, hostHeader, connectTimeoutMs } = route.config;
    if (stats.websockets >= maxWebsockets) {
      const detail = `${name} has ${maxWebsockets} open WebSockets, the limit set by max_websockets. Connect again later.`;
      throw new ProxyError('overloaded', detail, { reason: { kind: 'limit', key: 'max_websockets' } });
    }
    const handshake = {
      ...{ req, socket, head, connection, hostHeader, connectTimeoutMs },
      origin: new URL(upstream).origin,
      idleTimeoutMs: websocketIdleTimeoutMs,
      onIdle: () => this.#requestLog.log('info', 'websocket_idle_closed', record),
    };
    const request = new ProxiedRequest(route, req, undefined, {
      ...gateway.beginRequest(record, route, caller, target),
      handshake: { send: (sent, listener) => this.#proxy.send(handshake, sent, listener) },
    });
    stats.websockets += 1;
    socket.once('close', () => {
      stats.websockets -= 1;
      request.onClientClosed();
    });
    request.start();
  }
}

/** Limit for interim responses (1xx) to a handshake. */
const MAX_INTERIM_RESPONSES = 32;

/** How long one side of a WebSocket may stay open after the other has closed. Milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;

/** The listener of http-proxy-3 for a 101 response. */
type Forward = (response: IncomingMessage, upstream: Socket, head: Buffer) => void;

/** The client side of a handshake, and its upstream. */
interface Handshake {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  /** Bytes that the client sent after the handshake. */
  readonly head: Buffer;
  /** Origin of the upstream, such as `https://api.example.com`. */
  readonly origin: string;
  readonly connection: ConnectOptions;
  /** Value of the Host header. Undefined: that of the origin. */
  readonly hostHeader: string | undefined;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Called when the WebSocket is closed because it was idle. */
  readonly onIdle: () => void;
}

/** Sends WebSocket handshakes through http-proxy-3. It is loaded for the first one: most configurations do not need it. */
class WebSocketProxy {
  readonly #onError: (code: string) => void;
  readonly #exchanges = new WeakMap<IncomingMessage, WebSocketExchange>();
  #loading: Promise<ProxyServer> | undefined;

  /** @param onError called with the code of errors that no exchange handles */
  constructor(onError: (code: string) => void) {
    this.#onError = onError;
  }

  send(handshake: Handshake, request: ClientRequest, listener: UpstreamListener): UpstreamExchange {
    const exchange = new WebSocketExchange(handshake, request, listener);
    this.#exchanges.set(handshake.req, exchange);
    this.#load().then(
      (proxy) => void exchange.start(proxy),
      (error: unknown) => exchange.fail(error),
    );
    return exchange;
  }

  #load(): Promise<ProxyServer> {
    this.#loading ??= import('http-proxy-3').then(({ createProxyServer }) => {
      const proxy = createProxyServer({});
      proxy.on('proxyReqWs', (request, req) => this.#exchanges.get(req)?.onRequest(request));
      // Each handshake has its own error callback. Without this listener, a late error would end the process.
      proxy.on('error', (error) => this.#onError(networkCode(error)));
      return proxy;
    });
    return this.#loading;
  }
}

/**
 * One handshake (RFC 6455 4). http-proxy-3 makes the request and, after a 101, joins the two connections. In between,
 * this class replaces its listeners: http-proxy-3 would write any other response without back-pressure, and would accept
 * any protocol. Only `#takeOver` relies on undocumented behaviour of http-proxy-3.
 */
class WebSocketExchange implements UpstreamExchange {
  readonly #handshake: Handshake;
  readonly #request: ClientRequest;
  readonly #listener: UpstreamListener;
  readonly #server: string;
  readonly #connecting = new AbortController();
  #upstream: Socket | undefined;
  #upstreamRequest: NodeRequest | undefined;
  #response: IncomingMessage | undefined;
  /** Why the end of the connection is not the end of a response. Undefined if it is. */
  #endError: Error | undefined;
  #interimResponses = 0;
  #isDone = false;

  constructor(handshake: Handshake, request: ClientRequest, listener: UpstreamListener) {
    this.#handshake = handshake;
    this.#request = request;
    this.#listener = listener;
    this.#server = new URL(handshake.origin).host;
  }

  async start(proxy: ProxyServer): Promise<void> {
    if (this.#isDone) return;
    const { req, socket, head, origin } = this.#handshake;
    try {
      const upstream = await this.#connect(originOf(origin));
      if (this.#isDone) {
        upstream.destroy();
        return;
      }
      this.#upstream = upstream;
      this.#listener.onSending();
      // http-proxy-3 forwards these headers.
      req.headers = headersByName([...this.#request.headers, 'connection', 'Upgrade', 'upgrade', 'websocket']);
      const agent = agentFor(upstream, origin.startsWith('https:'));
      proxy.ws(req, socket, head, { target: origin, changeOrigin: true, agent }, () => socket.destroy());
      this.#takeOver();
      this.#listener.onSent();
    } catch (error) {
      this.fail(error);
    }
  }

  async #connect(origin: Origin): Promise<Socket> {
    const { connection, connectTimeoutMs } = this.#handshake;
    const limits = { timeoutMs: connectTimeoutMs, signal: this.#connecting.signal };
    try {
      return await openSocket(origin, { ...connection, alwaysTunnels: true }, limits);
    } catch (error) {
      const egress = error instanceof EgressError ? error : undefined;
      const isTimeout = (egress?.cause ?? error) instanceof ConnectTimeout;
      throw isTimeout ? connectTimeout(this.#server, connectTimeoutMs, egress) : unreachable(this.#server, error);
    }
  }

  /** Called with the upstream request before http-proxy-3 sends it. */
  onRequest(request: NodeRequest): void {
    this.#upstreamRequest = request;
    request.path = this.#request.target;
    // Node silently drops response headers above its default of 1000.
    request.maxHeadersCount = 0;
    if (this.#handshake.hostHeader !== undefined) request.setHeader('host', this.#handshake.hostHeader);
    request.once('socket', (socket) => {
      // Must run before Node's own listener, which treats it as the end of a response without length.
      socket.prependOnceListener('end', () => (this.#endError = prematureEndError(socket)));
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
        listener.onEnd();
        this.#isDone = true;
      });
    });
  }

  /** Calls a handler unless the exchange is over. An error of the handler ends the exchange. */
  #try(act: () => void): void {
    if (this.#isDone) return;
    try {
      act();
    } catch (error) {
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

  /** Closes both connections when no byte was transferred for `websocket_idle_timeout`, or when one side has closed. */
  #closeWhenIdle(upstream: Socket): void {
    const { socket: client, idleTimeoutMs, onIdle } = this.#handshake;
    const watch = (socket: Socket, other: Socket) => {
      socket.setTimeout(idleTimeoutMs).on('timeout', () => {
        // This side is paused because the other one is slow to read. The timeout of the other side decides.
        if (socket.writableLength === 0 && other.writableLength > 0) {
          socket.setTimeout(idleTimeoutMs);
          return;
        }
        if (!socket.destroyed) onIdle();
        socket.destroy();
        other.destroy();
      });
      // After one side has closed its TCP connection, the WebSocket is closed (RFC 6455 7.1.1). Let the other side finish.
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
    // A reset has no `end` event, and http-proxy-3 does not close the other side.
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => endSocket(client));
  }

  abort(): void {
    this.#isDone = true;
    this.#connecting.abort();
    this.#upstreamRequest?.destroy();
    this.#upstream?.destroy();
  }

  pause(): void {
    if (this.#response !== undefined) pauseConnection(this.#response);
  }

  resume(): void {
    if (this.#response !== undefined) resumeConnection(this.#response);
  }

  /** Chunks come from node:http, which does not reuse their memory. */
  release(): void {}

  #failInvalid(fault: string): void {
    this.fail(invalidResponse(this.#server, fault));
  }

  fail(error: unknown): void {
    if (this.#isDone) return;
    this.abort();
    this.#listener.onError(asProxyError(error));
  }

  /** Translates an error of the request. The upstream may have received it. */
  #proxyErrorOf(error: Error): ProxyError {
    const code = networkCode(error);
    if (code.startsWith('HPE_')) return invalidResponse(this.#server, parserRule(error), error);
    return brokenConnection(this.#server, error);
  }
}

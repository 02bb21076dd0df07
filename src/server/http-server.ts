import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Config, ListenAddress } from '../config/config.ts';
import { networkCode, ProxyError } from '../errors.ts';
import { formatHostPort } from '../http/host-port.ts';
import { discardInput, endSocket, ignoreError } from '../http/linger.ts';
import { allowHalfClosedClients, currentResponse, http, isConnectionLost } from '../http/node-internals.ts';
import { rawProblem, sendProblem } from '../http/problem.ts';
import type { Log } from '../logger.ts';
import { type Gateway, headerCountError, methodNotAllowed, requestIdOf } from '../proxy/gateway.ts';
import type { UpgradeHandler } from '../proxy/websocket.ts';
import { onClientError } from './client-errors.ts';
import { Connections, type ProxyServer } from './connections.ts';
import { afterResponses, Pipelining } from './pipelining.ts';

/** The reset of a client that is gone arrives within this time. */
const RESET_WAIT_MS = 250;

/**
 * Serves clients that close their sending side after the request, and closes the connections of clients that are gone.
 * Both send the same FIN. So Wakala sends an interim response (`100 Continue`) before the final one: a client ignores
 * it (RFC 9110 15.2), and if the client is gone, its kernel sends a reset.
 */
function serveHalfClosedClients(server: ProxyServer): void {
  allowHalfClosedClients(server);
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    socket.once('end', () => probe(socket));
  });
}

function probe(socket: Socket): void {
  const response = currentResponse(socket);
  // HTTP/1.0 has no interim responses. That such a client is gone shows when its response is written.
  if (response === undefined || response.headersSent || !socket.writable || response.req.httpVersion === '1.0') return;
  response.writeContinue();
  const timer = setTimeout(() => {
    if (isConnectionLost(socket)) socket.destroy();
  }, RESET_WAIT_MS);
  timer.unref();
}

interface ProxyServerContext {
  readonly log: Log;
  readonly gateway: () => Gateway;
  readonly upgrades: UpgradeHandler;
  readonly config: () => Config;
  /** True while the server drains: every response closes its connection then. */
  readonly draining: () => boolean;
}

/** Limits for clients: size of the header block, and time to send it. */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 2000,
  // The body has the deadline of its route.
  requestTimeout: 0,
  // Wakala checks the raw headers and sends its own problem response.
  requireHostHeader: false,
  // Faster: a request without a body emits no stream events.
  optimizeEmptyRequests: true,
} as const;

const TLS_SETTINGS = { handshakeTimeout: 10_000, allowHalfOpen: true } as const;

/** The listener for clients of the proxy. */
export function createProxyServer(context: ProxyServerContext): { server: ProxyServer; connections: Connections } {
  const handleNow = (req: IncomingMessage, res: ServerResponse) => {
    if (context.draining()) res.shouldKeepAlive = false;
    if (connections.isOverLimit(req.socket)) refuseOverLimit(context.gateway(), req, res);
    else context.gateway().handle(req, res);
  };
  const pipelining = new Pipelining();
  const handle: RequestListener = (req, res) => pipelining.afterPendingResponse(req, res, handleNow);
  const { tls, keepAliveTimeoutMs: keepAliveTimeout } = context.config();
  const options = {
    ...LIMITS,
    keepAliveTimeout,
    // Any other upgrade is ignored (RFC 9110 7.8): Java's client offers h2c with every request. Older versions of Node
    // have no callback. They check whether there is an `upgrade` listener.
    shouldUpgradeCallback: (req: IncomingMessage) => forwardsUpgrades(context) && isWebSocketHandshake(req),
  };
  const server =
    tls === undefined
      ? http.createServer(options, handle)
      : createTlsServer({ ...options, ...TLS_SETTINGS, ...secureContext(tls), ...clientCertificates(tls) }, handle);
  applyLimits(server, pipelining, context.log);
  serveHalfClosedClients(server);
  const connections = new Connections(server, () => context.config().maxConnections ?? Infinity);
  server.on('checkContinue', handle);
  server.on('checkExpectation', (req, res) => pipelining.afterPendingResponse(req, res, refuseExpectation));
  // Since Node 26, the stream of a request with a body is not the socket of its connection, and emits its own errors.
  server.on('connect', (req: IncomingMessage, socket: Duplex) => {
    socket.on('error', ignoreError);
    discardInput(socket);
    afterResponses(req.socket, () =>
      refuseRaw(req, socket, headerCountError(req.rawHeaders) ?? methodNotAllowed('CONNECT')),
    );
  });
  if (forwardsUpgrades(context) || 'shouldUpgradeCallback' in server) {
    server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', ignoreError);
      afterResponses(req.socket, () => {
        if (connections.isOverLimit(req.socket)) refuseRaw(req, socket, overLimit());
        else context.upgrades.handle(req, socket, head);
      });
    });
  }
  return { server, connections };
}

/** The listener for health, metrics and the dashboard. */
export function createAdminServer(listener: RequestListener): Server {
  const pipelining = new Pipelining();
  const server = http.createServer((req, res) => {
    res.on('error', ignoreError);
    pipelining.afterPendingResponse(req, res, listener);
  });
  applyLimits(server, pipelining);
  return server;
}

/** Limits of every listener. `maxHeaderSize` limits the number of headers, so Node's own limit is off. */
function applyLimits(server: ProxyServer, pipelining: Pipelining, log?: Log): void {
  server.maxHeadersCount = 0;
  server.on('clientError', (error, socket) => onClientError(error, socket, pipelining, log));
}

function refuseExpectation({ rawHeaders }: IncomingMessage, res: ServerResponse): void {
  const unmet = new ProxyError('expectation_failed', 'The only expectation that Wakala supports is 100-continue.');
  sendProblem(res, headerCountError(rawHeaders) ?? unmet, requestIdOf(rawHeaders));
}

function refuseRaw({ rawHeaders }: IncomingMessage, socket: Duplex, error: ProxyError): void {
  endSocket(socket, rawProblem(error, requestIdOf(rawHeaders)));
}

type Tls = NonNullable<Config['tls']>;

function secureContext(tls: Tls): { cert: string; key: string; ca?: string } {
  return { cert: tls.cert, key: tls.key.reveal(), ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }) };
}

/** With `client_ca`, a client without a certificate from it cannot connect. */
function clientCertificates(tls: Tls): { requestCert: boolean; rejectUnauthorized: boolean } {
  const isRequired = tls.clientCa !== undefined;
  return { requestCert: isRequired, rejectUnauthorized: isRequired };
}

/** Applies another configuration: certificates to new connections, the idle timeout from the next response on. */
export function applySettings(server: ProxyServer, { tls, keepAliveTimeoutMs }: Config): void {
  if (tls !== undefined && server instanceof TlsServer) server.setSecureContext(secureContext(tls));
  server.keepAliveTimeout = keepAliveTimeoutMs;
}

function forwardsUpgrades(context: ProxyServerContext): boolean {
  return context.gateway().routes.some((route) => route.config.websocket);
}

function isWebSocketHandshake(req: IncomingMessage): boolean {
  return req.headers.upgrade?.trim().toLowerCase() === 'websocket';
}

function refuseOverLimit(gateway: Gateway, req: IncomingMessage, res: ServerResponse): void {
  res.shouldKeepAlive = false;
  gateway.refuse(req, res, overLimit());
}

function overLimit(): ProxyError {
  return new ProxyError('overloaded', 'Wakala has as many connections open as max_connections allows. Retry later.', {
    reason: { kind: 'limit', key: 'max_connections' },
    retryAfterS: 1,
  });
}

/** @returns the address with its real port. @throws Error that names the address and how to change it */
export function listen(server: Server, { host, port }: ListenAddress, flag: string): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    // Stays for later errors, such as `accept` without free file descriptors.
    server.on('error', (error) => {
      const code = networkCode(error);
      const problem = code === 'EADDRINUSE' ? 'is in use by another process' : `cannot be used (${code})`;
      const address = formatHostPort({ host, port });
      reject(new Error(`${address} ${problem}; choose another with ${flag} or in the configuration`));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve({ host, port: typeof address === 'object' && address !== null ? address.port : port });
    });
  });
}

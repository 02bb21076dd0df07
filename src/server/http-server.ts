import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Config, ListenAddress } from '../config/config.ts';
import { formatAddress } from '../config/values.ts';
import { networkCode, type Outcome, ProxyError } from '../errors.ts';
import { BodyReader } from '../http/body-reader.ts';
import { discardInput, endAfterResponse, endSocket, ignoreError } from '../http/linger.ts';
import {
  allowHalfClosedClients,
  currentResponse,
  http,
  isConnectionLost,
  unfinishedRequest,
} from '../http/node-internals.ts';
import { rawProblem, sendProblem } from '../http/problem.ts';
import { type Gateway, methodNotAllowed, requestIdOf, tooManyHeaders } from '../proxy/gateway.ts';
import type { UpgradeHandler } from '../proxy/websocket.ts';
import { Connections, type ProxyServer } from './connections.ts';
import { afterResponses, Pipelining } from './pipelining.ts';

/** Time for the reset of a client that is gone. Milliseconds. */
const ANSWER_MS = 250;

/**
 * Serves clients that close their sending side behind their request, and closes the connections of those that closed
 * their socket altogether. Each sends the same FIN. While its response is awaited, such a client is sent an interim
 * response (`100 Continue`), which HTTP/1.1 has every client skip; if nobody is there, the kernel answers with a reset.
 */
function serveHalfClosedClients(server: ProxyServer): void {
  allowHalfClosedClients(server);
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    socket.once('end', () => probe(socket));
  });
}

function probe(socket: Socket): void {
  const response = currentResponse(socket);
  // HTTP/1.0 has no interim responses. Such a client is found gone when its response is written.
  if (response === undefined || response.headersSent || !socket.writable || response.req.httpVersion === '1.0') return;
  response.writeContinue();
  const timer = setTimeout(() => {
    if (isConnectionLost(socket)) socket.destroy();
  }, ANSWER_MS);
  timer.unref();
}

/** What node's parser refuses (RFC 9112): answered, unless another answer is owed or was given to the same request. */
function onClientError(error: Error, socket: Duplex, pipelining: Pipelining): void {
  const code = networkCode(error);
  const answering = currentResponse(socket);
  const inBodyOf = unfinishedRequest(socket);
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
  } else if (inBodyOf === undefined && answering !== undefined) {
    // Requests that arrived before still get their responses.
    endAfterResponse(pipelining.lastResponse(socket) ?? answering, socket);
  } else if (inBodyOf === undefined) {
    endSocket(socket, rawProblem(clientProblem(code, 'not_sent'), requestIdOf([])));
  } else if (answering !== undefined && answering.req !== inBodyOf) {
    // The request that broke waits behind another one, which gets its response.
    endAfterResponse(answering, socket);
  } else if (answering !== undefined && !answering.headersSent) {
    const reader = BodyReader.find(inBodyOf);
    if (reader === undefined) {
      endSocket(socket, rawProblem(clientProblem(code, 'unknown'), requestIdOf([])));
      return;
    }
    endAfterResponse(answering, socket);
    // Whoever reads it knows whether a part of it is with the provider already.
    reader.fail(clientProblem(code, 'not_sent'));
  } else {
    socket.destroy();
  }
}

function clientProblem(code: string, outcome: Outcome): ProxyError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ProxyError('header_too_large', 'The header block is larger than 16 KiB.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ProxyError('request_timeout', 'The request head did not arrive in time.');
    default:
      return new ProxyError('bad_request', `The request is not valid HTTP/1.1 (${code}).`, { outcome });
  }
}

interface ProxyServerContext {
  readonly gateway: () => Gateway;
  readonly upgrades: UpgradeHandler;
  readonly config: () => Config;
  /** True once draining has begun: every answer then closes its connection. */
  readonly draining: () => boolean;
}

/** Bounds on what a client may hold: header block, and time to send it. */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 2000,
  // The route's deadline bounds the body.
  requestTimeout: 0,
  keepAliveTimeout: 65_000,
  // Checked on the raw lines, with an answer of our own.
  requireHostHeader: false,
  // A request without a body is over when it begins: no stream events follow.
  optimizeEmptyRequests: true,
} as const;

const TLS_SETTINGS = { handshakeTimeout: 10_000, allowHalfOpen: true } as const;

/** The listener that clients call. */
export function createProxyServer(context: ProxyServerContext): { server: ProxyServer; connections: Connections } {
  const take = (req: IncomingMessage, res: ServerResponse) => {
    if (context.draining()) res.shouldKeepAlive = false;
    if (connections.isOverLimit(req.socket)) refuseOverLimit(context.gateway(), req, res);
    else context.gateway().handle(req, res);
  };
  const pipelining = new Pipelining();
  const handle: RequestListener = (req, res) => pipelining.afterPendingResponse(req, res, take);
  const options = {
    ...LIMITS,
    // Java's client offers h2c on every plain request: that is answered as the plain request it also is. Older nodes
    // know no callback, only whether there is an `upgrade` listener.
    shouldUpgradeCallback: (req: IncomingMessage) => forwardsUpgrades(context) && isWebSocketHandshake(req),
  };
  const { tls } = context.config();
  const server =
    tls === undefined
      ? http.createServer(options, handle)
      : createTlsServer({ ...options, ...TLS_SETTINGS, ...secureContext(tls), ...clientCertificates(tls) }, handle);
  bound(server, pipelining);
  serveHalfClosedClients(server);
  const connections = new Connections(server, () => context.config().maxConnections ?? Infinity);
  server.on('checkContinue', handle);
  server.on('checkExpectation', (req, res) => pipelining.afterPendingResponse(req, res, refuseExpectation));
  // Since Node 26, the stream of a request with a body is not the socket of its connection, and has errors of its own.
  server.on('connect', (req: IncomingMessage, socket: Duplex) => {
    socket.on('error', ignoreError);
    discardInput(socket);
    afterResponses(req.socket, () =>
      refuseRaw(req, socket, tooManyHeaders(req.rawHeaders) ?? methodNotAllowed('CONNECT')),
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
  bound(server, pipelining);
  return server;
}

/** Bounds on headers and waiting requests that every listener has. `maxHeaderSize` bounds the number of headers. */
function bound(server: ProxyServer, pipelining: Pipelining): void {
  server.maxHeadersCount = 0;
  server.on('clientError', (error, socket) => onClientError(error, socket, pipelining));
}

function refuseExpectation({ rawHeaders }: IncomingMessage, res: ServerResponse): void {
  const unmet = new ProxyError('expectation_failed', 'The only expectation that Wakala supports is 100-continue.');
  sendProblem(res, tooManyHeaders(rawHeaders) ?? unmet, requestIdOf(rawHeaders));
}

function refuseRaw({ rawHeaders }: IncomingMessage, socket: Duplex, error: ProxyError): void {
  endSocket(socket, rawProblem(error, requestIdOf(rawHeaders)));
}

type Tls = NonNullable<Config['tls']>;

function secureContext(tls: Tls): { cert: string; key: string; ca?: string } {
  return { cert: tls.cert, key: tls.key.reveal(), ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }) };
}

/** With `client_ca`, whoever has no certificate from it is turned away before a request is read. */
function clientCertificates(tls: Tls): { requestCert: boolean; rejectUnauthorized: boolean } {
  const wanted = tls.clientCa !== undefined;
  return { requestCert: wanted, rejectUnauthorized: wanted };
}

/** New certificates for connections from now on. */
export function setCertificates(server: ProxyServer, tls: Tls | undefined): void {
  if (tls !== undefined && server instanceof TlsServer) server.setSecureContext(secureContext(tls));
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

/** Listens, or says which address it could not have. @returns the address it has, with its real port */
export function listen(server: Server, { host, port }: ListenAddress, flag: string): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    // Also for what fails later, such as `accept` when there are no file descriptors left.
    server.on('error', (error) => {
      const code = networkCode(error);
      const why = code === 'EADDRINUSE' ? 'is in use by another process' : `cannot be listened on (${code})`;
      reject(new Error(`${formatAddress({ host, port })} ${why}; choose another with ${flag} or in the configuration`));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve({ host, port: typeof address === 'object' && address !== null ? address.port : port });
    });
  });
}

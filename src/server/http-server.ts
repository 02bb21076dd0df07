import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { formatAddress } from '../config/address.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { networkCode, ProxyError } from '../errors.ts';
import { http } from '../node-http.ts';
import type { Gateway } from '../proxy/gateway.ts';
import { methodNotAllowed } from '../proxy/admission.ts';
import { holdBody } from '../proxy/body.ts';
import { endSocket } from '../proxy/linger.ts';
import { rawProblem, sendProblem } from '../proxy/problem.ts';
import { requestIdOf } from '../proxy/request-id.ts';
import type { UpgradeHandler } from '../proxy/upgrade.ts';
import { type HttpSocket, inTurn, onClientError } from './client-errors.ts';
import { Connections } from './connections.ts';

export interface ProxyServerContext {
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

const TLS_LIMITS = { handshakeTimeout: 10_000 } as const;

export type ProxyServer = Server | TlsServer;

/** The listener that clients call. */
export function createProxyServer(context: ProxyServerContext): { server: ProxyServer; connections: Connections } {
  const take = (req: IncomingMessage, res: ServerResponse) => {
    if (context.draining()) res.shouldKeepAlive = false;
    if (connections.isOverLimit(req.socket)) refuseOverLimit(context.gateway(), req, res);
    else context.gateway().handle(req, res);
  };
  const handle: RequestListener = (req, res) => whenItsTurn(req, res, take);
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
      : createTlsServer({ ...options, ...TLS_LIMITS, ...secureContext(tls), ...clientCertificates(tls) }, handle);
  server.on('checkContinue', handle);
  server.on('checkExpectation', (req, res) => {
    const error = new ProxyError('expectation_failed', 'The only expectation that can be met is 100-continue.');
    sendProblem(res, error, requestIdOf(req.rawHeaders));
  });
  server.on('connect', (req: IncomingMessage, socket: HttpSocket) => {
    inTurn(socket, () => endSocket(socket, rawProblem(methodNotAllowed('CONNECT'), requestIdOf(req.rawHeaders))));
  });
  if (forwardsUpgrades(context) || 'shouldUpgradeCallback' in server) {
    server.on('upgrade', (req: IncomingMessage, socket: HttpSocket, head: Buffer) => {
      inTurn(socket, () => void context.upgrades.handle(req, socket, head));
    });
  }
  server.on('clientError', onClientError);
  const connections = new Connections(server, () => context.config().maxConnections ?? Infinity);
  return { server, connections };
}

/** Pipelined requests are taken one after the other, since the one may depend on the other (RFC 9112 9.3.2). */
export function whenItsTurn(req: IncomingMessage, res: ServerResponse, take: RequestListener): void {
  if (res.socket === null) {
    holdBody(req);
    res.once('socket', () => take(req, res));
  } else {
    take(req, res);
  }
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
  gateway.refuse(req, res, new ProxyError('overloaded', 'Wakala has max_connections open.', { retryAfterS: 1 }));
}

/** Listens, or says which address it could not have. @returns the address it has, with its real port */
export function listen(server: Server, { host, port }: ListenAddress, flag: string): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
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

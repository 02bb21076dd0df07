import { connect as connectTcp, isIP, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net';
import {
  checkServerIdentity,
  connect as connectTls,
  type ConnectionOptions,
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { type AddressGuard, addressGuard } from '../ip-address.ts';
import { enableSessionEvents } from '../node-internals.ts';
import type { ConnectOptions, EgressProxy, TlsIdentity } from './connect-options.ts';
import { egressProxyFor } from './egress.ts';
import { egressFailed } from './failures.ts';
import type { Origin } from './origin.ts';
import { requestTunnel } from './tunnel.ts';

/** Receives the bytes of a connection. */
interface SocketReader {
  /** The buffer for the next read. Never empty. */
  nextBuffer(): Buffer;
  /** The first `length` bytes of `buffer` were read. They are valid only during the call. */
  onRead(length: number, buffer: Buffer): void;
}

/** Receives the result of a dial: one of the two methods is called, after `dial` has returned and not after `destroy`. */
interface ConnectListener {
  /** The connection is open, including TLS. From now on the listener handles the events of the socket. */
  onConnected(socket: Socket): void;
  onDialFailed(error: unknown): void;
}

export interface DialListener extends SocketReader, ConnectListener {}

/** A connection that is being opened. */
export interface Dialing {
  /** Cancels the attempt. The listener is not called any more. */
  destroy(): void;
  /** The egress proxy, until it has opened the connection to the server. */
  readonly awaitedProxy?: EgressProxy | undefined;
}

/**
 * Opens one connection to one origin. May throw an error instead of reporting it. A socket without `onread`, such as TLS
 * over another socket, passes the chunks of its `data` events to `onRead`.
 */
export type Dial = (listener: DialListener) => Dialing;

/** How requests reach an origin. */
export interface DialOptions extends ConnectOptions {
  /** Requests a tunnel from an egress proxy also for an `http:` origin. */
  readonly alwaysTunnels?: boolean | undefined;
  /** Accepts any certificate of the origin. Only for checks that describe the certificate. */
  readonly acceptsAnyCertificate?: boolean | undefined;
}

/** Opens connections for a pool, with `onread` where Node has it. */
export function dialFor(origin: Origin, options: DialOptions = {}): Dial {
  const connect = connectorFor(origin, options);
  return (listener) => connect(listener, listener);
}

/** Like `Dial`. Without a reader, the socket is paused until something reads it. */
type Connector = (listener: ConnectListener, reader?: SocketReader) => Dialing;

/**
 * Opens connections to an origin: directly, or through an egress proxy. A connection is refused if it would go to a
 * link-local address. For an `http:` origin behind a proxy, the connection goes to the proxy, which then expects
 * requests in absolute form, unless `alwaysTunnels` is set.
 */
export function connectorFor(origin: Origin, options: DialOptions): Connector {
  const { tls = NO_IDENTITY, egress, allowAddresses, alwaysTunnels = false, acceptsAnyCertificate } = options;
  const guard = addressGuard(allowAddresses);
  const proxy = egressProxyFor(origin, egress);
  const startTls = origin.isTls ? tlsStarter(origin.host, tls, acceptsAnyCertificate) : undefined;
  if (proxy === undefined) return directConnector(origin, guard, startTls);
  const connect = directConnector(proxy, guard, proxy.isTls ? tlsStarter(proxy.host, caOnly(tls)) : undefined);
  const isTunnel = origin.isTls || alwaysTunnels;
  return (listener, reader) => {
    // Only an IP address can be checked here. The proxy resolves names.
    guard.check(origin.host);
    return new ProxyDialing({ origin, proxy, connect, isTunnel, startTls }, listener, reader);
  };
}

interface ProxyRoute {
  readonly origin: Origin;
  readonly proxy: EgressProxy;
  /** Connects to the proxy. */
  readonly connect: Connector;
  /** Whether the proxy has to open a tunnel to the origin. */
  readonly isTunnel: boolean;
  /** For TLS with the origin, in the tunnel. */
  readonly startTls: TlsStarter | undefined;
}

/** A connection through an egress proxy that is being opened: TCP or TLS with the proxy, then the tunnel, then TLS. */
class ProxyDialing implements Dialing {
  awaitedProxy: EgressProxy | undefined;
  readonly #route: ProxyRoute;
  readonly #listener: ConnectListener;
  readonly #reader: SocketReader | undefined;
  #current: Dialing;
  #isOver = false;

  constructor(route: ProxyRoute, listener: ConnectListener, reader: SocketReader | undefined) {
    const { proxy, isTunnel } = route;
    this.awaitedProxy = proxy;
    this.#route = route;
    this.#listener = listener;
    this.#reader = reader;
    const onConnected = (socket: Socket) => (isTunnel ? this.#requestTunnel(socket) : listener.onConnected(socket));
    const onDialFailed = (error: unknown) => this.#fail(this.#proxyFailed(error));
    try {
      this.#current = route.connect({ onConnected, onDialFailed }, isTunnel ? undefined : reader);
    } catch (error) {
      throw this.#proxyFailed(error);
    }
  }

  destroy(): void {
    this.#isOver = true;
    this.#current.destroy();
  }

  #requestTunnel(socket: Socket): void {
    const { proxy, origin, startTls } = this.#route;
    this.#current = socket;
    requestTunnel(socket, proxy, origin, (error) => {
      if (error !== undefined) this.#fail(error);
      else if (startTls === undefined) this.#succeed(socket);
      else this.#startTls(socket, startTls);
    });
  }

  #startTls(tunnel: Socket, startTls: TlsStarter): void {
    this.awaitedProxy = undefined;
    const listener: ConnectListener = {
      onConnected: (socket) => this.#succeed(socket),
      onDialFailed: (error) => this.#fail(error),
    };
    try {
      this.#current = awaitConnection(startTls({ socket: tunnel }), 'secureConnect', listener);
    } catch (error) {
      tunnel.destroy();
      this.#fail(error);
      return;
    }
    // The TLS socket reports no error if the tunnel below it is closed.
    tunnel.once('close', () => this.#fail(Object.assign(new Error('the tunnel was closed'), { code: 'ECONNRESET' })));
  }

  #succeed(socket: Socket): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const reader = this.#reader;
    if (reader !== undefined) socket.on('data', (chunk: Buffer) => reader.onRead(chunk.length, chunk));
    this.#listener.onConnected(socket);
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener.onDialFailed(error);
  }

  #proxyFailed(error: unknown): Error {
    return egressFailed(this.#route.proxy, this.#route.origin.hostHeader, error);
  }
}

function directConnector(
  { host, port }: { readonly host: string; readonly port: number },
  guard: AddressGuard,
  startTls: TlsStarter | undefined,
): Connector {
  return (listener, reader) => {
    guard.check(host);
    const address = { host, port, lookup: guard.lookup, ...(reader && { onread: onreadOf(reader) }) };
    return startTls === undefined
      ? awaitConnection(connectTcp(address), 'connect', listener)
      : awaitConnection(startTls(address), 'secureConnect', listener);
  };
}

function awaitConnection(socket: Socket, readyEvent: 'connect' | 'secureConnect', listener: ConnectListener): Socket {
  const onError = (error: Error) => listener.onDialFailed(error);
  socket.once('error', onError);
  socket.once(readyEvent, () => {
    socket.off('error', onError);
    socket.setNoDelay(true);
    listener.onConnected(socket);
  });
  return socket;
}

/** Starts TLS on a new TCP connection, or over an open socket. */
type TlsStarter = (over: TcpNetConnectOpts | { readonly socket: Socket }) => TLSSocket;

/** Always verifies the certificate. Sessions are resumed only between connections of the same starter. */
function tlsStarter(host: string, identity: TlsIdentity, acceptsAnyCertificate = false): TlsStarter {
  const name = identity.serverName ?? host;
  let session: Buffer | undefined;
  return (over) => {
    const options: ConnectionOptions = {
      // `tls.connect` documents `onread`, but its types omit it.
      ...over,
      secureContext: secureContextOf(identity),
      // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED has no effect.
      rejectUnauthorized: !acceptsAnyCertificate,
      ALPNProtocols: ['http/1.1'],
      ...(session !== undefined && { session }),
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      // SNI does not allow IP addresses (RFC 6066 3).
      ...(isIP(name) === 0 && { servername: name }),
    };
    const socket = connectTls(options);
    enableSessionEvents(socket);
    socket.on('session', (next) => (session = next));
    socket.once('error', () => (session = undefined));
    return socket;
  };
}

const NO_IDENTITY: TlsIdentity = {};

/** For an egress proxy, which never gets the client certificate. */
export function caOnly(identity: TlsIdentity): TlsIdentity {
  return identity.ca === undefined ? NO_IDENTITY : { ca: identity.ca };
}

/** Reading the certificate authorities takes milliseconds. */
const secureContexts = new WeakMap<TlsIdentity, SecureContext>();

export function secureContextOf(identity: TlsIdentity): SecureContext {
  const known = secureContexts.get(identity);
  if (known !== undefined) return known;
  const { ca, cert, key, pfx, passphrase, minVersion = 'TLSv1.2' } = identity;
  const context = createSecureContext({
    minVersion,
    ...(ca !== undefined && { ca: [...getCACertificates('default'), ...ca] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key: key.reveal() }),
    ...(pfx !== undefined && { pfx: Buffer.from(pfx.reveal(), 'base64') }),
    ...(passphrase !== undefined && { passphrase: passphrase.reveal() }),
  });
  secureContexts.set(identity, context);
  return context;
}

function onreadOf(reader: SocketReader): OnReadOpts {
  return {
    buffer: () => reader.nextBuffer(),
    callback: (length, buffer) => {
      reader.onRead(length, buffer as Buffer);
      return true;
    },
  };
}

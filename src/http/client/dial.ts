import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect as connectTls,
  type ConnectionOptions,
  createSecureContext,
  getCACertificates,
  type SecureContext,
} from 'node:tls';
import { guardedLookup, isLinkLocalAddress } from '../ip-address.ts';
import { enableSessionEvents } from '../node-internals.ts';
import type { ConnectOptions, TlsIdentity } from './connect-options.ts';

/** Receives the bytes of a connection. */
interface SocketReader {
  /** The buffer for the next read. Never empty. */
  nextBuffer(): Buffer;
  /** The first `length` bytes of `buffer` were read. They are valid only during the call. */
  onRead(length: number, buffer: Buffer): void;
}

/** Receives the result of a dial: one of the two methods is called, after `dial` has returned and not after `destroy`. */
export interface DialListener extends SocketReader {
  /** The connection is open, including TLS. From now on the listener handles the events of the socket. */
  onConnected(socket: Socket): void;
  onDialFailed(error: unknown): void;
}

/** A connection that is being opened. */
export interface Dialing {
  /** Cancels the attempt. The listener is not called any more. */
  destroy(): void;
}

/**
 * Opens one connection to one origin. May throw an error instead of reporting it. Another implementation can connect
 * through a proxy, for example. A socket without `onread`, such as TLS over another socket, passes the chunks of its
 * `data` events to `onRead`.
 */
export type Dial = (listener: DialListener) => Dialing;

/** Scheme, host and port of an upstream. */
interface Origin {
  readonly isTls: boolean;
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of the Host header, without the default port of the scheme. */
  readonly hostHeader: string;
}

/** @param text such as `https://api.example.com` */
export function originOf(text: string): Origin {
  const { protocol, hostname, port, host } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') throw new TypeError(`${protocol}// is not HTTP`);
  const isTls = protocol === 'https:';
  return {
    isTls,
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (isTls ? 443 : 80) : Number(port),
    hostHeader: host,
  };
}

/** Opens direct connections to an origin. Each connection is refused if it would go to a link-local address. */
export function directDial(origin: Origin, { tls = {} }: ConnectOptions = {}): Dial {
  const open = origin.isTls ? tlsOpener(origin, tls) : tcpOpener(origin);
  return (listener) => {
    const { socket, readyEvent } = open(onreadOf(listener));
    const onError = (error: Error) => listener.onDialFailed(error);
    socket.once('error', onError);
    socket.once(readyEvent, () => {
      socket.off('error', onError);
      socket.setNoDelay(true);
      listener.onConnected(socket);
    });
    return socket;
  };
}

interface Opened {
  readonly socket: Socket;
  readonly readyEvent: 'connect' | 'secureConnect';
}

type Opener = (onread: OnReadOpts) => Opened;

function tcpOpener(origin: Origin): Opener {
  return (onread) => ({
    socket: connectTcp({ ...addressOf(origin), onread }),
    readyEvent: 'connect',
  });
}

/** Always verifies the certificate. Sessions are resumed only between connections of the same opener. */
function tlsOpener(origin: Origin, identity: TlsIdentity): Opener {
  const name = identity.serverName ?? origin.host;
  let context: SecureContext | undefined;
  let session: Buffer | undefined;
  return (onread) => {
    context ??= secureContextOf(identity);
    // `tls.connect` documents `onread`, but its types omit it.
    const options: ConnectionOptions & { readonly onread: OnReadOpts } = {
      ...addressOf(origin),
      onread,
      secureContext: context,
      // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED has no effect.
      rejectUnauthorized: true,
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
    return { socket, readyEvent: 'secureConnect' };
  };
}

function secureContextOf({ ca, cert, key, pfx, passphrase, minVersion = 'TLSv1.2' }: TlsIdentity): SecureContext {
  return createSecureContext({
    minVersion,
    ...(ca !== undefined && { ca: [...getCACertificates('default'), ...ca] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key: key.reveal() }),
    ...(pfx !== undefined && { pfx: Buffer.from(pfx.reveal(), 'base64') }),
    ...(passphrase !== undefined && { passphrase: passphrase.reveal() }),
  });
}

function addressOf({ host, port }: Origin) {
  if (isIP(host) !== 0 && isLinkLocalAddress(host)) {
    throw Object.assign(new Error('a link-local or metadata address'), { code: 'LINK_LOCAL_ADDRESS' });
  }
  return { host, port, lookup: guardedLookup };
}

function onreadOf(listener: SocketReader): OnReadOpts {
  return {
    buffer: () => listener.nextBuffer(),
    callback: (length, buffer) => {
      listener.onRead(length, buffer as Buffer);
      return true;
    },
  };
}

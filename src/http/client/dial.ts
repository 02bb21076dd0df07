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

/** Where the bytes of a connection go. */
interface SocketReader {
  /** The buffer for the next read, never an empty one. */
  nextBuffer(): Buffer;
  /** The first `length` bytes of `buffer` were read. They stay valid during the call. */
  onRead(length: number, buffer: Buffer): void;
}

/** Hears how a dial ended: one of the two is called, after `dial` has returned. Neither is called after `destroy`. */
export interface DialListener extends SocketReader {
  /** The connection is open, TLS included. The listener handles the events of the socket from now on. */
  onConnected(socket: Socket): void;
  onDialFailed(error: unknown): void;
}

/** A connection that is being opened. */
export interface Dialing {
  /** Gives it up; its listener hears nothing more. */
  destroy(): void;
}

/**
 * Opens one connection to one origin, and may throw what would keep it from doing so. This is the place for another way
 * there, such as a tunnel through a proxy. A socket that has no `onread`, as TLS over another socket, passes the chunks of its `data` events to `onRead`.
 */
export type Dial = (listener: DialListener) => Dialing;

/** Scheme, host and port of an upstream. */
interface Origin {
  readonly isTls: boolean;
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of the Host header: without a port if it is the scheme's own. */
  readonly hostHeader: string;
}

/** How this side and the server prove who they are. PEM texts. */
export interface TlsIdentity {
  /** Authorities that are trusted in addition to those that Node trusts. */
  readonly ca?: readonly string[];
  /** Certificate of this client, with its chain. */
  readonly cert?: string;
  readonly key?: string;
  /** What the server's certificate must be for, and what SNI asks for. The host of the origin unless given. */
  readonly servername?: string;
  /** `TLSv1.2` unless given. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
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

/** Direct connections to an origin. Names and addresses that are link-local are refused on every one of them. */
export function directDial(origin: Origin, tls: TlsIdentity = {}): Dial {
  const open = origin.isTls ? tlsOpener(origin, tls) : tcpOpener(origin);
  return (listener) => {
    const { socket, readyEvent } = open(onreadOf(listener));
    const failed = (error: Error) => listener.onDialFailed(error);
    socket.once('error', failed);
    socket.once(readyEvent, () => {
      socket.off('error', failed);
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

/** The certificate is always verified, and sessions are resumed with this identity alone. */
function tlsOpener(origin: Origin, identity: TlsIdentity): Opener {
  const name = identity.servername ?? origin.host;
  let context: SecureContext | undefined;
  let session: Buffer | undefined;
  return (onread) => {
    context ??= secureContextOf(identity);
    // `onread` is documented for `tls.connect`, and missing in its types.
    const options: ConnectionOptions & { readonly onread: OnReadOpts } = {
      ...addressOf(origin),
      onread,
      secureContext: context,
      // Said explicitly: otherwise NODE_TLS_REJECT_UNAUTHORIZED decides.
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
      ...(session !== undefined && { session }),
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      // An IP address is not a server name (RFC 6066 3).
      ...(isIP(name) === 0 && { servername: name }),
    };
    const socket = connectTls(options);
    enableSessionEvents(socket);
    socket.on('session', (next) => (session = next));
    socket.once('error', () => (session = undefined));
    return { socket, readyEvent: 'secureConnect' };
  };
}

function secureContextOf({ ca, cert, key, minVersion = 'TLSv1.2' }: TlsIdentity): SecureContext {
  return createSecureContext({
    minVersion,
    ...(ca !== undefined && { ca: [...getCACertificates('default'), ...ca] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
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

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { getSystemErrorName } from 'node:util';

/**
 * `node:http`, without what an `import` of it brings along: that reads each of its exports, and `WebSocket` among them
 * loads a whole HTTP client, 13 MiB and 25 ms (docs/decisions/0007-speed.md). Types are imported as usual.
 */
export const http = process.getBuiltinModule('node:http');

/*
 * Everything that reads or changes private fields of Node's objects. `test/http/node-internals.test.ts` fails on a version of
 * Node where one of these fields is missing or works differently.
 */

/**
 * A client that closes its sending side after its request gets its response; its connection ends behind that. By
 * default, node:http takes it for a client that left. A TLS server needs `allowHalfOpen` besides.
 */
export function allowHalfClosedClients(server: Server): void {
  (server as HalfOpenServer).httpAllowHalfOpen = true;
}

interface HalfOpenServer {
  httpAllowHalfOpen?: boolean;
}

/** What node:http keeps on a connection of a server. */
interface HttpConnection {
  /** The response that may write to the connection; null or absent between responses. */
  readonly _httpMessage?: ServerResponse | null;
  /** Null once the connection is closed, or was handed over by `connect` or `upgrade`. */
  readonly parser?: Parser | null;
  /** The server that accepted the connection. */
  readonly server?: { readonly maxHeadersCount?: number | null };
}

interface Parser {
  /** The last request whose head was read. Its body may be over. Where it is null, body and end are dropped. */
  incoming?: IncomingMessage | null;
  /** Called with each request head. 0: the parser goes on with the body. */
  onIncoming?: ((req: IncomingMessage, shouldKeepAlive: boolean) => number) | null;
}

/** The response that is being written to a connection, or is next. Undefined between responses. */
export function currentResponse(connection: Duplex): ServerResponse | undefined {
  return (connection as HttpConnection)._httpMessage ?? undefined;
}

/** The request on a connection whose body has not arrived completely. */
export function unfinishedRequest(connection: Duplex): IncomingMessage | undefined {
  const incoming = (connection as HttpConnection).parser?.incoming ?? undefined;
  return incoming?.complete === false ? incoming : undefined;
}

/**
 * Drops the requests of a connection that `isRefused` says so of, also those in bytes that were read already.
 * `socket.pause()` cannot do this: node:http parses everything that was read, and resumes by itself.
 */
export function dropRequests(connection: Duplex, isRefused: () => boolean): void {
  const { parser } = connection as HttpConnection;
  const take = parser?.onIncoming ?? undefined;
  if (parser === null || parser === undefined || take === undefined) return;
  parser.onIncoming = (req, shouldKeepAlive) => {
    if (!isRefused()) return take(req, shouldKeepAlive);
    parser.incoming = null;
    return 0;
  };
}

/**
 * Whether Node may have dropped header lines of a request, because the server it came to has a `maxHeadersCount`. Node
 * drops the lines above that number without a word. Its default of 1000 is above our own limit.
 */
export function mayMissHeaders({ socket, rawHeaders }: IncomingMessage): boolean {
  const count = (socket as HttpConnection).server?.maxHeadersCount ?? 0;
  return count > 0 && rawHeaders.length >= 2 * count;
}

/**
 * Pauses the connection that a message arrives on. The message itself flows on, so that what Node has parsed already is
 * not queued, an object for each chunk. A message that flows asks for more by `_read`, which would end the pause.
 */
export function pauseConnection(message: IncomingMessage): void {
  message._read = () => undefined;
  message.socket.pause();
}

export function resumeConnection(message: IncomingMessage): void {
  if (!Object.hasOwn(message, '_read')) return;
  Reflect.deleteProperty(message, '_read');
  message._read(0);
}

/**
 * Has `end` called where node:http would close a connection behind its last response. The original resets the connection
 * if there are unread bytes, and the client may lose the response (RFC 9112 9.6).
 * @returns false if it was replaced before
 */
export function replaceClose(socket: Duplex & { destroySoon?: () => void }, end: () => void): boolean {
  if (Object.hasOwn(socket, 'destroySoon')) return false;
  socket.destroySoon = end;
  return true;
}

/** A TLS socket on either side. */
interface TlsInternals {
  /** The socket below, on a server. */
  readonly _parent?: Socket;
  /** `_parent` is the TCP handle below. */
  readonly _handle?: { readonly _parent?: { readStart?(): unknown }; enableSessionCallbacks?(): void } | null;
}

/**
 * Makes a TLS client emit `session` also if it connects to the second address of a name, as where `localhost` has `::1`
 * besides `127.0.0.1`: Node asks for the event only at the handle of the first address. Call it before the connection
 * is open.
 */
export function keepSessionEvents(socket: TLSSocket): void {
  // Before Node's own listener, which starts the handshake.
  socket.prependOnceListener('connect', () => (socket as unknown as TlsInternals)._handle?.enableSessionCallbacks?.());
}

/**
 * Bytes that were written to a socket and are not with the kernel yet. `writableLength` counts a write until all of it
 * is, so that it does not show whether a large one moves.
 */
export function unsentBytes(socket: Socket): number {
  const handle = (tcpSocketOf(socket) as { _handle?: { readonly writeQueueSize?: number } | null })._handle;
  return socket.writableLength + (handle?.writeQueueSize ?? 0);
}

/** The socket of the connection itself: below that of TLS, on a server. */
function tcpSocketOf(socket: Socket): Socket {
  return socket instanceof TLSSocket ? ((socket as TlsInternals)._parent ?? socket) : socket;
}

/** Sends a reset (RST) instead of an orderly close. TLS has none: it takes the TCP socket below. */
export function resetConnection(socket: Socket): void {
  const tcp = tcpSocketOf(socket);
  // Of a TLS socket itself, Node refuses it.
  if (!tcp.destroyed && !(tcp instanceof TLSSocket)) tcp.resetAndDestroy();
  socket.destroy();
}

/**
 * Whether a connection is gone without Node having noticed: the kernel knows no peer any more. Node notices a reset when
 * it reads or writes. It does not read while the socket is paused, or after the client has closed its sending side. Over
 * TLS, even a write does not tell: if the write of session tickets or of an alert fails, Node drops the error, and
 * later writes never end.
 */
export function isConnectionLost(socket: Socket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { getpeername?(out: object): number } | null };
  return (handle?.getpeername?.({}) ?? 0) < 0;
}

/**
 * Why the `end` event of a socket does not mean that the server sent everything, or undefined if it does. Only needed
 * for a body that ends with the connection. Call it in that event, once, and never read `remoteAddress` before.
 *
 * - libuv before 1.52 reports a reset that follows data as an orderly end. The socket has no peer address then. Node
 *   remembers the address once it was read, so only the first reading tells.
 * - Over TLS, `close_notify` ends the data (RFC 9112 9.8), since anyone on the network can send a FIN. Node reports both
 *   alike. After `close_notify` the TCP handle below still reads, so that starting it again fails with `EALREADY`; after
 *   a FIN it does not.
 *
 * If the second changes, such responses are taken for incomplete.
 */
export function faultOfEnd(socket: Socket): Error | undefined {
  if (socket.remoteAddress === undefined) return withCode('ECONNRESET');
  if (!(socket instanceof TLSSocket)) return undefined;
  const result = (socket as TlsInternals)._handle?._parent?.readStart?.();
  const isReading = typeof result === 'number' && result < 0 && getSystemErrorName(result) === 'EALREADY';
  return isReading ? undefined : withCode('no close_notify');
}

function withCode(code: string): Error {
  return Object.assign(new Error('the connection ended before the response'), { code });
}

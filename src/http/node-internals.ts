/*
 * Everything that depends on private fields or undocumented behaviour of Node's objects. Nothing else in src/ may use
 * them. `test/http/node-internals.test.ts` fails on a Node version where one of them is missing or works differently.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { getSystemErrorName } from 'node:util';

/**
 * `node:http`, loaded without an `import` declaration. An import reads every export, and reading `WebSocket` loads
 * Node's built-in undici: 13 MiB and 25 ms (docs/decisions/0007-speed.md). Types are imported as usual.
 */
export const http = process.getBuiltinModule('node:http');

// Connections of a server

/** Fields that node:http sets on a socket of a server. */
interface HttpConnection {
  /** The response that may write to the connection. Null or absent between responses. */
  readonly _httpMessage?: ServerResponse | null;
  /** Null once the connection is closed, or after `connect` or `upgrade`. */
  readonly parser?: Parser | null;
  /** The server that accepted the connection. */
  readonly server?: { readonly maxHeadersCount?: number | null };
}

interface Parser {
  /** The last request whose head was read. Its body may be complete. If null, the parser drops its body and end. */
  incoming?: IncomingMessage | null;
  /** Called with each request head. The parser continues with the body if it returns 0. */
  onIncoming?: ((req: IncomingMessage, shouldKeepAlive: boolean) => number) | null;
}

/**
 * Lets a client close its sending side after a request and still receive the response. By default, node:http treats
 * that as a disconnect. A TLS server also needs the option `allowHalfOpen`.
 */
export function allowHalfClosedClients(server: Server): void {
  (server as Server & { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
}

/** The response that is being written to a connection, or is next. Undefined between responses. */
export function currentResponse(connection: Duplex): ServerResponse | undefined {
  return (connection as HttpConnection)._httpMessage ?? undefined;
}

/** The request on a connection whose body is still incomplete. */
export function unfinishedRequest(connection: Duplex): IncomingMessage | undefined {
  const incoming = (connection as HttpConnection).parser?.incoming ?? undefined;
  return incoming?.complete === false ? incoming : undefined;
}

/**
 * Drops each further request on a connection while `isRefused` returns true, including requests in bytes that were
 * already read. `socket.pause()` cannot do this: node:http parses everything that was read, and resumes the socket.
 */
export function dropRequests(connection: Duplex, isRefused: () => boolean): void {
  const { parser } = connection as HttpConnection;
  const onIncoming = parser?.onIncoming ?? undefined;
  if (parser === null || parser === undefined || onIncoming === undefined) return;
  parser.onIncoming = (req, shouldKeepAlive) => {
    if (!isRefused()) return onIncoming(req, shouldKeepAlive);
    parser.incoming = null;
    return 0;
  };
}

/**
 * Whether Node may have dropped header lines of a request. It silently drops lines above the server's `maxHeadersCount`.
 * Node's default of 1000 is above the limit of this proxy.
 */
export function mayHaveDroppedHeaders({ socket, rawHeaders }: IncomingMessage): boolean {
  const count = (socket as HttpConnection).server?.maxHeadersCount ?? 0;
  return count > 0 && rawHeaders.length >= 2 * count;
}

/**
 * Calls `end` where node:http would close a connection after its last response. Node's own `destroySoon` resets the
 * connection if there are unread bytes, and the client may then lose the response (RFC 9112 9.6).
 * @returns false if it was already replaced
 */
export function replaceDestroySoon(socket: Duplex & { destroySoon?: () => void }, end: () => void): boolean {
  if (Object.hasOwn(socket, 'destroySoon')) return false;
  socket.destroySoon = end;
  return true;
}

// Messages

/**
 * Pauses the connection of a message, but not the message itself: a paused message would queue every chunk that Node has
 * already parsed, as one object each. A flowing message calls `_read`, which would resume the connection, so `_read` is
 * replaced.
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

// Sockets

interface TlsInternals {
  /** The TCP socket below, on a server. */
  readonly _parent?: Socket;
  /** Its `_parent` is the TCP handle below. */
  readonly _handle?: { readonly _parent?: { readStart?(): unknown }; enableSessionCallbacks?(): void } | null;
}

/** The TCP socket of a connection: below the TLS socket, on a server. */
function tcpSocketOf(socket: Socket): Socket {
  return socket instanceof TLSSocket ? ((socket as TlsInternals)._parent ?? socket) : socket;
}

/**
 * The TCP socket of a server's connection whose TLS handshake failed. It can still be written to in plain text, for a
 * client that does not speak TLS. Closing it closes the connection.
 */
export function socketBelowFailedTls(socket: Duplex): Duplex {
  return socket instanceof TLSSocket ? tcpSocketOf(socket) : socket;
}

/**
 * Makes a TLS client emit `session` also when it connects to the second address of a name, for example `127.0.0.1` after
 * `::1` for `localhost`. Node enables the event only on the handle of the first address. Call it before the connection
 * is open.
 */
export function enableSessionEvents(socket: TLSSocket): void {
  // Must run before Node's own listener, which starts the handshake.
  socket.prependOnceListener('connect', () => (socket as unknown as TlsInternals)._handle?.enableSessionCallbacks?.());
}

/**
 * Bytes written to a socket that the kernel has not taken yet. `writableLength` counts a write until all of it is taken,
 * so it does not show progress within a large write.
 */
export function unsentBytes(socket: Socket): number {
  const handle = (tcpSocketOf(socket) as { _handle?: { readonly writeQueueSize?: number } | null })._handle;
  return socket.writableLength + (handle?.writeQueueSize ?? 0);
}

/** Closes a connection with a TCP reset (RST). Over TLS, this resets the TCP socket below. */
export function resetConnection(socket: Socket): void {
  const tcp = tcpSocketOf(socket);
  // Node refuses `resetAndDestroy` on a TLS socket.
  if (!tcp.destroyed && !(tcp instanceof TLSSocket)) tcp.resetAndDestroy();
  socket.destroy();
}

/**
 * Whether a connection is lost although Node has not noticed: the kernel has no peer address for it. Node notices a
 * reset only when it reads or writes, and it does not read while the socket is paused or after the client has closed its
 * sending side. Over TLS, a write may not show it either: if writing session tickets or an alert fails, Node drops the
 * error, and later writes never finish.
 */
export function isConnectionLost(socket: Socket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { getpeername?(out: object): number } | null };
  return (handle?.getpeername?.({}) ?? 0) < 0;
}

/**
 * Why the `end` event of a socket does not mean that the server sent everything. Undefined if it does. Needed only for a
 * body that ends with the connection. Call it in that event, once, and never read `remoteAddress` before.
 *
 * - libuv before 1.52 reports a reset that follows data as an orderly end. The socket has no peer address then. Node
 *   caches the address once it is read, so only the first read is reliable.
 * - Over TLS, `close_notify` ends the data (RFC 9112 9.8), since anyone on the network path can send a FIN. Node reports
 *   both alike. After `close_notify` the TCP handle below is still reading, so that starting it again fails with
 *   `EALREADY`. After a FIN it is not.
 *
 * If Node changes the second behaviour, complete responses will be treated as incomplete.
 */
export function prematureEndError(socket: Socket): Error | undefined {
  if (socket.remoteAddress === undefined) return prematureEnd('ECONNRESET');
  if (!(socket instanceof TLSSocket)) return undefined;
  const result = (socket as TlsInternals)._handle?._parent?.readStart?.();
  const isReading = typeof result === 'number' && result < 0 && getSystemErrorName(result) === 'EALREADY';
  return isReading ? undefined : prematureEnd('no close_notify');
}

/**
 * Makes the socket behind a stream non-blocking, also for direct writes to its descriptor. All processes that inherited
 * the socket share this state, and Node makes it blocking again when one of them exits.
 */
export function setNonBlocking(stream: NodeJS.WriteStream): void {
  (stream as { readonly _handle?: { setBlocking?(on: boolean): unknown } | null })._handle?.setBlocking?.(false);
}

function prematureEnd(code: string): Error {
  return Object.assign(new Error('the connection ended before the response'), { code });
}

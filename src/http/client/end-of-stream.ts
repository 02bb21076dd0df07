import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { getSystemErrorName } from 'node:util';

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
 * The second uses a private interface of Node. If that changes, such responses are taken for incomplete.
 */
export function faultOfEnd(socket: Socket): Error | undefined {
  if (socket.remoteAddress === undefined) return withCode('ECONNRESET');
  if (!(socket instanceof TLSSocket)) return undefined;
  const result = (socket as unknown as TlsInternals)._handle?._parent?.readStart?.();
  const isReading = typeof result === 'number' && result < 0 && getSystemErrorName(result) === 'EALREADY';
  return isReading ? undefined : withCode('no close_notify');
}

interface TlsInternals {
  readonly _handle?: { readonly _parent?: { readStart?(): unknown } } | null;
}

function withCode(code: string): Error {
  return Object.assign(new Error('the connection ended before the response'), { code });
}

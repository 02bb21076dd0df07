import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { BodyReader } from './body-reader.ts';
import { replaceClose } from './node-internals.ts';

/** How long a client may go on sending what nobody wants before its connection is cut. */
const LINGER_MS = 2000;

/**
 * Ends a response, also where the body of its request is still coming. What the client goes on sending is read for
 * nothing, for a moment: a connection that closes on unread bytes is reset, and its client may lose the response (RFC
 * 9112 9.6).
 * @param rest the last part of its body
 */
export function endResponse(res: ServerResponse, rest?: string, encoding: BufferEncoding = 'utf8'): void {
  const { req } = res;
  if (!req.complete) {
    discardBody(req);
    if (res.shouldKeepAlive) destroyIfEndless(req);
    else endAfterResponse(res, req.socket);
  }
  if (rest === undefined) res.end();
  else res.end(rest, encoding);
}

/** Destroys a connection that is kept, unless the body ends soon. Then it can carry the next request. */
function destroyIfEndless(req: IncomingMessage): void {
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  timer.unref();
  for (const event of ['end', 'close']) req.once(event, () => clearTimeout(timer));
}

/** Reads what is left of a body for nothing, so that its connection can carry the next request. */
export function discardBody(req: IncomingMessage): void {
  if (req.readableEnded) return;
  const reader = BodyReader.ifAny(req);
  if (reader !== undefined) {
    reader.discard();
    return;
  }
  req.on('data', () => undefined);
  req.resume();
}

/**
 * Writes the last bytes of a connection and closes it, also where the client leaves its own side open. A client that
 * resets it meanwhile does not end the process.
 */
export function endSocket(socket: Duplex, bytes = ''): void {
  socket.on('error', ignoreError);
  if (!socket.writable) return;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
  socket.end(bytes);
}

/** Ends a connection behind a response. What the client sends until then is dropped. May be called again. */
export function endAfterResponse(res: ServerResponse, socket: Duplex): void {
  const end = () => endSocket(socket);
  if (!replaceClose(socket, end)) return;
  // Where the head went out before, as one that keeps the connection.
  res.once('close', end);
  res.shouldKeepAlive = false;
  discardInput(socket);
}

/** Reads and drops whatever a client still sends on a connection. Reading also shows when the client leaves. */
export function discardInput(socket: Duplex): void {
  socket.removeAllListeners('data');
  socket.on('data', () => undefined);
  socket.resume();
}

/** A listener for `error`, which ends the process where nobody listens. `close` follows on a socket. */
export function ignoreError(): void {
  return;
}

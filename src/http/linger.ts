import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { BodyReader } from './body-reader.ts';
import { replaceDestroySoon } from './node-internals.ts';

/** How long a connection stays open after its response while the client is still sending. */
const LINGER_MS = 2000;

/*
 * Closing connections without losing responses. A TCP connection that is closed with unread bytes is reset, and the
 * client may then lose the response. So the server reads and drops what the client still sends for a short time, as RFC
 * 9112 9.6 recommends ("lingering close").
 */

/**
 * Ends a response whose request body may still be arriving.
 * @param rest the last part of the response body
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

/** If the request body ends in time, the connection can be reused. Otherwise it is destroyed. */
function destroyIfEndless(req: IncomingMessage): void {
  // A request without a body has ended already, and emits no events (`optimizeEmptyRequests`).
  if (req.readableEnded) return;
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  timer.unref();
  for (const event of ['end', 'close']) req.once(event, () => clearTimeout(timer));
}

/** Reads and drops the rest of a request body, so that the connection can carry the next request. */
export function discardBody(req: IncomingMessage): void {
  if (req.readableEnded) return;
  const reader = BodyReader.find(req);
  if (reader !== undefined) {
    reader.discard();
    return;
  }
  req.on('data', () => undefined);
  req.resume();
}

/**
 * Writes the last bytes to a connection and closes it. Destroys it if the client leaves its side open. Handles the
 * socket's errors from now on.
 */
export function endSocket(socket: Duplex, bytes = ''): void {
  socket.on('error', ignoreError);
  if (!socket.writable) return;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
  socket.end(bytes);
}

/** Closes a connection after a response. Further input from the client is dropped. Can be called more than once. */
export function endAfterResponse(res: ServerResponse, socket: Duplex): void {
  const end = () => endSocket(socket);
  if (!replaceDestroySoon(socket, end)) return;
  // The head may already be sent with keep-alive. Then node:http does not close the connection itself.
  res.once('close', end);
  res.shouldKeepAlive = false;
  discardInput(socket);
}

/** Reads and drops further input on a connection. Without reading, a disconnect of the client goes unnoticed. */
export function discardInput(socket: Duplex): void {
  socket.removeAllListeners('data');
  socket.on('data', () => undefined);
  socket.resume();
}

/** Listener for `error` on sockets and streams: without one, the error ends the process. `close` follows it. */
export function ignoreError(): void {
  return;
}

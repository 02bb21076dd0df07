import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { BodyReader } from './body-reader.ts';

/** How long a client may go on sending what nobody wants before its connection is cut. */
const LINGER_MS = 2000;

/**
 * Ends an answer. Where its request's body is still coming, that is read for nothing first, for a moment: a connection
 * that closes on unread bytes is reset, and its client never gets to see the answer (RFC 9112 9.6).
 */
export function endAnswer(res: ServerResponse): void {
  const { req } = res;
  discardBody(req);
  if (req.complete || req.readableEnded) {
    res.end();
    return;
  }
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  timer.unref();
  req.once('close', () => clearTimeout(timer));
  req.once('end', () => {
    clearTimeout(timer);
    res.end();
  });
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

/** Writes the last bytes of a connection and closes it, also where the client leaves its own side open. */
export function endSocket(socket: Duplex, bytes: string): void {
  if (!socket.writable) return;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
  socket.end(bytes);
}

import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { allowHalfClosedClients, currentResponse, isConnectionLost } from '../node-internals.ts';
import type { ProxyServer } from './http-server.ts';

/** Time for the reset of a client that is gone. Milliseconds. */
const ANSWER_MS = 250;

/**
 * Serves clients that close their sending side behind their request, and closes the connections of those that closed
 * their socket altogether. Each sends the same FIN. While its response is awaited, such a client is sent an interim
 * response (`100 Continue`), which HTTP/1.1 has every client skip; if nobody is there, the kernel answers with a reset.
 */
export function serveHalfClosedClients(server: ProxyServer): void {
  allowHalfClosedClients(server);
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    socket.once('end', () => probe(socket));
  });
}

function probe(socket: Socket): void {
  const response = currentResponse(socket);
  // HTTP/1.0 has no interim responses. Such a client is found gone when its response is written.
  if (response === undefined || response.headersSent || !socket.writable || response.req.httpVersion === '1.0') return;
  response.writeContinue();
  const timer = setTimeout(() => {
    if (isConnectionLost(socket)) socket.destroy();
  }, ANSWER_MS);
  timer.unref();
}

import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:https';
import { allowHalfClosedClients, currentResponse } from '../node-internals.ts';
import type { ProxyServer } from './http-server.ts';

/** Time for the reset that follows the first probe of a closed connection. Milliseconds. */
const PROBE_MS = 250;

/**
 * Serves clients that close their sending side behind their request, and notices those that closed their socket
 * altogether, which looks the same: each sends a FIN. A client that is still there gets two interim responses
 * (`100 Continue`), which HTTP/1.1 has every client skip. For one that is gone, the kernel answers the first with a
 * reset, and the second fails.
 */
export function serveHalfClosedClients(server: ProxyServer): void {
  allowHalfClosedClients(server);
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    socket.once('end', () => {
      probe(socket);
      setTimeout(probe, PROBE_MS, socket).unref();
    });
  });
}

/** Without a response that waits, nothing is lost if the client is gone. HTTP/1.0 has no interim responses. */
function probe(socket: Socket): void {
  const response = currentResponse(socket);
  if (response === undefined || response.headersSent || !socket.writable) return;
  if (response.req.httpVersion !== '1.0') response.writeContinue();
}

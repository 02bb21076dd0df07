import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { http } from '../node-http.ts';
import { discardInput, endSocket, ignoreError } from './linger.ts';

/**
 * A response on a connection that node gave away for an upgrade. The connection ends with it; what the client goes on
 * sending until then is read for nothing.
 */
export function responseOn(socket: Socket, req: IncomingMessage): ServerResponse {
  // Over TLS, a reset is noticed only by reading: unread, the connection would stay open.
  discardInput(socket);
  const res = new http.ServerResponse(req);
  res.on('error', ignoreError);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  // Node does this for connections that are still its own.
  const onDrain = () => res.emit('drain');
  socket.on('drain', onDrain);
  res.once('finish', () => {
    socket.off('drain', onDrain);
    res.detachSocket(socket);
    endSocket(socket);
  });
  return res;
}

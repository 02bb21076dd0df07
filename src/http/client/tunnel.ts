import type { Socket } from 'node:net';
import type { EgressError } from '../../errors.ts';
import { formatHostPort } from '../host-port.ts';
import type { EgressProxy } from './connect-options.ts';
import { proxyAuthorizationLine } from './egress.ts';
import { egressFailed, egressInvalid, egressRefused } from './failures.ts';
import type { Origin } from './origin.ts';
import { InvalidResponse, ResponseParser } from './response-parser.ts';

/**
 * Requests a tunnel to an origin (RFC 9110 9.3.6) on a connection to the proxy. Bytes after the head of the response
 * belong to the tunnel: they are the first that can be read from the socket.
 * @param onOpen is called once, unless the socket is destroyed by the caller
 */
export function requestTunnel(
  socket: Socket,
  proxy: EgressProxy,
  origin: Origin,
  onOpen: (error?: EgressError) => void,
): void {
  const { hostHeader } = origin;
  const target = formatHostPort(origin);
  let status = 0;
  // As in a response to HEAD, nothing after the head is a body: RFC 9110 9.3.6 voids the framing headers.
  const parser = new ResponseParser({ onHead: (received) => (status = received), onBody: () => {} });
  parser.start('HEAD');

  const end = (error?: EgressError) => {
    socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', onError);
    // Whatever uses the open tunnel has its own listener.
    socket.on('error', () => {});
    if (error !== undefined) socket.destroy();
    onOpen(error);
  };
  const onError = (cause: unknown) => end(egressFailed(proxy, hostHeader, cause));
  const onEnd = () => onError(Object.assign(new Error('the proxy closed the connection'), { code: 'ECONNRESET' }));
  const onReadable = () => {
    try {
      for (let chunk = read(socket); chunk !== null; chunk = read(socket)) {
        const consumed = parser.read(chunk, chunk.length);
        if (!parser.isComplete) continue;
        const isOpen = status >= 200 && status <= 299;
        if (isOpen && consumed < chunk.length) socket.unshift(chunk.subarray(consumed));
        end(isOpen ? undefined : egressRefused(proxy, hostHeader, status));
        return;
      }
    } catch (error) {
      if (error instanceof InvalidResponse) end(egressInvalid(proxy, hostHeader, error.message));
      else onError(error);
    }
  };
  socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd).on('error', onError);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${proxyAuthorizationLine(proxy)}\r\n`, 'latin1');
}

function read(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}

import type { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { http } from '../node-internals.ts';
import { connectorFor, type DialOptions } from './dial.ts';
import { egressFailed } from './failures.ts';
import type { Origin } from './origin.ts';

/**
 * Opens one connection to an origin, as the pools do. The socket is connected, including TLS.
 * @param signal ends the attempt
 * @throws what Node's network modules report, an `EgressError`, or the reason of the signal
 */
export async function openSocket(origin: Origin, options: DialOptions, signal?: AbortSignal): Promise<Socket> {
  signal?.throwIfAborted();
  const connect = connectorFor(origin, options);
  const opened = Promise.withResolvers<Socket>();
  const onConnected = (socket: Socket) => {
    // Until the caller has its own listener.
    socket.on('error', () => {});
    opened.resolve(socket);
  };
  const dialing = connect({ onConnected, onDialFailed: opened.reject });
  const onAbort = () => {
    const { awaitedProxy } = dialing;
    dialing.destroy();
    const reason: unknown = signal?.reason;
    opened.reject(awaitedProxy === undefined ? reason : egressFailed(awaitedProxy, origin.hostHeader, reason));
  };
  signal?.addEventListener('abort', onAbort);
  try {
    const socket = await opened.promise;
    if (socket.destroyed)
      throw socket.errored ?? Object.assign(new Error('closed by the server'), { code: 'ECONNRESET' });
    return socket;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** An agent of node:http for one request on an open socket. */
export function agentFor(socket: Socket, isTls: boolean): Agent {
  const agent = new http.Agent({ keepAlive: false });
  return Object.assign(agent, { protocol: isTls ? 'https:' : 'http:', createConnection: () => socket });
}

import type { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { type Clock, systemClock } from '../../clock.ts';
import { http } from '../node-internals.ts';
import { connectorFor, type DialOptions } from './dial.ts';
import { egressFailed } from './failures.ts';
import type { Origin } from './origin.ts';

/** When to give up an attempt to connect. */
interface ConnectLimits {
  /** For the whole attempt, including TLS. */
  readonly timeoutMs: number;
  readonly clock?: Clock;
  /** Ends the attempt. */
  readonly signal?: AbortSignal;
}

/** There was no connection within the time limit. */
export class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeout';
  readonly code = 'ETIMEDOUT';

  constructor() {
    super('no connection in time');
  }
}

/**
 * Opens one connection to an origin, as the pools do. The socket is connected, including TLS.
 * @throws what Node's network modules report, `ConnectTimeout`, the reason of the signal, or an `EgressError`. If an
 * egress proxy was awaited, the cause of the `EgressError` is one of the others.
 */
export async function openSocket(origin: Origin, options: DialOptions, limits: ConnectLimits): Promise<Socket> {
  const { timeoutMs, clock = systemClock, signal } = limits;
  signal?.throwIfAborted();
  const connect = connectorFor(origin, options);
  const opened = Promise.withResolvers<Socket>();
  const onConnected = (socket: Socket) => {
    // Until the caller has its own listener.
    socket.on('error', () => {});
    opened.resolve(socket);
  };
  const dialing = connect({ onConnected, onDialFailed: opened.reject });
  const end = (reason: unknown) => {
    const { awaitedProxy } = dialing;
    dialing.destroy();
    opened.reject(awaitedProxy === undefined ? reason : egressFailed(awaitedProxy, origin.hostHeader, reason));
  };
  const onAbort = () => end(signal?.reason);
  signal?.addEventListener('abort', onAbort);
  const cancelTimeout = clock.after(timeoutMs, () => end(new ConnectTimeout()));
  try {
    const socket = await opened.promise;
    if (socket.destroyed)
      throw socket.errored ?? Object.assign(new Error('closed by the server'), { code: 'ECONNRESET' });
    return socket;
  } finally {
    cancelTimeout();
    signal?.removeEventListener('abort', onAbort);
  }
}

/** An agent of node:http for one request on an open socket. */
export function agentFor(socket: Socket, isTls: boolean): Agent {
  const agent = new http.Agent({ keepAlive: false });
  return Object.assign(agent, { protocol: isTls ? 'https:' : 'http:', createConnection: () => socket });
}

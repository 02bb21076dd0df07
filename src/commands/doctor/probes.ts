import { isIP, type LookupFunction, type Socket } from 'node:net';
import type { Clock } from '../../clock.ts';
import type { TokenTransport } from '../../tokens/exchange.ts';

/** What the checks touch of the world around them. */
export interface Probes {
  readonly clock: Clock;
  readonly lookup: LookupFunction;
  readonly transport: TokenTransport;
}

/** Time for each of: finding an address, connecting, a TLS handshake. */
export const STEP_TIMEOUT_MS = 5000;

/** An address that can be connected to. */
export interface Place {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

export function placeOf({ hostname, protocol, port }: URL): Place {
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: Number(port || (protocol === 'https:' ? 443 : 80)) };
}

/** `127.0.0.1:80`, `[::1]:80`. */
export function formatPlace({ host, port }: Place): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

export function timedOut(): Error {
  return Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' });
}

/** Resolves on `event`. Rejects with the socket's error, or with `ETIMEDOUT` after 5 s; the socket is then destroyed. */
export function opened(socket: Socket, event: 'connect' | 'secureConnect', clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(STEP_TIMEOUT_MS, () => socket.destroy(timedOut()));
    socket.once(event, () => {
      cancel();
      resolve();
    });
    socket.on('error', reject);
    socket.once('close', () => {
      cancel();
      reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    });
  });
}

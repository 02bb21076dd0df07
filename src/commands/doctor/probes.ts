import type { LookupFunction, Socket } from 'node:net';
import type { Clock } from '../../clock.ts';
import { ConnectTimeout } from '../../http/client/open-socket.ts';
import type { TokenTransport } from '../../tokens/exchange.ts';

/** How the checks reach the network and the time. */
export interface Probes {
  readonly clock: Clock;
  /** Looks names up for the checks `dns` and `tcp`. Default: as the proxy does. */
  readonly lookup?: LookupFunction;
  readonly transport: TokenTransport;
}

/** For the lookup, the connection and the TLS handshake each. */
export const STEP_TIMEOUT_MS = 5000;

/** Resolves on `event`. Rejects with the error of the socket, or after 5 s with `ConnectTimeout`; the socket is then destroyed. */
export function waitForEvent(socket: Socket, event: 'connect', clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(STEP_TIMEOUT_MS, () => socket.destroy(new ConnectTimeout()));
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

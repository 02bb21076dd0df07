import { once } from 'node:events';
import { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { EmulatorApp } from './http.ts';

export interface Listening {
  /** With the port it really has: `http://127.0.0.1:9912`. */
  readonly origin: string;
  /** Cuts idle and busy connections too. */
  close(): Promise<void>;
}

/** Longer than a client keeps an idle connection, so that the client is the one to close it. */
const KEEP_ALIVE_MS = 65_000;

/** Rejects with the socket's own error, `EADDRINUSE` for one. */
export async function listen(app: EmulatorApp, host: string, port: number): Promise<Listening> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    hostname: host,
    overrideGlobalObjects: false,
    serverOptions: { keepAliveTimeout: KEEP_ALIVE_MS },
  });
  if (!(server instanceof Server)) throw new TypeError('expected an HTTP/1.1 server');
  server.listen(port, host);
  await once(server, 'listening');
  return {
    origin: originOf(server.address() as AddressInfo),
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** An address one can connect to, where the server listens on every one. */
function originOf({ address, port, family }: AddressInfo): string {
  if (family !== 'IPv6') return `http://${address === '0.0.0.0' ? '127.0.0.1' : address}:${port}`;
  return `http://[${address === '::' ? '::1' : address}]:${port}`;
}

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { ByteBuffer } from '../http/byte-buffer.ts';
import type { EmulatorApp } from './provider-emulator.ts';

export interface Listening {
  /** With the port it really has: `http://127.0.0.1:9912`. */
  readonly origin: string;
  /** Cuts idle and busy connections too. */
  close(): Promise<void>;
}

/** Longer than a client keeps an idle connection, so that the client is the one to close it. */
const KEEP_ALIVE_MS = 65_000;

/** Requests of one connection that have no response yet. */
const MAX_PIPELINED = 17;

/** Longer request bodies get 413. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Rejects with the socket's own error, `EADDRINUSE` for one. */
export async function listen(app: EmulatorApp, host: string, port: number): Promise<Listening> {
  const respond = getRequestListener(app.fetch, { hostname: host, overrideGlobalObjects: false });
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (req, res) => {
    readBody(req, res, () => void respond(req, res));
  });
  server.maxHeadersCount = 0;
  boundPipelining(server);
  server.listen(port, host);
  await once(server, 'listening');
  // For what fails later, such as `accept` when there are no file descriptors left.
  server.on('error', () => undefined);
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

/** Closes the connection of a client that sends requests without end and waits for no response. */
function boundPipelining(server: Server): void {
  const open = new WeakMap<Socket, number>();
  server.prependListener('request', ({ socket }, res) => {
    const count = (open.get(socket) ?? 0) + 1;
    open.set(socket, count);
    if (count > MAX_PIPELINED) socket.destroy();
    res.on('error', () => undefined);
    res.once('close', () => open.set(socket, (open.get(socket) ?? 0) - 1));
  });
}

/**
 * Reads the body before the app is called. The adapter takes it from `rawBody`; by itself it would keep each chunk as an
 * object, some 400 bytes for a chunk of one byte.
 */
function readBody(req: IncomingMessage & { rawBody?: Buffer }, res: ServerResponse, read: () => void): void {
  if (req.headers['transfer-encoding'] === undefined && Number(req.headers['content-length'] ?? 0) === 0) {
    read();
    return;
  }
  const body = new ByteBuffer();
  req.on('data', (chunk: Buffer) => {
    if (res.headersSent) return;
    body.append(chunk);
    if (body.length > MAX_BODY_BYTES) {
      body.take();
      res.writeHead(413, { 'content-type': 'application/json' }).end('{"error":"body_too_large"}');
    }
  });
  req.on('end', () => {
    if (res.headersSent) return;
    req.rawBody = body.bytes;
    read();
  });
}

/** An address one can connect to, where the server listens on every one. */
function originOf({ address, port, family }: AddressInfo): string {
  if (family !== 'IPv6') return `http://${address === '0.0.0.0' ? '127.0.0.1' : address}:${port}`;
  return `http://[${address === '::' ? '::1' : address}]:${port}`;
}

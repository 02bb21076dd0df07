import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { ByteBuffer } from '../http/byte-buffer.ts';
import type { EmulatorApp } from './provider-emulator.ts';

interface EmulatorServer {
  /** With the port that the server listens on: `http://127.0.0.1:9912`. */
  readonly origin: string;
  /** Closes idle and busy connections too. May be called again. */
  close(): Promise<void>;
}

/** Longer than a client keeps an idle connection, so that the client closes it first. */
const KEEP_ALIVE_MS = 65_000;
/** Requests of one connection that have no response yet. */
const MAX_PIPELINED = 17;
/** A longer request body gets 413. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Serves the app. Rejects with the socket's error, such as `EADDRINUSE`. */
export async function listen(app: EmulatorApp, host: string, port: number): Promise<EmulatorServer> {
  const respond = getRequestListener(app.fetch, { hostname: host, overrideGlobalObjects: false });
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (req, res) => {
    readBody(req, res, () => void respond(req, res));
  });
  server.maxHeadersCount = 0;
  limitPipelining(server);
  server.listen(port, host);
  await once(server, 'listening');
  // Later errors, such as `accept` without free file descriptors, must not end the process.
  server.on('error', () => undefined);
  return {
    origin: connectableOrigin(server.address() as AddressInfo),
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Closes the connection of a client that keeps sending requests without waiting for responses. */
function limitPipelining(server: Server): void {
  const pending = new WeakMap<Socket, number>();
  server.prependListener('request', ({ socket }, res) => {
    const count = (pending.get(socket) ?? 0) + 1;
    pending.set(socket, count);
    if (count > MAX_PIPELINED) socket.destroy();
    res.on('error', () => undefined);
    res.once('close', () => pending.set(socket, (pending.get(socket) ?? 0) - 1));
  });
}

/**
 * Reads the body before the app runs; the Hono adapter takes it from `rawBody`. The adapter would keep each chunk as an
 * object, about 400 bytes for a chunk of one byte.
 */
function readBody(req: IncomingMessage & { rawBody?: Buffer }, res: ServerResponse, onBody: () => void): void {
  if (req.headers['transfer-encoding'] === undefined && Number(req.headers['content-length'] ?? 0) === 0) {
    onBody();
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
    onBody();
  });
}

/** The loopback address instead of a wildcard address, because a client cannot connect to `0.0.0.0` everywhere. */
function connectableOrigin({ address, port, family }: AddressInfo): string {
  if (family !== 'IPv6') return `http://${address === '0.0.0.0' ? '127.0.0.1' : address}:${port}`;
  return `http://[${address === '::' ? '::1' : address}]:${port}`;
}

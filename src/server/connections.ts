import type { Server, ServerResponse } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ignoreError } from '../http/linger.ts';
import {
  currentResponse,
  isConnectionLost,
  resetConnection,
  unfinishedRequest,
  unsentBytes,
} from '../http/node-internals.ts';

/** How often to check for connections that were lost while Node does not read them. */
const LOST_CHECK_INTERVAL_MS = 2000;

/**
 * How often to check for clients that do not read. A client that has read nothing of a finished response between two
 * checks is reset. This is for Wakala's own responses: those of providers have the deadline of their route.
 */
const UNREAD_CHECK_INTERVAL_MS = 60_000;

/** A response that its client has not read completely. */
interface Unread {
  readonly response: ServerResponse;
  readonly pendingBytes: number;
}

/** The client connections of the proxy: limits their number, and closes those that are idle, lost or not read. */
export class Connections {
  /** TCP connections. */
  readonly #open = new Set<Socket>();
  /** The sockets on which HTTP is sent: with TLS, those after the handshake. */
  readonly #httpSockets = new Set<Socket>();
  readonly #overLimit = new WeakSet<Socket>();
  /** At the last check. */
  #unread = new Map<Socket, Unread>();

  constructor(server: ProxyServer, limit: () => number, unreadCheckIntervalMs = UNREAD_CHECK_INTERVAL_MS) {
    const isTls = server instanceof TlsServer;
    server.on('connection', (socket: Socket) => {
      // Node removes its own listener when it passes the socket to `connect` or `upgrade`.
      socket.on('error', ignoreError);
      // Over the limit, a request gets a response. A TLS connection is closed, since a response would need a handshake.
      if (this.#open.size >= limit()) {
        if (isTls) socket.destroy();
        else this.#overLimit.add(socket);
        return;
      }
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
      if (!isTls) this.#addHttpSocket(socket);
    });
    if (isTls) {
      server.on('secureConnection', (socket: TLSSocket) => {
        socket.on('error', ignoreError);
        this.#addHttpSocket(socket);
      });
    }
    const timers = [
      setInterval(() => this.#closeLost(), LOST_CHECK_INTERVAL_MS).unref(),
      setInterval(() => this.#resetUnread(), unreadCheckIntervalMs).unref(),
    ];
    server.once('close', () => timers.forEach(clearInterval));
  }

  /** Number of open connections. */
  get open(): number {
    return this.#open.size;
  }

  isOverLimit(socket: Socket): boolean {
    return this.#overLimit.has(socket);
  }

  /** Makes each pending response the last of its connection. */
  closeAfterResponses(): void {
    for (const socket of this.#httpSockets) {
      const response = currentResponse(socket);
      if (response !== undefined) response.shouldKeepAlive = false;
    }
  }

  /** Closes every connection without a pending request, also those that have not had one. */
  closeIdle(): void {
    const busy = new Set<string>();
    for (const socket of this.#httpSockets) {
      if (isBusy(socket)) busy.add(peerOf(socket));
    }
    for (const socket of this.#open) {
      if (!busy.has(peerOf(socket))) socket.destroy();
    }
  }

  /** Resets connections whose client has read nothing of a finished response since the last check. */
  #resetUnread(): void {
    const unread = new Map<Socket, Unread>();
    for (const socket of this.#httpSockets) {
      const response = currentResponse(socket);
      if (response?.writableEnded !== true || response.writableFinished) continue;
      const before = this.#unread.get(socket);
      const pendingBytes = unsentBytes(socket);
      if (before?.response === response && before.pendingBytes === pendingBytes) resetConnection(socket);
      else unread.set(socket, { response, pendingBytes });
    }
    this.#unread = unread;
  }

  /** Closes connections that were reset while Node did not read or write. That ends the work for their clients. */
  #closeLost(): void {
    for (const socket of this.#httpSockets) {
      const isUnnoticed = socket.writableLength > 0 || socket.readableEnded || socket.readableFlowing !== true;
      if (isUnnoticed && isConnectionLost(socket)) socket.destroy();
    }
  }

  #addHttpSocket(socket: Socket): void {
    this.#httpSockets.add(socket);
    socket.once('close', () => this.#httpSockets.delete(socket));
  }
}

function isBusy(socket: Socket): boolean {
  return currentResponse(socket) !== undefined || unfinishedRequest(socket) !== undefined;
}

/** Identifies a connection: its TCP and TLS socket have the same peer. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

export type ProxyServer = Server | TlsServer;

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

/** How often connections are looked at that Node does not read. Milliseconds. */
const LOST_CHECK_MS = 2000;

/**
 * A client that takes nothing of a finished response for this long, or twice as long, is reset. Milliseconds. For responses
 * of Wakala's own: those of providers have the deadline of their route.
 */
const UNREAD_MS = 60_000;

/** A response that its client has not taken. */
interface Unread {
  readonly response: ServerResponse;
  readonly pendingBytes: number;
}

/** The connections of the listener: how many there may be, and which can go when the server stops. */
export class Connections {
  /** As they came in, before any TLS. */
  readonly #open = new Set<Socket>();
  /** Those that speak HTTP by now. */
  readonly #speaking = new Set<Socket>();
  readonly #overLimit = new WeakSet<Socket>();
  /** As it was at the last look. */
  #unread = new Map<Socket, Unread>();

  constructor(server: ProxyServer, limit: () => number, unreadMs = UNREAD_MS) {
    const isTls = server instanceof TlsServer;
    server.on('connection', (socket: Socket) => {
      // node:http removes its own listener when it hands the socket to `connect` or `upgrade`.
      socket.on('error', ignoreError);
      // Over the limit a request gets an answer; a TLS connection, which would cost a handshake first, is cut.
      if (this.#open.size >= limit()) {
        if (isTls) socket.destroy();
        else this.#overLimit.add(socket);
        return;
      }
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
      if (!isTls) this.#speaks(socket);
    });
    if (isTls) {
      server.on('secureConnection', (socket: TLSSocket) => {
        socket.on('error', ignoreError);
        this.#speaks(socket);
      });
    }
    const timers = [
      setInterval(() => this.#closeLost(), LOST_CHECK_MS).unref(),
      setInterval(() => this.#resetUnread(), unreadMs).unref(),
    ];
    server.once('close', () => timers.forEach(clearInterval));
  }

  /** How many there are. */
  get open(): number {
    return this.#open.size;
  }

  isOverLimit(socket: Socket): boolean {
    return this.#overLimit.has(socket);
  }

  /** Answers under way are the last on their connections. */
  closeAfterResponses(): void {
    for (const socket of this.#speaking) {
      const answer = currentResponse(socket);
      if (answer !== undefined) answer.shouldKeepAlive = false;
    }
  }

  /** Closes every connection on which nothing is under way, also one on which nothing ever was. */
  closeIdle(): void {
    const busy = new Set<string>();
    for (const socket of this.#speaking) {
      if (isBusy(socket)) busy.add(peerOf(socket));
    }
    for (const socket of this.#open) {
      if (!busy.has(peerOf(socket))) socket.destroy();
    }
  }

  /** Resets connections whose finished response has not moved since the last look: their clients read nothing. */
  #resetUnread(): void {
    const unread = new Map<Socket, Unread>();
    for (const socket of this.#speaking) {
      const response = currentResponse(socket);
      if (response?.writableEnded !== true || response.writableFinished) continue;
      const before = this.#unread.get(socket);
      const pendingBytes = unsentBytes(socket);
      if (before?.response === response && before.pendingBytes === pendingBytes) resetConnection(socket);
      else unread.set(socket, { response, pendingBytes });
    }
    this.#unread = unread;
  }

  /** Closes connections that were reset while Node could not notice: what is done for their clients ends with them. */
  #closeLost(): void {
    for (const socket of this.#speaking) {
      const isUnnoticed = socket.writableLength > 0 || socket.readableEnded || socket.readableFlowing !== true;
      if (isUnnoticed && isConnectionLost(socket)) socket.destroy();
    }
  }

  #speaks(socket: Socket): void {
    this.#speaking.add(socket);
    socket.once('close', () => this.#speaking.delete(socket));
  }
}

function isBusy(socket: Socket): boolean {
  return currentResponse(socket) !== undefined || unfinishedRequest(socket) !== undefined;
}

/** The same for a connection before and after its TLS handshake. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

export type ProxyServer = Server | TlsServer;

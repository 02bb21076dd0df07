import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { endAfterResponse } from '../http/linger.ts';
import { currentResponse, dropRequests } from '../http/node-internals.ts';
import { startReadingBody } from '../proxy/body.ts';

/** Maximum number of requests that wait on a connection while another one is handled. */
const MAX_WAITING = 16;

/** The waiting requests of one connection. */
interface Queue {
  waiting: number;
  /** Response to the last one. */
  last: ServerResponse;
  /** Whether a request was dropped. All later ones are dropped too: otherwise responses would not match requests. */
  isClosed: boolean;
}

/**
 * Handles pipelined requests one after the other, since a request may depend on the one before (RFC 9112 9.3.2). It
 * limits how many wait: if a client sends more, it gets the responses to those that were accepted, and its connection
 * is closed.
 */
export class Pipelining {
  readonly #queues = new WeakMap<Duplex, Queue>();

  /** Handles a request when all earlier responses are written. */
  afterPendingResponse(req: IncomingMessage, res: ServerResponse, handle: RequestListener): void {
    if (res.socket !== null) {
      handle(req, res);
      return;
    }
    startReadingBody(req);
    const { socket } = req;
    const queue = this.#queues.get(socket) ?? this.#open(socket, res);
    queue.waiting += 1;
    queue.last = res;
    // `dropRequests` enforces the limit. This is in case Node's parser changes.
    if (queue.waiting > MAX_WAITING) socket.destroy();
    res.once('socket', () => {
      queue.waiting -= 1;
      handle(req, res);
    });
  }

  /** The last response that the connection is waiting for. */
  lastResponse(socket: Duplex): ServerResponse | undefined {
    const queue = this.#queues.get(socket);
    return queue !== undefined && queue.waiting > 0 ? queue.last : currentResponse(socket);
  }

  /** Creates a queue. Most connections never need one. */
  #open(socket: Duplex, last: ServerResponse): Queue {
    const queue: Queue = { waiting: 0, last, isClosed: false };
    this.#queues.set(socket, queue);
    dropRequests(socket, () => {
      if (queue.waiting >= MAX_WAITING && !queue.isClosed) {
        queue.isClosed = true;
        // Not now: Node is still parsing this chunk.
        process.nextTick(endAfterResponse, queue.last, socket);
      }
      return queue.isClosed;
    });
    return queue;
  }
}

/** Calls `respond` when no earlier request on the connection waits for its response. */
export function afterResponses(socket: Duplex, respond: () => void): void {
  const pending = currentResponse(socket);
  if (pending === undefined) {
    respond();
    return;
  }
  pending.once('close', () => {
    setImmediate(() => {
      if (!socket.destroyed) afterResponses(socket, respond);
    });
  });
}

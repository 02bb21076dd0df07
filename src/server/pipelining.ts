import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { startReadingBody } from '../proxy/body.ts';
import { endAfterResponse } from '../http/linger.ts';
import { currentResponse, dropRequests } from '../http/node-internals.ts';

/** How many requests may wait on one connection behind the one that is handled. */
const MAX_WAITING = 16;

/** The requests of one connection that wait. */
interface Queue {
  waiting: number;
  /** Response to the last of them. */
  last: ServerResponse;
  /** Whether a request was dropped: those behind it are too, or responses would not match requests. */
  isClosed: boolean;
}

/**
 * Handles pipelined requests one after the other, since one may depend on the other (RFC 9112 9.3.2), and bounds how
 * many wait. A client that sends more gets the responses to those that were taken, then its connection ends.
 */
export class Pipelining {
  readonly #queues = new WeakMap<Duplex, Queue>();

  /** Handles a request once the responses before its own are written. */
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
    // `dropRequests` enforces the limit. This is the fallback if Node's parser changes.
    if (queue.waiting > MAX_WAITING) socket.destroy();
    res.once('socket', () => {
      queue.waiting -= 1;
      handle(req, res);
    });
  }

  /** The last response that a connection is owed. */
  lastResponse(socket: Duplex): ServerResponse | undefined {
    const queue = this.#queues.get(socket);
    return queue !== undefined && queue.waiting > 0 ? queue.last : currentResponse(socket);
  }

  /** Most connections never have a queue. */
  #open(socket: Duplex, last: ServerResponse): Queue {
    const queue: Queue = { waiting: 0, last, isClosed: false };
    this.#queues.set(socket, queue);
    dropRequests(socket, () => {
      if (queue.waiting >= MAX_WAITING && !queue.isClosed) {
        queue.isClosed = true;
        // After this read: parts of it are still being parsed.
        process.nextTick(endAfterResponse, queue.last, socket);
      }
      return queue.isClosed;
    });
    return queue;
  }
}

/** Runs `respond` once no earlier request is owed a response on the connection. */
export function afterResponses(socket: Duplex, respond: () => void): void {
  const owed = currentResponse(socket);
  if (owed === undefined) {
    respond();
    return;
  }
  owed.once('close', () => {
    setImmediate(() => {
      if (!socket.destroyed) afterResponses(socket, respond);
    });
  });
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/*
 * Everything that reads or changes private fields of node:http. `test/server/node-internals.test.ts` fails on a version
 * of Node where one of these fields is missing or works differently.
 */

/** What node:http keeps on a connection of a server. */
interface HttpConnection {
  /** The response that may write to the connection; null or absent between responses. */
  readonly _httpMessage?: ServerResponse | null;
  /** Null once the connection is closed, or was handed over by `connect` or `upgrade`. */
  readonly parser?: Parser | null;
  /** The server that accepted the connection. */
  readonly server?: { readonly maxHeadersCount?: number | null };
}

interface Parser {
  /** The last request whose head was read. Its body may be over. Where it is null, body and end are dropped. */
  incoming?: IncomingMessage | null;
  /** Called with each request head. 0: the parser goes on with the body. */
  onIncoming?: ((req: IncomingMessage, shouldKeepAlive: boolean) => number) | null;
}

/** The response that is being written to a connection, or is next. Undefined between responses. */
export function currentResponse(connection: Duplex): ServerResponse | undefined {
  return (connection as HttpConnection)._httpMessage ?? undefined;
}

/** The request on a connection whose body has not arrived completely. */
export function unfinishedRequest(connection: Duplex): IncomingMessage | undefined {
  const incoming = (connection as HttpConnection).parser?.incoming ?? undefined;
  return incoming?.complete === false ? incoming : undefined;
}

/**
 * Drops the requests of a connection that `isRefused` says so of, also those in bytes that were read already.
 * `socket.pause()` cannot do this: node:http parses everything that was read, and resumes by itself.
 */
export function dropRequests(connection: Duplex, isRefused: () => boolean): void {
  const { parser } = connection as HttpConnection;
  const take = parser?.onIncoming ?? undefined;
  if (parser === null || parser === undefined || take === undefined) return;
  parser.onIncoming = (req, shouldKeepAlive) => {
    if (!isRefused()) return take(req, shouldKeepAlive);
    parser.incoming = null;
    return 0;
  };
}

/**
 * Whether Node may have dropped header lines of a request, because the server it came to has a `maxHeadersCount`. Node
 * drops the lines above that number without a word. Its default of 1000 is above our own limit.
 */
export function mayMissHeaders({ socket, rawHeaders }: IncomingMessage): boolean {
  const count = (socket as HttpConnection).server?.maxHeadersCount ?? 0;
  return count > 0 && rawHeaders.length >= 2 * count;
}

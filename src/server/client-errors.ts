import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { networkCode, type Outcome, ProxyError } from '../errors.ts';
import { endSocket } from '../proxy/linger.ts';
import { rawProblem } from '../proxy/problem.ts';
import { requestIdOf } from '../proxy/request-id.ts';

/** A client's connection, with what node:http keeps on it and its own handlers use too. */
export type HttpSocket = Duplex & {
  /** The answer whose turn it is; null or absent between answers. */
  readonly _httpMessage?: ServerResponse | null;
  /** `incoming`: the last request whose head was read; its body may be over. */
  readonly parser?: { readonly incoming?: IncomingMessage | null } | null;
};

/** Runs `answer` once no answer to an earlier request is owed on the connection: answers never overtake each other. */
export function inTurn(socket: HttpSocket, answer: () => void): void {
  const owed = socket._httpMessage;
  if (owed === undefined || owed === null) {
    answer();
    return;
  }
  owed.once('close', () => {
    setImmediate(() => {
      if (!socket.destroyed) inTurn(socket, answer);
    });
  });
}

/** What node's parser refuses (RFC 9112): answered, unless another answer is owed or was given to the same request. */
export function onClientError(error: Error, socket: HttpSocket): void {
  const code = networkCode(error);
  const answering = socket._httpMessage ?? undefined;
  const incoming = socket.parser?.incoming ?? undefined;
  const inBodyOf = incoming?.complete === false ? incoming : undefined;
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
  } else if (inBodyOf === undefined && answering !== undefined) {
    // Behind a request that is still being answered: that answer is the connection's last.
    answering.shouldKeepAlive = false;
    answering.once('close', () => socket.destroy());
  } else if (inBodyOf === undefined) {
    endSocket(socket, rawProblem(clientProblem(code, 'not_sent'), requestIdOf([])));
  } else if (answering?.req === inBodyOf && !answering.headersSent) {
    // A body that breaks may have been on its way to the provider already.
    endSocket(socket, rawProblem(clientProblem(code, 'unknown'), requestIdOf([])));
  } else {
    socket.destroy();
  }
}

function clientProblem(code: string, outcome: Outcome): ProxyError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ProxyError('header_too_large', 'The header block is larger than 16 KiB.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ProxyError('request_timeout', 'The request head did not arrive in time.');
    default:
      return new ProxyError('bad_request', `The request is no valid HTTP/1.1 (${code}).`, { outcome });
  }
}

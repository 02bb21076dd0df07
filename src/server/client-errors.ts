import type { Duplex } from 'node:stream';
import { networkCode, type Outcome, ProxyError } from '../errors.ts';
import { BodyReader } from '../proxy/body-reader.ts';
import { endAfterResponse, endSocket } from '../proxy/linger.ts';
import { rawProblem } from '../proxy/problem.ts';
import { requestIdOf } from '../proxy/request-id.ts';
import { currentResponse, unfinishedRequest } from '../node-internals.ts';
import type { Pipelining } from './pipelining.ts';

/** What node's parser refuses (RFC 9112): answered, unless another answer is owed or was given to the same request. */
export function onClientError(error: Error, socket: Duplex, pipelining: Pipelining): void {
  const code = networkCode(error);
  const answering = currentResponse(socket);
  const inBodyOf = unfinishedRequest(socket);
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
  } else if (inBodyOf === undefined && answering !== undefined) {
    // Requests that arrived before still get their responses.
    endAfterResponse(pipelining.lastResponse(socket) ?? answering, socket);
  } else if (inBodyOf === undefined) {
    endSocket(socket, rawProblem(clientProblem(code, 'not_sent'), requestIdOf([])));
  } else if (answering !== undefined && answering.req !== inBodyOf) {
    // The request that broke waits behind another one, which gets its response.
    endAfterResponse(answering, socket);
  } else if (answering !== undefined && !answering.headersSent) {
    const reader = BodyReader.ifAny(inBodyOf);
    if (reader === undefined) {
      endSocket(socket, rawProblem(clientProblem(code, 'unknown'), requestIdOf([])));
      return;
    }
    endAfterResponse(answering, socket);
    // Whoever reads it knows whether a part of it is with the provider already.
    reader.breakOff(clientProblem(code, 'not_sent'));
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

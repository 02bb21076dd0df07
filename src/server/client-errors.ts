import type { Duplex } from 'node:stream';
import { networkCode, type Outcome, ProxyError } from '../errors.ts';
import { BodyReader } from '../http/body-reader.ts';
import { endAfterResponse, endSocket } from '../http/linger.ts';
import { currentResponse, socketBelowFailedTls, unfinishedRequest } from '../http/node-internals.ts';
import { rawProblem } from '../http/problem.ts';
import type { Log } from '../logger.ts';
import { requestIdOf } from '../proxy/gateway.ts';
import type { Pipelining } from './pipelining.ts';

/** An error of Node's HTTP parser or of a TLS handshake. */
interface ClientError extends Error {
  /** What the HTTP parser expected, in fixed words that quote nothing of the client. */
  readonly reason?: unknown;
  /** The bytes that the HTTP parser was reading. */
  readonly rawPacket?: unknown;
}

/** What a client speaks instead of HTTP/1.1 over plain TCP or, on a listener with `tls`, over TLS. */
type OtherProtocol = 'http2' | 'tls' | 'plain_http' | 'proxy_protocol';

const OTHER_PROTOCOLS: Readonly<Record<OtherProtocol, string>> = {
  http2: 'The client speaks only HTTP/2. Wakala speaks HTTP/1.1: switch the client to HTTP/1.1.',
  tls: 'The client speaks TLS, but this port speaks plain HTTP. Use an `http://` URL, or set `listen.tls`.',
  plain_http: 'The client speaks plain HTTP, but this port speaks TLS. Use an `https://` URL.',
  proxy_protocol:
    'The load balancer in front sends the PROXY protocol, which Wakala does not speak. Turn it off there.',
};

/**
 * Handles an error of Node's parser (RFC 9112). The client gets a problem response, unless an earlier request still
 * waits for its response, or the response to the broken request has begun.
 */
export function onClientError(error: ClientError, socket: Duplex, pipelining: Pipelining, log: Log | undefined): void {
  const code = networkCode(error);
  const response = currentResponse(socket);
  const brokenRequest = unfinishedRequest(socket);
  const other = response === undefined && brokenRequest === undefined ? otherProtocol(error, code) : undefined;
  if (other !== undefined) {
    const problem = new ProxyError('bad_request', OTHER_PROTOCOLS[other]);
    log?.info('protocol_mismatch', { protocol: other, error: problem.message });
    const readable = other === 'plain_http' ? socketBelowFailedTls(socket) : socket;
    if (readable.writable) endSocket(readable, rawProblem(problem, requestIdOf([])));
    else socket.destroy();
  } else if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
  } else if (brokenRequest === undefined && response !== undefined) {
    // Earlier requests still get their responses.
    endAfterResponse(pipelining.lastResponse(socket) ?? response, socket);
  } else if (brokenRequest === undefined) {
    endSocket(socket, rawProblem(clientProblem(error, code, 'not_sent'), requestIdOf([])));
  } else if (response !== undefined && response.req !== brokenRequest) {
    // The broken request waits behind another one, which gets its response.
    endAfterResponse(response, socket);
  } else if (response !== undefined && !response.headersSent) {
    const reader = BodyReader.find(brokenRequest);
    if (reader === undefined) {
      endSocket(socket, rawProblem(clientProblem(error, code, 'unknown'), requestIdOf([])));
      return;
    }
    endAfterResponse(response, socket);
    // The reader of the body knows whether a part of it has reached the provider.
    reader.fail(clientProblem(error, code, 'not_sent'));
  } else {
    socket.destroy();
  }
}

function otherProtocol({ rawPacket }: ClientError, code: string): OtherProtocol | undefined {
  if (code === 'ERR_SSL_HTTP_REQUEST') return 'plain_http';
  if (code === 'HPE_PAUSED_H2_UPGRADE' || code === 'ERR_SSL_NO_APPLICATION_PROTOCOL') return 'http2';
  if (code !== 'HPE_INVALID_METHOD' || !Buffer.isBuffer(rawPacket)) return undefined;
  const start = rawPacket.toString('latin1', 0, 12);
  // A TLS record with a handshake message (RFC 8446 5.1).
  if (start.startsWith('\x16\x03')) return 'tls';
  // https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt, versions 1 and 2.
  const isProxyProtocol = start.startsWith('PROXY ') || start === '\r\n\r\n\0\r\nQUIT\n';
  return isProxyProtocol ? 'proxy_protocol' : undefined;
}

function clientProblem({ reason }: ClientError, code: string, outcome: Outcome): ProxyError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ProxyError('header_too_large', 'The header block is larger than 16 KiB.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ProxyError('request_timeout', 'The request head did not arrive in time.');
    case 'HPE_INVALID_URL':
      return new ProxyError(
        'bad_request',
        'The request target has a character that must be percent-encoded: only printable ASCII is valid there.',
        { outcome },
      );
    default: {
      const fault = typeof reason === 'string' ? `${reason}, ${code}` : code;
      return new ProxyError('bad_request', `The request is not valid HTTP/1.1 (${fault}).`, { outcome });
    }
  }
}

import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { ByteBuffer } from '../http/byte-buffer.ts';
import { egressProxyFor, isFromProxy } from '../http/client/egress.ts';
import { egressRefused } from '../http/client/failures.ts';
import { openSocket } from '../http/client/open-socket.ts';
import { originOf } from '../http/client/origin.ts';
import { ContentError, decodedText } from '../http/content-decoding.ts';
import { http } from '../http/node-internals.ts';
import type { TokenTransport } from './exchange.ts';
import type { TokenRequest } from './token-request.ts';
import type { TokenResponse } from './token-response.ts';

/** A longer response body is an error, before and after decoding. */
const MAX_BODY_BYTES = 64 * 1024;

/** A response with a longer header block is an error. */
const MAX_HEADER_BYTES = 16 * 1024;

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Sends token requests over the network: HTTP/1.1, one connection for each request, always with a verified certificate.
 * It does not follow redirects.
 */
export function networkTransport(clock: Clock): { transport: TokenTransport; close(): void } {
  const inFlight = new Set<AbortController>();
  return {
    transport: async (request, signal) => {
      signal.throwIfAborted();
      const abort = new AbortController();
      const onAbort = () => abort.abort(signal.reason);
      signal.addEventListener('abort', onAbort);
      inFlight.add(abort);
      try {
        return await send(request, abort.signal, clock);
      } finally {
        signal.removeEventListener('abort', onAbort);
        inFlight.delete(abort);
      }
    },
    close: () => {
      for (const abort of inFlight) abort.abort();
    },
  };
}

async function send(request: TokenRequest, signal: AbortSignal, clock: Clock): Promise<TokenResponse> {
  const { method, headers, body, connection = {} } = request;
  const url = new URL(request.url);
  const origin = originOf(request.url);
  const { tokenHostHeader = origin.hostHeader } = connection;
  // A request in absolute form cannot have another `Host` (RFC 9112 3.2.2), so it needs a tunnel.
  const alwaysTunnels = tokenHostHeader !== origin.hostHeader;
  const proxy = origin.isTls || alwaysTunnels ? undefined : egressProxyFor(origin, connection.egress);
  const limits = { timeoutMs: CONNECT_TIMEOUT_MS, clock, signal };
  const socket = await openSocket(origin, { ...connection, alwaysTunnels }, limits);
  const target = url.pathname + url.search;
  const sent = requestOn(socket, {
    method,
    // RFC 9112 3.2.2: absolute form for a proxy.
    path: proxy === undefined ? target : `http://${origin.hostHeader}${target}`,
    headers: {
      ...headers,
      host: tokenHostHeader,
      ...(body !== undefined && { 'content-length': body.length }),
      ...(proxy?.authorization !== undefined && { 'proxy-authorization': proxy.authorization.reveal() }),
    },
    signal,
    insecureHTTPParser: false,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
  // Without a limit: Node silently drops headers above the limit, and `Retry-After` may be one of them.
  sent.maxHeadersCount = 0;
  const response = await responseTo(sent, body);
  const { statusCode = 0 } = response;
  if (proxy !== undefined && isFromProxy(statusCode, response.rawHeaders)) {
    sent.destroy();
    throw egressRefused(proxy, origin.hostHeader, 407);
  }
  return { status: statusCode, headers: firstValues(response.headers), ...(await readBody(response)) };
}

/** Closes the socket if Node refuses to make the request, for example because of a character in a header. */
function requestOn(socket: Socket, options: RequestOptions): ClientRequest {
  try {
    return http.request({ ...options, createConnection: () => socket });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Resolves when the head of the response is there. */
function responseTo(sent: ClientRequest, body: Uint8Array | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once('response', resolve);
    sent.once('upgrade', (_response, socket) => {
      socket.destroy();
      reject(Object.assign(new Error('switched protocols'), { code: 'UNEXPECTED_UPGRADE' }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function readBody(response: IncomingMessage): Promise<Pick<TokenResponse, 'body' | 'bodyProblem'>> {
  const body = new ByteBuffer();
  for await (const chunk of response as AsyncIterable<Buffer>) {
    body.append(chunk);
    if (body.length > MAX_BODY_BYTES) {
      throw Object.assign(new Error('response too long'), { code: 'RESPONSE_TOO_LONG' });
    }
  }
  try {
    return { body: decodedText(body.bytes, response.rawHeaders, MAX_BODY_BYTES) };
  } catch (error) {
    if (error instanceof ContentError) return { body: '', bodyProblem: error.problem };
    throw error;
  }
}

function firstValues(headers: IncomingMessage['headers']): TokenResponse['headers'] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  );
}

import type { Agent, IncomingMessage, RequestOptions } from 'node:http';
import { Agent as TlsAgent, request as sendTls } from 'node:https';
import type { Clock } from '../clock.ts';
import { ByteBuffer } from '../http/byte-buffer.ts';
import { ContentError, decodeContent, textOf } from '../http/content-decoding.ts';
import { guardedLookup } from '../http/ip-address.ts';
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
  // Not the global agents: those obey environment variables.
  const plain = new http.Agent({ keepAlive: false, lookup: guardedLookup });
  const tls = new TlsAgent({ keepAlive: false, lookup: guardedLookup, rejectUnauthorized: true });
  return {
    transport: async (request, signal) => {
      const response = await send(request, signal, { plain, tls, clock });
      const { statusCode = 0, headers } = response;
      return { status: statusCode, headers: firstValues(headers), ...(await readBody(response)) };
    },
    close: () => {
      plain.destroy();
      tls.destroy();
    },
  };
}

interface TransportContext {
  readonly plain: Agent;
  readonly tls: TlsAgent;
  readonly clock: Clock;
}

/** Resolves when the head of the response is there. */
function send(
  request: TokenRequest,
  signal: AbortSignal,
  { plain, tls, clock }: TransportContext,
): Promise<IncomingMessage> {
  const { method, url, headers, body, certificate } = request;
  return new Promise((resolve, reject) => {
    const framing = body === undefined ? {} : { 'content-length': body.length };
    const options: RequestOptions = {
      method,
      headers: { ...headers, ...framing },
      signal,
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEADER_BYTES,
    };
    const sent = url.startsWith('https:')
      ? sendTls(url, { ...options, ...certificate, agent: tls })
      : http.request(url, { ...options, agent: plain });
    // Without a limit: Node silently drops headers above the limit, and `Retry-After` may be one of them.
    sent.maxHeadersCount = 0;
    const cancelTimeout = clock.after(CONNECT_TIMEOUT_MS, () => {
      sent.destroy(Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' }));
    });
    sent.once('socket', (socket) => socket.once(url.startsWith('https:') ? 'secureConnect' : 'connect', cancelTimeout));
    sent.once('close', cancelTimeout);
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
  const { 'content-encoding': codings, 'content-type': contentType } = response.headers;
  try {
    return { body: textOf(decodeContent(body.bytes, codings, MAX_BODY_BYTES), contentType) };
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

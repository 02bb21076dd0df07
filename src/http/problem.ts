import type { ServerResponse } from 'node:http';
import { hintFor } from '../diagnosis/diagnosis.ts';
import { type ErrorCode, ProxyError } from '../errors.ts';
import type { HeaderList } from './header-list.ts';
import { endResponse } from './linger.ts';
import { http } from './node-internals.ts';

/** Error types of the Proxy-Status registry (RFC 9209 2.3). */
const PROXY_STATUS: Partial<Record<ErrorCode, string>> = {
  upstream_unreachable: 'destination_unavailable',
  upstream_reset: 'connection_terminated',
  upstream_invalid: 'http_protocol_error',
  upstream_timeout: 'http_response_timeout',
  overloaded: 'connection_limit_reached',
  token_denied: 'proxy_configuration_error',
  token_unavailable: 'destination_unavailable',
  internal_error: 'proxy_internal_error',
  loop_detected: 'proxy_loop_detected',
};

/** A response of Wakala itself: problem details (RFC 9457). */
interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function problemOf(error: ProxyError, requestId: string): Problem {
  const body = JSON.stringify({
    type: `urn:wakala:error:${error.code}`,
    title: error.code.replaceAll('_', ' '),
    status: error.status,
    detail: problemDetail(error),
    code: error.code,
    outcome: error.outcome,
    request_id: requestId,
  });
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    'x-request-id': requestId,
    'proxy-status': `wakala; error=${PROXY_STATUS[error.code] ?? 'http_request_denied'}`,
  };
  if (error.status === 401) headers['www-authenticate'] = 'Bearer realm="wakala"';
  if (error.status === 405) headers['allow'] = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';
  if (error.status === 503) headers['retry-after'] = String(error.retryAfterS ?? 1);
  return { status: error.status, headers, body };
}

/** What happened, and what to do. */
export function problemDetail(error: ProxyError): string {
  const hint = hintFor(error);
  return hint === undefined ? error.message : `${error.message} ${hint}`;
}

/** Sends a problem response. If the head of another response was sent, destroys the connection instead. */
export function sendProblem(
  res: ServerResponse,
  error: ProxyError,
  requestId: string,
  extra: Readonly<HeaderList> = [],
): void {
  if (res.destroyed || res.writableEnded) return;
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const problem = problemOf(error, requestId);
  // The reason phrase is explicit: after a `writeHead` that threw, node:http would use the phrase that it refused.
  const headers = [...Object.entries(problem.headers).flat(), ...extra];
  res.writeHead(problem.status, http.STATUS_CODES[problem.status] ?? '', headers);
  if (error.status === 400) {
    // After a framing error, nothing more is read from the connection.
    res.end(problem.body);
    return;
  }
  endResponse(res, problem.body);
}

/** Any other error is a fault of Wakala. */
export function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  return new ProxyError('internal_error', 'Wakala failed to handle this request. The log has the error.', {
    reason: { kind: 'internal' },
    cause: error,
  });
}

/** A problem response as text, for a socket without a response object. */
export function rawProblem(error: ProxyError, requestId: string): string {
  const { status, headers, body } = problemOf(error, requestId);
  const lines = Object.entries({ ...headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`;
}

import { CLIENT_CERTIFICATE_ALERT } from '../../diagnosis/network.ts';
import { EgressError, MAY_HAVE_ACTED, networkCode, networkReason, ProxyError } from '../../errors.ts';
import { formatHostPort } from '../host-port.ts';
import type { EgressProxy } from './connect-options.ts';

/** No connection could be opened. `server` is its host, with the port if that is not the usual one. */
export function unreachable(server: string, cause: unknown): ProxyError {
  const why = cause instanceof EgressError ? `: ${cause.message}` : ` (${networkCode(cause)})`;
  const detail = `Could not connect to ${server}${why}. The request was not sent.`;
  return new ProxyError('upstream_unreachable', detail, {
    reason: networkReason(cause, server),
    cause,
    outcome: 'not_sent',
  });
}

/** @param egress what failed, if the time was spent on an egress proxy */
export function connectTimeout(server: string, timeoutMs: number, egress?: EgressError): ProxyError {
  const why = egress === undefined ? '' : `: ${egress.message}`;
  const detail = `Could not connect to ${server} within ${timeoutMs} ms${why}. The request was not sent.`;
  const reason = egress?.reason ?? ({ kind: 'timeout', phase: 'connect', timeoutMs, host: server } as const);
  return new ProxyError('upstream_timeout', detail, { reason, outcome: 'not_sent' });
}

/** Whether the server closed the connection because of the client's certificate, or because there was none. */
function isCertificateAlert(cause: unknown): boolean {
  return CLIENT_CERTIFICATE_ALERT.test(networkCode(cause));
}

/**
 * The outcome is `unknown` also for an alert about the client's certificate: in TLS 1.3 the request is on its way when the
 * alert arrives, and only the server knows whether it read it.
 * @param cause undefined if the server closed the connection in an orderly way
 */
export function brokenConnection(server: string, cause: unknown): ProxyError {
  const how = cause === undefined ? 'the server closed it' : networkCode(cause);
  const detail = `The connection to ${server} broke before the response was complete (${how}). ${MAY_HAVE_ACTED}`;
  return new ProxyError('upstream_reset', detail, {
    reason: isCertificateAlert(cause) ? networkReason(cause, server) : { kind: 'connection_lost', host: server },
    cause,
    outcome: 'unknown',
  });
}

export function invalidResponse(server: string, why: string, cause?: unknown): ProxyError {
  const detail = `The response from ${server} is not valid HTTP: ${why}. ${MAY_HAVE_ACTED}`;
  return new ProxyError('upstream_invalid', detail, {
    reason: { kind: 'malformed_response', rule: why, host: server },
    cause,
    outcome: 'unknown',
  });
}

/** @param hasStarted whether a part of the request was sent */
export function poolClosed(server: string, hasStarted: boolean): ProxyError {
  if (!hasStarted) {
    const detail = `Wakala is shutting down its connections to ${server}. The request was not sent.`;
    return new ProxyError('upstream_unreachable', detail, {
      reason: { kind: 'shutdown', host: server },
      outcome: 'not_sent',
    });
  }
  const detail = `Wakala shut down its connection to ${server} before the response was complete. ${MAY_HAVE_ACTED}`;
  return new ProxyError('upstream_reset', detail, {
    reason: { kind: 'connection_lost', host: server },
    outcome: 'unknown',
  });
}

/** The stream of a request body failed after a part of the request was sent. */
export function brokenBody(cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  const detail = 'The request body ended early. A part of the request was sent.';
  return new ProxyError('bad_request', detail, { cause, outcome: 'unknown' });
}

export function wrongBodyLength(): ProxyError {
  const detail = 'The request body is not as long as its Content-Length. A part of the request was sent.';
  return new ProxyError('bad_request', detail, { outcome: 'unknown' });
}

/** The request would not be exactly one HTTP request. */
export function invalidRequest(why: string): ProxyError {
  const detail = `The request cannot be sent: ${why}. Nothing was sent.`;
  return new ProxyError('internal_error', detail, { outcome: 'not_sent' });
}

/** A response handler threw. */
export function handlerFailed(cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  const detail = 'Wakala failed while it handled the response. The request may have been sent.';
  return new ProxyError('internal_error', detail, { reason: { kind: 'internal' }, cause, outcome: 'unknown' });
}

/** The egress proxy responded with an error status. `server` is the host and port that it was to connect to. */
export function egressRefused(proxy: EgressProxy, server: string, status: number): EgressError {
  const reason = { kind: 'egress_refused', status, ...egressFields(proxy, server) } as const;
  return new EgressError(`${nameOf(proxy)} responded with HTTP ${status}`, reason);
}

/** No connection to the egress proxy could be opened, or it broke before the tunnel was open. */
export function egressFailed(proxy: EgressProxy, server: string, cause: unknown): EgressError {
  const code = networkCode(cause);
  const reason = { kind: 'egress_failed', code, ...egressFields(proxy, server) } as const;
  return new EgressError(`${nameOf(proxy)} cannot be reached (${code})`, reason, cause);
}

/** @param why what is wrong with the response of the egress proxy */
export function egressInvalid(proxy: EgressProxy, server: string, why: string): EgressError {
  const reason = { kind: 'egress_failed', code: 'INVALID_RESPONSE', ...egressFields(proxy, server) } as const;
  return new EgressError(`the response of ${nameOf(proxy)} is not valid HTTP: ${why}`, reason);
}

function nameOf(proxy: EgressProxy): string {
  return `the egress proxy ${formatHostPort(proxy)}`;
}

function egressFields(proxy: EgressProxy, host: string) {
  return { proxy: formatHostPort(proxy), setting: proxy.source, host };
}

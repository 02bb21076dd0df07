import { ProxyError } from '../errors.ts';
import {
  cameThroughWakala,
  compactHeaderName,
  hasHeader,
  type HeaderList,
  isAuthorizationVariant,
  connectionOptions,
  normalizeHeaderName,
  isForwardedHeader,
  isReturnedHeader,
  VIA,
} from '../http/header-list.ts';
import type { Redaction } from '../redaction.ts';
import type { RequestTrace } from '../telemetry/otlp.ts';

/** What a route puts on its API calls. Names as they go out. */
export interface RouteHeaders {
  /** Replace the client's. */
  readonly set: readonly (readonly [name: string, value: string])[];
  /** Yield to the client's. */
  readonly defaults: readonly (readonly [name: string, value: string])[];
  /** Names of `set` as `comparable` makes them: the client's own are dropped. */
  readonly replaced: ReadonlySet<string>;
  /** Name of the header that carries the token; `authorization` unless given. */
  readonly tokenHeader?: string;
  /** Names, as `folded` makes them: the client's own are dropped. */
  readonly blocked?: ReadonlySet<string>;
}

/**
 * The headers of an API call: the client's in their order, less what is hop-by-hop or not theirs to say, then the
 * route's, then `Via`, then the token and what came with it. What `Connection` names goes before the token comes, so no
 * client can strip it.
 * @param authorization value of the header that carries the token
 * @throws ProxyError `bad_request` or `loop_detected`
 */
export function requestHeaders(
  raw: readonly string[],
  route: RouteHeaders,
  authorization: string,
  withToken: Readonly<HeaderList> = [],
): HeaderList {
  const out: HeaderList = [];
  const nominated = connectionOptions(raw);
  let hops: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const key = normalizeHeaderName(name);
    if (key === 'via') {
      refuseLoop(value);
      (hops ??= []).push(value);
    }
    if (!isForwardedHeader(key)) continue;
    if (route.replaced.has(key) || isAuthorizationVariant(key) || nominated?.has(key) === true) continue;
    if (route.blocked?.has(compactHeaderName(key)) === true) continue;
    out.push(name, value);
  }
  for (const [name, value] of route.defaults) {
    if (!hasHeader(out, normalizeHeaderName(name))) out.push(name, value);
  }
  for (const [name, value] of route.set) out.push(name, value);
  const via = hops === undefined ? VIA : [...hops, VIA].join(', ');
  out.push('via', via, route.tokenHeader ?? 'authorization', authorization);
  if (withToken.length > 0) out.push(...withToken);
  return out;
}

/**
 * Begins a traced attempt: its `traceparent` takes the place of the client's. A `tracestate` goes on in the trace that
 * it came with, and in no other (W3C Trace Context 3.3).
 */
export function tracedHeaders(headers: Readonly<HeaderList>, trace: RequestTrace): HeaderList {
  const out: HeaderList = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const key = name.toLowerCase();
    if (key !== 'traceparent' && (key !== 'tracestate' || trace.continued)) out.push(name, headers[i + 1] ?? '');
  }
  out.push('traceparent', trace.attempt());
  return out;
}

/**
 * The headers of a response, in their order, less what is hop-by-hop and any that holds a secret. The provider's own
 * `x-request-id` stays readable as `x-upstream-request-id`.
 * @throws ProxyError `upstream_invalid`
 */
export function responseHeaders(raw: readonly string[], status: number, redaction: Redaction): HeaderList {
  const out: HeaderList = [];
  const nominated = connectionOptions(raw);
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const key = name.toLowerCase();
    if (key === 'transfer-encoding') refuseOtherCodings(value);
    if (!isReturnedHeader(key) || nominated?.has(normalizeHeaderName(key)) === true) continue;
    // RFC 9110 8.6: no Content-Length on a 1xx or 204.
    if ((status === 204 || status < 200) && key === 'content-length') continue;
    out.push(key === 'x-request-id' ? 'x-upstream-request-id' : name, value);
  }
  return redaction.cleanHeaders(out);
}

/** A coding that nobody undoes would pass for the body itself (RFC 9112 6.1). */
function refuseOtherCodings(value: string): void {
  if (value.trim().toLowerCase() === 'chunked') return;
  throw new ProxyError(
    'upstream_invalid',
    "The provider's answer has a Transfer-Encoding other than chunked. It may have acted on the request.",
    { reason: { kind: 'malformed_response', rule: 'it has a Transfer-Encoding other than chunked', host: undefined } },
  );
}

/** @throws ProxyError `loop_detected` if one of the hops of a `Via` line is wakala */
function refuseLoop(via: string): void {
  if (cameThroughWakala(via)) {
    throw new ProxyError(
      'loop_detected',
      'This request has been through wakala already: an upstream in the configuration leads back to this proxy.',
      { reason: { kind: 'loop' } },
    );
  }
}

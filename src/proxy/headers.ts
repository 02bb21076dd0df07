import type { IncomingMessage } from 'node:http';
import { MAY_HAVE_ACTED, ProxyError } from '../errors.ts';
import {
  compactHeaderName,
  connectionOptions,
  hasHeader,
  type HeaderList,
  isAuthorizationVariant,
  isForwardedHeader,
  isReturnedHeader,
  normalizeHeaderName,
} from '../http/header-list.ts';
import type { Via } from '../http/via.ts';
import type { SecretSearch } from '../redaction.ts';
import type { RequestTrace } from '../telemetry/otlp.ts';
import { hasLocations, type Locations } from './locations.ts';

/** The headers that a route adds to API calls, and those of the client that it drops. */
export interface RouteHeaders {
  /** Replace the client's headers of the same name. */
  readonly set: readonly (readonly [name: string, value: string])[];
  /** Sent unless the client sends a header of the same name. */
  readonly defaults: readonly (readonly [name: string, value: string])[];
  /** Normalized names of `set`. */
  readonly replaced: ReadonlySet<string>;
  /** What is appended to `Via`. */
  readonly via: Via;
  /** Name of the header that carries the token. Default: `authorization`. */
  readonly tokenHeader?: string;
  /** Compact names of further headers of the client to drop (`compactHeaderName`). */
  readonly blocked?: ReadonlySet<string>;
}

/**
 * The headers of an API call: the client's in their order, without hop-by-hop and replaced ones, then the route's, then
 * `Via`, the token and the headers issued with it. The client's `Connection` options apply only to its own headers, so
 * that a client cannot remove the token.
 * @param authorization value of the header that carries the token. Undefined if only the query carries it
 * @throws ProxyError `loop_detected`
 */
export function requestHeaders(
  raw: readonly string[],
  route: RouteHeaders,
  authorization: string | undefined,
  tokenHeaders: Readonly<HeaderList> = [],
): HeaderList {
  const out: HeaderList = [];
  const hopByHop = connectionOptions(raw);
  let viaValues: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const key = normalizeHeaderName(name);
    if (key === 'via') (viaValues ??= []).push(value);
    if (!isForwardedHeader(key) || hopByHop?.has(key) === true) continue;
    if (route.replaced.has(key) || isAuthorizationVariant(key)) continue;
    if (route.blocked?.has(compactHeaderName(key)) === true) continue;
    out.push(name, value);
  }
  for (const [name, value] of route.defaults) {
    if (!hasHeader(out, normalizeHeaderName(name))) out.push(name, value);
  }
  for (const [name, value] of route.set) out.push(name, value);
  out.push('via', viaOf(viaValues, route.via));
  if (authorization !== undefined) out.push(route.tokenHeader ?? 'authorization', authorization);
  if (tokenHeaders.length > 0) out.push(...tokenHeaders);
  return out;
}

/**
 * Starts the span of a traced attempt and replaces the client's `traceparent`. A `tracestate` is forwarded only if the
 * client's trace is continued (W3C Trace Context 3.3).
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

interface References {
  readonly locations: Locations;
  /** The request of the client, which says by which address the client reaches the route. */
  readonly req: IncomingMessage;
}

/**
 * The headers of a response in their order, without hop-by-hop headers and those that contain a secret. The provider's
 * `x-request-id` is renamed to `x-upstream-request-id`. With `references`, those to the API lead to the route.
 * @throws ProxyError `upstream_invalid`
 */
export function responseHeaders(
  raw: readonly string[],
  status: number,
  redaction: SecretSearch,
  references?: References,
): HeaderList {
  const out: HeaderList = [];
  const hopByHop = connectionOptions(raw);
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const key = name.toLowerCase();
    if (key === 'transfer-encoding') refuseOtherCodings(value);
    if (!isReturnedHeader(key) || hopByHop?.has(normalizeHeaderName(key)) === true) continue;
    // RFC 9110 8.6: no Content-Length on a 1xx or 204.
    if ((status === 204 || status < 200) && key === 'content-length') continue;
    const isRewritten = references !== undefined && hasLocations(key);
    out.push(
      key === 'x-request-id' ? 'x-upstream-request-id' : name,
      isRewritten ? references.locations.rewrite(key, value, references.req) : value,
    );
  }
  return redaction.cleanHeaders(out);
}

/** Only `chunked` is decoded here. Any other coding would reach the client as part of the body (RFC 9112 6.1). */
function refuseOtherCodings(value: string): void {
  if (value.trim().toLowerCase() === 'chunked') return;
  throw new ProxyError(
    'upstream_invalid',
    `The response has a Transfer-Encoding other than chunked. ${MAY_HAVE_ACTED}`,
    { reason: { kind: 'malformed_response', rule: 'it has a Transfer-Encoding other than chunked', host: undefined } },
  );
}

/** @throws ProxyError `loop_detected` */
function viaOf(values: readonly string[] | undefined, via: Via): string {
  if (values === undefined) return via.entry;
  const received = values.join(', ');
  if (!via.isLoop(received)) return `${received}, ${via.entry}`;
  throw new ProxyError(
    'loop_detected',
    'The request has already passed through this Wakala, or through ten others: an `upstream` in the configuration leads back to where it came from.',
    { reason: { kind: 'loop' } },
  );
}

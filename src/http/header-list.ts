import { ProxyError } from '../errors.ts';
import type { Redaction } from '../redaction.ts';
import type { RequestTrace } from '../telemetry/tracing.ts';

/** What this proxy adds to the `Via` header of each request that it sends (RFC 9110 7.6.3). */
export const VIA = '1.1 wakala';

/** Whether a request with this `Via` header came through this proxy or another wakala. */
export function cameThroughWakala(via: string): boolean {
  return via.split(',').some((hop) => hop.trim().toLowerCase() === VIA);
}

/** A flat list of names and values by turns, as Node gives and takes them. */
export type HeaderList = string[];

/**
 * Headers by which a proxy tells a server behind it which request it got. These servers believe them:
 * - `x-original-url`, `x-rewrite-url`: Symfony (CVE-2018-14773), Laminas and Yii, behind IIS
 * - `script-name`, `path-info`: Gunicorn
 * - `x-script-name`: a middleware that many WSGI apps copied
 * - `x-original-uri`, `x-original-method`: Authelia and other authorization services, behind nginx
 */
const ORIGINAL_REQUEST = [
  'path-info',
  'script-name',
  'x-original-method',
  'x-original-uri',
  'x-original-url',
  'x-rewrite-url',
  'x-script-name',
];

/**
 * Headers that give a request another method, for these servers:
 * - `x-http-method-override`: Rack and Rails, Symfony and Laravel, ASP.NET Core, Jersey, Express, grpc-gateway
 * - `x-method-override`: IBM Maximo
 * - `x-http-method`: OData and SharePoint
 */
const METHOD_OVERRIDES = ['x-http-method', 'x-http-method-override', 'x-method-override'];

/** Hop-by-hop (RFC 9110 7.6.1), framing that is ours to say, and what is replaced. Names with `-` for `_`. */
const NOT_FORWARDED = new Set([
  ...ORIGINAL_REQUEST,
  'authorization',
  'connection',
  'content-length',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  // A program behind CGI gets it as the variable HTTP_PROXY (https://httpoxy.org).
  'proxy',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
]);

/** Headers that could turn a call which `allow` lets through into another one. Names as `folded` makes them. */
export const CALL_OVERRIDES: ReadonlySet<string> = new Set(
  [
    ...METHOD_OVERRIDES,
    ...ORIGINAL_REQUEST,
    'x-forwarded-method',
    'x-forwarded-path',
    'x-forwarded-prefix',
    'x-forwarded-uri',
  ].map(foldHeaderName),
);

/** Hop-by-hop on the way back. `content-length` stays: it is the provider's word on the body. */
const NOT_RETURNED = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'wakala-token',
]);

/** Headers that a `Connection` line may not take away: what is left would be another message. */
const NOT_NOMINABLE = new Set(['content-length', 'host', 'transfer-encoding']);

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
  readonly withheld?: ReadonlySet<string>;
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
  const nominated = nominatedBy(raw);
  let hops: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const key = normalizeHeaderName(name);
    if (key === 'via') {
      refuseLoop(value);
      (hops ??= []).push(value);
    }
    if (NOT_FORWARDED.has(key) || key.startsWith('proxy-') || key.startsWith('x-forwarded-')) continue;
    if (route.replaced.has(key) || isAuthorization(key) || nominated?.has(key) === true) continue;
    if (route.withheld?.has(foldHeaderName(key)) === true) continue;
    out.push(name, value);
  }
  for (const [name, value] of route.defaults) {
    if (!has(out, normalizeHeaderName(name))) out.push(name, value);
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
  const nominated = nominatedBy(raw);
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const key = name.toLowerCase();
    if (key === 'transfer-encoding') refuseOtherCodings(value);
    if (NOT_RETURNED.has(key) || nominated?.has(normalizeHeaderName(key)) === true) continue;
    // Which pages may read an answer is decided here (`allowed_origins`), for here is where they ask.
    if (key.startsWith('access-control-')) continue;
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
  );
}

/** By name, for those who take no list. Names in another case are the same. Has no prototype: any name may be in it. */
export function grouped(list: Readonly<HeaderList>): Record<string, string | string[]> {
  const names = new Map<string, string>();
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i < list.length; i += 2) {
    const given = list[i] ?? '';
    const value = list[i + 1] ?? '';
    const key = given.toLowerCase();
    const name = names.get(key) ?? given;
    names.set(key, name);
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

/** The value of the first line with this lower-case name. */
export function headerOf(list: readonly string[], lowerCaseName: string): string | undefined {
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) return list[i + 1];
  }
  return undefined;
}

/** How many lines have this lower-case name. */
export function countOf(list: readonly string[], lowerCaseName: string): number {
  let count = 0;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) count += 1;
  }
  return count;
}

function has(list: readonly string[], comparableName: string): boolean {
  for (let i = 0; i < list.length; i += 2) {
    if (normalizeHeaderName(list[i] ?? '') === comparableName) return true;
  }
  return false;
}

/** Lower case, with `-` for `_`: servers that make CGI-like names of headers see the two as one. */
export function normalizeHeaderName(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes('_') ? lower.replaceAll('_', '-') : lower;
}

/** A name without its separators, as some servers fold them away. */
export function foldHeaderName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '');
}

/** `authorization` with separators strewn in. */
function isAuthorization(key: string): boolean {
  return key.length > 13 && (key[0] === 'a' || key[0] === '-') && foldHeaderName(key) === 'authorization';
}

/** The names that `Connection` lines take out of the message (RFC 9110 7.6.1); undefined if none but the usual. */
function nominatedBy(list: readonly string[]): Set<string> | undefined {
  let names: Set<string> | undefined;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    for (const option of (list[i + 1] ?? '').toLowerCase().split(',')) {
      const nominated = option.trim();
      if (nominated === '' || nominated === 'keep-alive' || nominated === 'close') continue;
      (names ??= new Set()).add(normalizeHeaderName(nominated));
    }
  }
  return names;
}

/** @throws ProxyError `bad_request` if `Connection` would take away what frames the message */
export function refuseNominatedFraming(raw: readonly string[]): void {
  const nominated = nominatedBy(raw);
  if (nominated === undefined) return;
  for (const name of NOT_NOMINABLE) {
    if (nominated.has(name)) {
      throw new ProxyError('bad_request', `A Connection header may not name \`${name}\`. Nothing was sent.`);
    }
  }
}

/** @throws ProxyError `loop_detected` if one of the hops of a `Via` line is wakala */
function refuseLoop(via: string): void {
  if (cameThroughWakala(via)) {
    throw new ProxyError(
      'loop_detected',
      'This request has been through wakala already: an upstream in the configuration leads back to this proxy.',
    );
  }
}

import { ProxyError } from '../errors.ts';

/*
 * Raw header lists, how header names are compared, and every set of header names that this proxy treats in a special
 * way. To change which headers are forwarded, returned, configurable, shown or exposed, change the sets here.
 */

/** Names and values in turn, `[name, value, name, value, ...]`, as in `rawHeaders` of node:http. */
export type HeaderList = string[];

// Reading a list

/** The value of the first line with this lower-case name. */
export function headerValue(list: readonly string[], lowerCaseName: string): string | undefined {
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) return list[i + 1];
  }
  return undefined;
}

/** The values of all lines with this lower-case name, joined as RFC 9110 5.3 allows. */
export function combinedHeaderValue(list: readonly string[], lowerCaseName: string): string | undefined {
  const values = list.filter((_, i) => i % 2 === 1 && list[i - 1]?.toLowerCase() === lowerCaseName);
  return values.length === 0 ? undefined : values.join(', ');
}

/** The number of lines with this lower-case name. */
export function countHeaders(list: readonly string[], lowerCaseName: string): number {
  let count = 0;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) count += 1;
  }
  return count;
}

/** Whether a line has this name. @param normalizedName see `normalizeHeaderName` */
export function hasHeader(list: readonly string[], normalizedName: string): boolean {
  for (let i = 0; i < list.length; i += 2) {
    if (normalizeHeaderName(list[i] ?? '') === normalizedName) return true;
  }
  return false;
}

/**
 * The list as an object, for APIs that take no list. Lines whose names differ only in case become one array. The object
 * has no prototype, so that a header may be called `__proto__`.
 */
export function headersByName(list: Readonly<HeaderList>): Record<string, string | string[]> {
  const firstSpelling = new Map<string, string>();
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i < list.length; i += 2) {
    const spelling = list[i] ?? '';
    const value = list[i + 1] ?? '';
    const key = spelling.toLowerCase();
    const name = firstSpelling.get(key) ?? spelling;
    firstSpelling.set(key, name);
    const previous = headers[name];
    headers[name] = previous === undefined ? value : [previous, value].flat();
  }
  return headers;
}

// Comparing names

/**
 * Lower case, with `-` for `_`. Servers that turn headers into CGI variables (RFC 3875 4.1.18) cannot tell the two
 * apart.
 */
export function normalizeHeaderName(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes('_') ? lower.replaceAll('_', '-') : lower;
}

/** Lower case, without `-` and `_`: some servers ignore the separators. */
export function compactHeaderName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '');
}

/** Whether a normalized name is `authorization` with extra separators, such as `author-ization`. */
export function isAuthorizationVariant(normalizedName: string): boolean {
  if (normalizedName.length <= 13 || (normalizedName[0] !== 'a' && normalizedName[0] !== '-')) return false;
  return compactHeaderName(normalizedName) === 'authorization';
}

// Sets of names. All are in lower case.

/** Hop-by-hop headers (RFC 9110 7.6.1, RFC 9112 C.2.2). They are valid for one connection only. */
const HOP_BY_HOP_HEADERS = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Headers that delimit a message or name its target (RFC 9112 6, RFC 9110 7.2). */
const FRAMING_HEADERS = ['content-length', 'host', 'transfer-encoding'];

/** The HTTP client writes these itself, from the origin and the body of a request. */
export const CLIENT_SET_HEADERS: ReadonlySet<string> = new Set([...FRAMING_HEADERS, 'connection']);

/**
 * Headers in which a proxy tells the server behind it what the original request was. These servers trust them:
 * - `x-original-url`, `x-rewrite-url`: Symfony (CVE-2018-14773), Laminas and Yii, behind IIS
 * - `script-name`, `path-info`: Gunicorn
 * - `x-script-name`: a middleware copied into many WSGI apps
 * - `x-original-uri`, `x-original-method`: Authelia and other authorization services, behind nginx
 */
const ORIGINAL_REQUEST_HEADERS = [
  'path-info',
  'script-name',
  'x-original-method',
  'x-original-uri',
  'x-original-url',
  'x-rewrite-url',
  'x-script-name',
];

/**
 * Headers that replace the method of a request, on these servers:
 * - `x-http-method-override`: Rack and Rails, Symfony and Laravel, ASP.NET Core, Jersey, Express, grpc-gateway
 * - `x-method-override`: IBM Maximo
 * - `x-http-method`: OData and SharePoint
 */
const METHOD_OVERRIDE_HEADERS = ['x-http-method', 'x-http-method-override', 'x-method-override'];

/** Compact names of the headers that could turn a call on the `allow` list into another call. */
export const OVERRIDE_HEADERS: ReadonlySet<string> = new Set(
  [
    ...METHOD_OVERRIDE_HEADERS,
    ...ORIGINAL_REQUEST_HEADERS,
    'x-forwarded-method',
    'x-forwarded-path',
    'x-forwarded-prefix',
    'x-forwarded-uri',
  ].map(compactHeaderName),
);

/** Request headers that end at this proxy, besides those that `isForwardedHeader` excludes by prefix. Normalized names. */
const NOT_FORWARDED_HEADERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP_HEADERS,
  ...FRAMING_HEADERS,
  ...ORIGINAL_REQUEST_HEADERS,
  // Replaced by the token.
  'authorization',
  // Handled by this proxy (RFC 9110 10.1.1).
  'expect',
  // RFC 7239: would tell the provider about the client.
  'forwarded',
  // Only for an upgrade to HTTP/2 (RFC 7540 3.2.1).
  'http2-settings',
  // A CGI program receives it as the variable HTTP_PROXY (https://httpoxy.org).
  'proxy',
  // Written again with this proxy appended (RFC 9110 7.6.3).
  'via',
]);

/** Whether a request header of the client goes to the provider. */
export function isForwardedHeader(normalizedName: string): boolean {
  return !(
    NOT_FORWARDED_HEADERS.has(normalizedName) ||
    normalizedName.startsWith('proxy-') ||
    normalizedName.startsWith('x-forwarded-')
  );
}

/** Response headers that end at this proxy. `content-length` is returned: the provider's value describes the body. */
const NOT_RETURNED_HEADERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP_HEADERS,
  // RFC 9110 11.7.1: addressed to this proxy.
  'proxy-authenticate',
  // Set by this proxy.
  'wakala-token',
]);

/** Whether a response header of the provider goes to the client. CORS headers come from `allowed_origins` instead. */
export function isReturnedHeader(lowerCaseName: string): boolean {
  return !(NOT_RETURNED_HEADERS.has(lowerCaseName) || lowerCaseName.startsWith('access-control-'));
}

/** Headers that a route cannot set in the configuration. Normalized names. */
export const NOT_CONFIGURABLE_HEADERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP_HEADERS,
  ...FRAMING_HEADERS,
  'authorization',
  'expect',
  'proxy-authenticate',
  'proxy-authorization',
]);

/** Headers of a recorded request that are not sent again when the inspector resends it. */
export const NOT_RESENT_HEADERS: ReadonlySet<string> = new Set([
  ...FRAMING_HEADERS,
  'connection',
  'expect',
  'x-request-id',
]);

/** Headers whose values the request inspector may show. Values of all other headers are hidden. */
export const UNMASKED_HEADERS: ReadonlySet<string> = new Set(
  (
    'accept accept-encoding accept-language age allow cache-control content-encoding content-language content-length ' +
    'connection content-type date etag expect host idempotency-key last-modified origin prefer retry-after sec-fetch-dest ' +
    'sec-fetch-mode sec-fetch-site server traceparent transfer-encoding upgrade user-agent vary via wakala-token ' +
    'x-callback-url x-emulated-by x-emulated-reason x-idempotency-key x-reference-id x-request-id x-target-environment ' +
    'x-upstream-request-id x-webhook-mode'
  ).split(' '),
);

/** Response headers that a page of an allowed origin may read (Fetch standard, "CORS protocol"). */
export const CORS_EXPOSED_HEADERS: readonly string[] = ['wakala-token', 'x-request-id', 'proxy-status', 'retry-after'];

// Connection

/**
 * The headers that the `Connection` lines name as hop-by-hop (RFC 9110 7.6.1), normalized, without `keep-alive` and
 * `close`. Undefined if there are none.
 */
export function connectionOptions(list: readonly string[]): Set<string> | undefined {
  let names: Set<string> | undefined;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    for (const part of (list[i + 1] ?? '').toLowerCase().split(',')) {
      const option = part.trim();
      if (option === '' || option === 'keep-alive' || option === 'close') continue;
      (names ??= new Set()).add(normalizeHeaderName(option));
    }
  }
  return names;
}

/**
 * Refuses a request whose `Connection` header names a framing header: without that header it would be another message.
 * @throws ProxyError `bad_request`
 */
export function refuseFramingInConnection(raw: readonly string[]): void {
  const options = connectionOptions(raw);
  if (options === undefined) return;
  for (const name of FRAMING_HEADERS) {
    if (options.has(name)) {
      throw new ProxyError('bad_request', `A Connection header may not name \`${name}\`. Nothing was sent.`);
    }
  }
}

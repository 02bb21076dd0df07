import { ProxyError } from '../errors.ts';

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
 * Headers that give a request another method, for these servers:
 * - `x-http-method-override`: Rack and Rails, Symfony and Laravel, ASP.NET Core, Jersey, Express, grpc-gateway
 * - `x-method-override`: IBM Maximo
 * - `x-http-method`: OData and SharePoint
 */
const METHOD_OVERRIDE_HEADERS = ['x-http-method', 'x-http-method-override', 'x-method-override'];

/** Hop-by-hop (RFC 9110 7.6.1), framing that is ours to say, and what is replaced. Names with `-` for `_`. */
export const NOT_FORWARDED_HEADERS = new Set([
  ...ORIGINAL_REQUEST_HEADERS,
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
export const OVERRIDE_HEADERS: ReadonlySet<string> = new Set(
  [
    ...METHOD_OVERRIDE_HEADERS,
    ...ORIGINAL_REQUEST_HEADERS,
    'x-forwarded-method',
    'x-forwarded-path',
    'x-forwarded-prefix',
    'x-forwarded-uri',
  ].map(foldHeaderName),
);

/** Hop-by-hop on the way back. `content-length` stays: it is the provider's word on the body. */
export const NOT_RETURNED_HEADERS = new Set([
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
const FRAMING_HEADERS = new Set(['content-length', 'host', 'transfer-encoding']);

/** By name, for those who take no list. Names in another case are the same. Has no prototype: any name may be in it. */
export function headersByName(list: Readonly<HeaderList>): Record<string, string | string[]> {
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
export function headerValue(list: readonly string[], lowerCaseName: string): string | undefined {
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) return list[i + 1];
  }
  return undefined;
}

/** How many lines have this lower-case name. */
export function countHeaders(list: readonly string[], lowerCaseName: string): number {
  let count = 0;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) count += 1;
  }
  return count;
}

export function hasHeader(list: readonly string[], comparableName: string): boolean {
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
export function isAuthorization(key: string): boolean {
  return key.length > 13 && (key[0] === 'a' || key[0] === '-') && foldHeaderName(key) === 'authorization';
}

/** The names that `Connection` lines take out of the message (RFC 9110 7.6.1); undefined if none but the usual. */
export function connectionOptions(list: readonly string[]): Set<string> | undefined {
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
export function refuseFramingInConnection(raw: readonly string[]): void {
  const nominated = connectionOptions(raw);
  if (nominated === undefined) return;
  for (const name of FRAMING_HEADERS) {
    if (nominated.has(name)) {
      throw new ProxyError('bad_request', `A Connection header may not name \`${name}\`. Nothing was sent.`);
    }
  }
}

/** Headers whose values are nobody's secret. Of any other it is only said that it was there. */
export const UNMASKED_HEADERS = new Set(
  (
    'accept accept-encoding accept-language age allow cache-control content-encoding content-language content-length ' +
    'connection content-type date etag expect host idempotency-key last-modified origin prefer retry-after sec-fetch-dest ' +
    'sec-fetch-mode sec-fetch-site server traceparent transfer-encoding upgrade user-agent vary via wakala-token ' +
    'x-callback-url x-emulated-by x-emulated-reason x-idempotency-key x-reference-id x-request-id x-target-environment ' +
    'x-upstream-request-id x-webhook-mode'
  ).split(' '),
);

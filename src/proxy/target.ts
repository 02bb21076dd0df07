import { ProxyError } from '../errors.ts';
import { decodeFully } from '../http/url-path.ts';

/** A request target in origin form (RFC 9112 3.2.1), split but unchanged: `path + query` is what the client sent. */
export interface Target {
  readonly path: string;
  /** With the leading `?`, or empty. */
  readonly query: string;
}

/**
 * Fast path: a path without a percent escape, dot after a slash, double slash or backslash, and no fragment or NUL. Needs
 * no further checks.
 */
const SIMPLE_TARGET = /^(?:\/(?![/.])[\w\-~!$&'()*+,;=:@.]*)+(?:\?[^#\0]*)?$/;

/**
 * Splits a raw request target or refuses it. Routing and forwarding use the same result, so it is not decoded or
 * normalized: otherwise a client could route by one path and send another. The query is the provider's to judge: it
 * chooses no route, so `?discount=10%` is forwarded as it is.
 * @param host value of the Host header; the absolute form must have the same authority (RFC 9112 3.2.2)
 * @throws ProxyError `bad_request_target`
 */
export function parseTarget(raw: string, host: string): Target {
  const origin = raw.startsWith('/') ? raw : originFormOf(raw, host);
  if (!SIMPLE_TARGET.test(origin)) refuseUnsafe(origin);
  const question = origin.indexOf('?');
  return question === -1
    ? { path: origin, query: '' }
    : { path: origin.slice(0, question), query: origin.slice(question) };
}

function originFormOf(raw: string, host: string): string {
  const [scheme] = /^https?:\/\//i.exec(raw) ?? [];
  if (scheme === undefined || raw.includes('#')) throw targetRefused('it is neither a path nor an absolute URL');
  const [authority = ''] = raw.slice(scheme.length).split(/[/?]/, 1);
  const rest = raw.slice(scheme.length + authority.length);
  if (authority.toLowerCase() !== host.toLowerCase()) throw targetRefused('its authority differs from the Host header');
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function refuseUnsafe(origin: string): void {
  // RFC 9112 3.2.1: a fragment is not part of a target, and servers differ in whether they cut it off.
  if (origin.includes('#')) throw targetRefused('it has a fragment (`#`)');
  if (origin.includes('\0')) throw targetRefused('it has a NUL');
  const path = origin.split('?', 1)[0] ?? '';
  if (path.includes('\\')) throw targetRefused('its path has a backslash');
  if (/%(?![0-9a-f]{2})/i.test(path)) {
    throw targetRefused('its path has an invalid percent escape (write `%` as `%25`)');
  }
  if (path.includes('//')) throw targetRefused('its path has an empty segment (`//`)');
  const decoded = decodeFully(path);
  if (decoded.includes('\0')) throw targetRefused('its path has an encoded NUL');
  // Servers that parse the decoded path as a URL drop some of these characters and see other segments.
  if (/[\0-\x1f\x7f]/.test(decoded)) throw targetRefused('its path has an encoded control character');
  if (decoded.includes('\\')) throw targetRefused('its path has an encoded backslash');
  // RFC 3986 5.2.4. Servers with path parameters read `..;x` as `..`, and those that trim spaces read `.. ` as `..`.
  if (decoded.split('/').some((segment) => /^ *\.{1,2} *([;?#]|$)/.test(segment))) {
    throw targetRefused('its path has a dot segment');
  }
}

function targetRefused(fault: string): ProxyError {
  return new ProxyError('bad_request_target', `The request target was refused: ${fault}. Nothing was sent.`);
}

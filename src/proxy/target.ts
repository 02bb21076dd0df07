import { ProxyError } from '../errors.ts';
import { decodeFully } from '../http/url-path.ts';

/** A request target in origin form, cut but never changed: `path + query` is what the client sent. */
export interface Target {
  readonly path: string;
  /** With its `?`, or empty. */
  readonly query: string;
}

/** No percent escape, no dot after a slash, no double slash, no backslash, no fragment, no NUL: nothing to look into. */
const SIMPLE_TARGET = /^(?:\/(?![/.])[\w\-~!$&'()*+,;=:@.]*)+(?:\?[\w\-~!$&'()*+,;=:@./?[\]]*)?$/;

/**
 * Splits a raw request target, or refuses it. Routing and forwarding both use the result, so nothing here decodes or
 * normalises what is passed on. `host` is the request's Host line, for the absolute form (RFC 9112 3.2.2).
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
  if (authority.toLowerCase() !== host.toLowerCase()) throw targetRefused('its authority is not the one in the Host line');
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function refuseUnsafe(origin: string): void {
  if (origin.includes('#')) throw targetRefused('it has a fragment');
  if (origin.includes('\\')) throw targetRefused('it has a backslash');
  if (/%(?![0-9a-f]{2})/i.test(origin)) throw targetRefused('it has a broken percent escape');
  if (/\0|%00/.test(origin)) throw targetRefused('it has a NUL');
  const path = origin.split('?', 1)[0] ?? '';
  if (path.includes('//')) throw targetRefused('its path has an empty segment (`//`)');
  const decoded = decodeFully(path);
  if (decoded.includes('\0')) throw targetRefused('it has a NUL');
  // Servers that parse what they decoded as a URL drop some of these, and see other segments.
  if (/[\0-\x1f\x7f]/.test(decoded)) throw targetRefused('its path has an encoded control character');
  if (decoded.includes('\\')) throw targetRefused('it has an encoded backslash');
  // A server that takes `;` for the start of path parameters sees `..;x` as `..`; one that trims blanks, `.. ` too.
  if (decoded.split('/').some((segment) => /^ *\.{1,2} *([;?#]|$)/.test(segment)))
    throw targetRefused('it has a dot segment');
}

function targetRefused(what: string): ProxyError {
  return new ProxyError('bad_request_target', `The request target was refused: ${what}. Nothing was sent.`);
}

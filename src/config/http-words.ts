import type { AllowRule } from './config.ts';
import type { Parsed } from './address.ts';
import { didYouMean } from './nearest.ts';

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** Headers that the proxy or the connection sets; a route may not. */
const RESERVED: readonly string[] = [
  'authorization',
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'te',
  'trailer',
  'upgrade',
  'expect',
];

/** Why this cannot be a method that is let through; undefined if it can. */
export function methodError(method: string): string | undefined {
  if (METHODS.includes(method)) return undefined;
  if (METHODS.includes(method.toUpperCase())) return `methods are written in capitals: \`${method.toUpperCase()}\``;
  return `not a method; it must be one of ${METHODS.join(', ')}${didYouMean(method.toUpperCase(), METHODS)}`;
}

/** Reads `GET /v1/payments/*`. */
export function parseAllow(text: string): Parsed<AllowRule> {
  const match = /^(\S+) +(\/\S*)$/.exec(text);
  if (match === null) return { problem: 'must be `METHOD /path`, such as `POST /v1/payments` or `GET /*`' };
  const [, method = '', path = ''] = match;
  const fault = method === '*' ? undefined : methodError(method);
  if (fault !== undefined) return { problem: fault };
  const prefix = path.endsWith('*');
  const exact = prefix ? path.slice(0, -1) : path;
  const problem = pathError(exact);
  return problem === undefined ? { value: { method, path: exact, prefix } } : { problem };
}

/** Why no request can ever have this path; undefined if one can. */
export function pathError(path: string): string | undefined {
  if (!path.startsWith('/')) return 'must start with `/`';
  if (path.includes('*')) return '`*` may stand only at the end';
  if (/[?#]/.test(path)) return 'a path holds no query and no fragment';
  if (path.includes('//')) return 'a path holds no `//`';
  if (/(^|\/)\.{1,2}(\/|$)/.test(path)) return 'a path holds no `.` or `..` segments';
  if (!/^[!-~]*$/.test(path) || /["<>\\^`]/.test(path))
    return 'a path holds only plain ASCII, no spaces or backslashes';
  return undefined;
}

/** Why a route cannot set this header on API calls; undefined if it can. */
export function headerError(name: string): string | undefined {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return 'not a header name';
  const plain = name.toLowerCase().replaceAll('_', '-');
  if (plain === 'authorization')
    return 'cannot be set here: the token goes there; for a fixed key use `provider: static`';
  if (RESERVED.includes(plain)) return 'cannot be set here: it belongs to the connection';
  return undefined;
}

/** A header value that can be sent: no line break, no character beyond Latin-1 (RFC 9110, 5.5). */
export function isHeaderValue(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

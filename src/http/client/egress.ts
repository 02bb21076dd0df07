import { isIP } from 'node:net';
import { headerValue } from '../header-list.ts';
import { splitHostPort } from '../host-port.ts';
import { hostWithoutBrackets, isInRange, mappedIPv4 } from '../ip-address.ts';
import type { EgressProxy, EgressRules } from './connect-options.ts';
import type { Origin } from './origin.ts';

/** The proxy that connections to this origin go through. Undefined: none. */
export function egressProxyFor(origin: Origin, rules: EgressRules | undefined): EgressProxy | undefined {
  const proxy = origin.isTls ? rules?.https : rules?.http;
  if (proxy === undefined || rules?.noProxy?.some((entry) => matchesEntry(origin, entry)) === true) return undefined;
  return proxy;
}

/**
 * Whether an entry of `NO_PROXY` names this host. The syntax is curl's: `*` for every host, a name for itself and the
 * names below it, with or without a leading dot, an IP address, or a range such as `10.0.0.0/8`. As in Go, an entry may
 * have a port, and `*.` stands for a leading dot. Names are not resolved.
 */
function matchesEntry({ host, port }: Origin, entry: string): boolean {
  const text = entry.trim().toLowerCase();
  if (text === '*') return true;
  const { host: pattern, port: onlyPort } = splitHostPort(text) ?? { host: text };
  if (onlyPort !== undefined && onlyPort !== port) return false;
  const name = hostWithoutBrackets(host.toLowerCase());
  return isIP(name) === 0 ? matchesName(name, pattern) : isInRange(mappedIPv4(name) ?? name, pattern);
}

function matchesName(name: string, pattern: string): boolean {
  const domain = hostWithoutBrackets(pattern.replace(/^\*?\./, ''));
  return domain !== '' && (name === domain || name.endsWith(`.${domain}`));
}

/** The header line with the credentials of a proxy, with its CRLF. Empty if it needs none. */
export function proxyAuthorizationLine({ authorization }: EgressProxy): string {
  if (authorization === undefined) return '';
  const value = authorization.reveal();
  if (/[^ -~]/.test(value)) throw new TypeError('the credentials of the proxy have a character that is not allowed');
  return `proxy-authorization: ${value}\r\n`;
}

/**
 * Whether a response to a request in absolute form says that the proxy refused the client's credentials (RFC 9110
 * 15.5.8), so that the request was not forwarded. Other refusals of a proxy look like those of the server behind it.
 */
export function isFromProxy(status: number, rawHeaders: readonly string[]): boolean {
  return status === 407 && headerValue(rawHeaders, 'proxy-authenticate') !== undefined;
}

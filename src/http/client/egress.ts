import { BlockList, isIP } from 'node:net';
import { hostWithoutBrackets, mappedIPv4 } from '../ip-address.ts';
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
  const [, bracketed, plain = '', portText] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? [
    '',
    undefined,
    text,
  ];
  if (portText !== undefined && Number(portText) !== port) return false;
  const pattern = bracketed ?? plain;
  const name = hostWithoutBrackets(host.toLowerCase());
  return isIP(name) === 0 ? matchesName(name, pattern) : matchesAddress(name, pattern);
}

function matchesName(name: string, pattern: string): boolean {
  const domain = hostWithoutBrackets(pattern.replace(/^\*?\./, ''));
  return domain !== '' && (name === domain || name.endsWith(`.${domain}`));
}

function matchesAddress(address: string, pattern: string): boolean {
  const [, base = '', bits] = /^([^/]*?)(?:\/(\d{1,3}))?$/.exec(pattern) ?? [];
  const family = isIP(base);
  const maxBits = family === 4 ? 32 : 128;
  const candidate = mappedIPv4(address) ?? address;
  if (family !== isIP(candidate) || Number(bits ?? 0) > maxBits) return false;
  const range = new BlockList();
  const type = family === 4 ? 'ipv4' : 'ipv6';
  range.addSubnet(base, Number(bits ?? maxBits), type);
  return range.check(candidate, type);
}

/** `host:port`, as in a request for a tunnel and in messages. An IPv6 address is in brackets. */
export function authorityOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** The header line with the credentials of a proxy, with its CRLF. Empty if it needs none. */
export function proxyAuthorizationLine({ authorization }: EgressProxy): string {
  if (authorization === undefined) return '';
  const value = authorization.reveal();
  if (/[^ -~]/.test(value)) throw new TypeError('the credentials of the proxy have a character that is not allowed');
  return `proxy-authorization: ${value}\r\n`;
}

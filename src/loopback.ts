import { isIPv4, isIPv6 } from 'node:net';
import { mappedIPv4 } from './ip.ts';

/** True for an IP address of this machine's loopback range: 127.0.0.0/8 or `::1`, in brackets or not. */
export function isLoopbackAddress(address: string): boolean {
  const bare = address.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const v4 = mappedIPv4(bare) ?? bare;
  return bare === '::1' || (isIPv4(v4) && v4.startsWith('127.'));
}

/** True for a host name that stands for this machine (RFC 6761 6.3) or a loopback address. */
export function isLoopbackName(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'localhost' || lower.endsWith('.localhost') || isLoopbackAddress(lower);
}

/**
 * Ends of names that no public name server answers for: RFC 6761 (`localhost`, `test`), RFC 6762 (`local`), RFC 8375
 * (`home.arpa`), ICANN's `internal`; and `svc`, by which Kubernetes names a service within its cluster.
 */
const PRIVATE_END = /\.(localhost|test|local|home\.arpa|internal|svc)$/;

/**
 * True for a host that nobody can make a public name server answer for: an IP address (IPv6 in brackets), a name of one
 * part, or one with a private end. A web page whose own name leads here (DNS rebinding) has none of these.
 */
export function isPrivateName(name: string): boolean {
  const bare = name.toLowerCase().replace(/\.$/, '');
  if (bare.startsWith('[')) return !bare.includes('.') || isIPv6(bare.slice(1, -1));
  return !bare.includes('.') || isIPv4(bare) || PRIVATE_END.test(bare);
}

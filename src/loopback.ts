import { isIPv4 } from 'node:net';
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

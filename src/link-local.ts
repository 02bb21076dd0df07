import { BlockList, isIP } from 'node:net';
import { bareAddress, embeddedIPv4 } from './ip.ts';

function blockList(...ranges: [address: string, bits: number, family: 'ipv4' | 'ipv6'][]): BlockList {
  const list = new BlockList();
  for (const range of ranges) list.addSubnet(...range);
  return list;
}

/** Link-local ranges (RFC 3927, RFC 4291 2.5.6), and where clouds serve machine credentials to whoever asks. */
const REFUSED = blockList(
  ['169.254.0.0', 16, 'ipv4'],
  ['fe80::', 10, 'ipv6'],
  // AWS and Google over IPv6.
  ['fd00:ec2::', 32, 'ipv6'],
  ['fd20:ce::254', 128, 'ipv6'],
  // Alibaba, Azure, Oracle.
  ['100.100.100.200', 32, 'ipv4'],
  ['168.63.129.16', 32, 'ipv4'],
  ['192.0.0.192', 32, 'ipv4'],
);

/**
 * True for an IP address that is link-local or a cloud's metadata service, and so never a payment API: in brackets or
 * not, with a zone or not, IPv4 within IPv6 or not. False for anything that is no IP address.
 */
export function isLinkLocalAddress(ip: string): boolean {
  const bare = bareAddress(ip);
  const family = isIP(bare);
  if (family !== 6) return family === 4 && REFUSED.check(bare);
  return REFUSED.check(bare, 'ipv6') || embeddedIPv4(bare).some((address) => REFUSED.check(address));
}

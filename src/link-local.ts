import { BlockList, isIP } from 'node:net';

function blockList(...ranges: [address: string, bits: number, family: 'ipv4' | 'ipv6'][]): BlockList {
  const list = new BlockList();
  for (const range of ranges) list.addSubnet(...range);
  return list;
}

/** Link-local ranges (RFC 3927, RFC 4291 2.5.6), and where clouds serve machine credentials to whoever asks. */
const REFUSED = blockList(
  ['169.254.0.0', 16, 'ipv4'],
  ['fe80::', 10, 'ipv6'],
  // 169.254.0.0/16 as NAT64 writes it (RFC 6052).
  ['64:ff9b::a9fe:0', 112, 'ipv6'],
  // As IPv4-compatible addresses (RFC 4291 2.5.5.1) and 6to4 (RFC 3056) write it.
  ['::a9fe:0', 112, 'ipv6'],
  ['2002:a9fe::', 32, 'ipv6'],
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
 * not, with a zone or not, IPv4 mapped into IPv6 or not. False for anything that is no IP address.
 */
export function isLinkLocalAddress(ip: string): boolean {
  const bare = ip.replace(/^\[(.*)\]$/, '$1').split('%', 1)[0] ?? '';
  const family = isIP(bare);
  return family !== 0 && REFUSED.check(bare, family === 6 ? 'ipv6' : 'ipv4');
}

import { isIP } from 'node:net';

/** An IP address without brackets and zone: `[fe80::1%eth0]` is `fe80::1`. */
export function bareAddress(address: string): string {
  return address.replace(/^\[(.*)\]$/, '$1').split('%', 1)[0] ?? '';
}

/** A host without the brackets of an IPv6 address, or without the dots at the end of a name. */
export function hostWithoutMarks(host: string): string {
  if (host.startsWith('[') && host.endsWith(']')) return host.slice(1, -1);
  let end = host.length;
  while (host[end - 1] === '.') end -= 1;
  return host.slice(0, end);
}

/** The IPv4 address that a connection to an IPv4-mapped IPv6 address goes to (RFC 4291 2.5.5.2). */
export function mappedIPv4(address: string): string | undefined {
  const bytes = bytesOf(address);
  return startsWith(bytes, MAPPED) ? dotted(bytes, 12) : undefined;
}

/**
 * Every IPv4 address that an IPv6 address may stand for, on this machine or at a translator or tunnel on the way:
 * IPv4-mapped and IPv4-compatible (RFC 4291 2.5.5), IPv4-translated (RFC 2765 2.1), NAT64 (RFC 6052, RFC 8215),
 * 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP (RFC 5214). NAT64 prefixes that an operator chose are not known here.
 */
export function embeddedIPv4(address: string): string[] {
  const bytes = bytesOf(address);
  if ([MAPPED, COMPATIBLE, TRANSLATED, NAT64].some((prefix) => startsWith(bytes, prefix))) return [dotted(bytes, 12)];
  if (startsWith(bytes, LOCAL_NAT64)) {
    // RFC 6052 2.2: behind a prefix of 48, 56, 64 or 96 bits, and never in byte 8.
    const skipping = [...bytes.slice(0, 8), ...bytes.slice(9)];
    return [dotted(skipping, 6), dotted(skipping, 7), dotted(skipping, 8), dotted(bytes, 12)];
  }
  if (startsWith(bytes, SIX_TO_FOUR)) return [dotted(bytes, 2)];
  if (startsWith(bytes, TEREDO)) {
    const client = bytes.map((byte) => byte ^ 0xff);
    return [dotted(bytes, 4), dotted(client, 12)];
  }
  const interfaceId = bytes.slice(8);
  return ISATAP.some((prefix) => startsWith(interfaceId, prefix)) ? [dotted(bytes, 12)] : [];
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
const COMPATIBLE = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const TRANSLATED = [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
const NAT64 = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
const LOCAL_NAT64 = [0, 0x64, 0xff, 0x9b, 0, 1];
const SIX_TO_FOUR = [0x20, 0x02];
const TEREDO = [0x20, 0x01, 0, 0];
/** Of the interface identifier, whatever the prefix before it. */
const ISATAP = [
  [0, 0, 0x5e, 0xfe],
  [2, 0, 0x5e, 0xfe],
];

/** The 16 bytes of an IPv6 address; none for anything else. */
function bytesOf(address: string): number[] {
  const bare = bareAddress(address);
  if (isIP(bare) !== 6) return [];
  const text = withoutDots(bare);
  const [head = [], tail = []] = text.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = new Array<string>(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...tail].flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]);
}

/** An IPv6 address whose last four bytes may be written as an IPv4 address, with these as two groups. */
function withoutDots(address: string): string {
  const tailStart = address.lastIndexOf(':') + 1;
  const tail = address.slice(tailStart);
  if (!tail.includes('.')) return address;
  const [w = 0, x = 0, y = 0, z = 0] = tail.split('.').map(Number);
  return `${address.slice(0, tailStart)}${((w << 8) | x).toString(16)}:${((y << 8) | z).toString(16)}`;
}

function startsWith(bytes: readonly number[], prefix: readonly number[]): boolean {
  return bytes.length > 0 && prefix.every((byte, i) => byte === bytes[i]);
}

function dotted(bytes: readonly number[], at: number): string {
  return bytes.slice(at, at + 4).join('.');
}

import { lookup, type LookupAddress, type LookupAllOptions, type LookupOneOptions } from 'node:dns';
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

/** An IP address without brackets and zone: `fe80::1` for `[fe80::1%eth0]`. */
function bareAddress(address: string): string {
  return address.replace(/^\[(.*)\]$/, '$1').split('%', 1)[0] ?? '';
}

/** A host without the brackets of an IPv6 address, or a name without trailing dots. */
export function hostWithoutBrackets(host: string): string {
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
 * Every IPv4 address that a packet to this IPv6 address may reach, directly or through a translator or tunnel:
 * IPv4-mapped and IPv4-compatible (RFC 4291 2.5.5), IPv4-translated (RFC 2765 2.1), NAT64 (RFC 6052, RFC 8215),
 * 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP (RFC 5214). Network-specific NAT64 prefixes are
 * not covered.
 */
function embeddedIPv4(address: string): string[] {
  const bytes = bytesOf(address);
  if ([MAPPED, COMPATIBLE, TRANSLATED, NAT64].some((prefix) => startsWith(bytes, prefix))) return [dotted(bytes, 12)];
  if (startsWith(bytes, LOCAL_NAT64)) {
    // RFC 6052 2.2: the address follows a prefix of 48, 56, 64 or 96 bits and skips byte 8.
    const withoutByte8 = [...bytes.slice(0, 8), ...bytes.slice(9)];
    return [6, 7, 8].map((at) => dotted(withoutByte8, at)).concat(dotted(bytes, 12));
  }
  if (startsWith(bytes, SIX_TO_FOUR)) return [dotted(bytes, 2)];
  if (startsWith(bytes, TEREDO)) {
    // RFC 4380 4: the server, then the client with its bits inverted.
    const inverted = bytes.map((byte) => byte ^ 0xff);
    return [dotted(bytes, 4), dotted(inverted, 12)];
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
/** Start of the interface identifier, after any prefix. */
const ISATAP = [
  [0, 0, 0x5e, 0xfe],
  [2, 0, 0x5e, 0xfe],
];

/** The 16 bytes of an IPv6 address. Empty for anything else. */
function bytesOf(address: string): number[] {
  const bare = bareAddress(address);
  if (isIP(bare) !== 6) return [];
  const text = withoutDots(bare);
  const [head = [], tail = []] = text.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = new Array<string>(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...tail].flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]);
}

/** Rewrites `::ffff:192.0.2.1` as `::ffff:c000:201` (RFC 4291 2.2). */
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

/** Whether this is a loopback address, with or without brackets: 127.0.0.0/8 or `::1`. */
export function isLoopbackAddress(address: string): boolean {
  const bare = address.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const v4 = mappedIPv4(bare) ?? bare;
  return bare === '::1' || (isIPv4(v4) && v4.startsWith('127.'));
}

/** Whether this host is a loopback address or a `localhost` name (RFC 6761 6.3). */
export function isLoopbackName(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'localhost' || lower.endsWith('.localhost') || isLoopbackAddress(lower);
}

/**
 * Suffixes that do not exist in the public DNS: RFC 6761 (`localhost`, `test`), RFC 6762 (`local`), RFC 8375
 * (`home.arpa`), ICANN's `internal`, and `svc` for services in a Kubernetes cluster.
 */
const PRIVATE_SUFFIX = /\.(localhost|test|local|home\.arpa|internal|svc)$/;

/**
 * Whether no public DNS record can make this host resolve to this machine: an IP address (IPv6 in brackets), a name
 * without dots, or a name with a private suffix. A web page that uses DNS rebinding needs a public name.
 */
export function isPrivateName(name: string): boolean {
  const bare = name.toLowerCase().replace(/\.$/, '');
  if (bare.startsWith('[')) return !bare.includes('.') || isIPv6(bare.slice(1, -1));
  return !bare.includes('.') || isIPv4(bare) || PRIVATE_SUFFIX.test(bare);
}

type Range = readonly [address: string, bits: number, family: 'ipv4' | 'ipv6'];

function blockList(ranges: readonly Range[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) list.addSubnet(...range);
  return list;
}

/** RFC 3927, RFC 4291 2.5.6, and `fd00:ec2::/32`, which AWS uses in the same way. */
const LINK_LOCAL: readonly Range[] = [
  ['169.254.0.0', 16, 'ipv4'],
  ['fe80::', 10, 'ipv6'],
  ['fd00:ec2::', 32, 'ipv6'],
];

/** Cloud metadata services, which give machine credentials to any process that requests them. */
const METADATA: readonly Range[] = [
  // 169.254.169.254 of most clouds; ECS and EKS (169.254.170.2, 169.254.170.23); Tencent; Scaleway.
  ['169.254.169.0', 24, 'ipv4'],
  ['169.254.170.0', 24, 'ipv4'],
  ['169.254.0.23', 32, 'ipv4'],
  ['169.254.42.42', 32, 'ipv4'],
  // The same over IPv6: OpenStack, AWS, Google, Scaleway.
  ['fe80::a9fe:a9fe', 128, 'ipv6'],
  ['fd00:ec2::', 64, 'ipv6'],
  ['fd20:ce::254', 128, 'ipv6'],
  ['fd00:42::42', 128, 'ipv6'],
  // Alibaba, Azure, Oracle.
  ['100.100.100.200', 32, 'ipv4'],
  ['168.63.129.16', 32, 'ipv4'],
  ['192.0.0.192', 32, 'ipv4'],
];

const LINK_LOCAL_LIST = blockList(LINK_LOCAL);
const METADATA_LIST = blockList(METADATA);
const NONE_ALLOWED = blockList([]);

/**
 * Whether this is the IP address of a cloud metadata service or link-local, and so never a payment API. Accepts
 * brackets, a zone, and IPv4 embedded in IPv6. False for anything that is not an IP address.
 * @param allowAddresses link-local addresses that do not count: IP addresses, or ranges in CIDR notation
 */
export function isLinkLocalAddress(ip: string, allowAddresses: readonly string[] = []): boolean {
  return isBlocked(ip, allowList(allowAddresses));
}

/** @param allowed link-local addresses that are not blocked. Metadata services always are. */
function isBlocked(ip: string, allowed: BlockList): boolean {
  const bare = bareAddress(ip);
  const blocks = (address: string) => {
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    return (
      METADATA_LIST.check(address, family) ||
      (LINK_LOCAL_LIST.check(address, family) && !allowed.check(address, family))
    );
  };
  return isIP(bare) !== 0 && [bare, ...embeddedIPv4(bare)].some(blocks);
}

/** An address or a range in CIDR notation. Undefined if it is neither. */
function readRange(text: string): Range | undefined {
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  const maxBits = family === 4 ? 32 : 128;
  const length = Number(bits ?? maxBits);
  return family === 0 || length > maxBits ? undefined : [address, length, family === 4 ? 'ipv4' : 'ipv6'];
}

/** Whether an IP address is in a range in CIDR notation, or equal to the address that `range` is. */
export function isInRange(address: string, range: string): boolean {
  const parsed = readRange(range);
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  return parsed !== undefined && family === parsed[2] && blockList([parsed]).check(address, family);
}

function allowList(allowAddresses: readonly string[]): BlockList {
  if (allowAddresses.length === 0) return NONE_ALLOWED;
  return blockList(allowAddresses.map(readRange).filter((range) => range !== undefined));
}

/** What is wrong with an entry of `allow_addresses`, after its key and value. Undefined if nothing is. */
export function allowedRangeError(text: string): string | undefined {
  const range = readRange(text);
  if (range === undefined) return 'must be an IP address or a range, such as `169.254.171.0/24`';
  const [address, bits, family] = range;
  const isWithin = (outer: Range) =>
    family === outer[2] && bits >= outer[1] && blockList([outer]).check(address, family);
  if (METADATA.some(isWithin)) return 'belongs to a cloud metadata service, to which Wakala never connects';
  if (!LINK_LOCAL.some(isWithin)) return 'is not link-local: only link-local addresses need to be allowed';
  return undefined;
}

type Options = LookupOneOptions | LookupAllOptions;
type Callback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

/** Refuses outgoing connections to link-local addresses and metadata services. */
export interface AddressGuard {
  /** @throws Error with code `LINK_LOCAL_ADDRESS` if `host` is a refused address. Names pass: see `lookup`. */
  readonly check: (host: string) => void;
  /**
   * `dns.lookup` for outgoing connections. Fails with `LINK_LOCAL_ADDRESS` if the name resolves to a refused address, so
   * that a DNS record cannot send a token there.
   */
  readonly lookup: (hostname: string, options: Options, callback: Callback) => void;
}

/** @param allowAddresses link-local addresses that are not refused: IP addresses, or ranges in CIDR notation */
export function addressGuard(allowAddresses: readonly string[] = []): AddressGuard {
  const allowed = allowList(allowAddresses);
  return {
    check: (host) => {
      if (isBlocked(host, allowed)) throw refusedAddress('a link-local or metadata address');
    },
    lookup: (hostname, options, callback) => {
      lookup(hostname, { ...options, all: true }, (error, addresses) => {
        if (error !== null) {
          callback(error, []);
        } else if (addresses.some(({ address }) => isBlocked(address, allowed))) {
          callback(refusedAddress('the name resolves to a link-local or metadata address'), []);
        } else if (options.all === true) {
          callback(null, addresses);
        } else {
          callback(null, addresses[0]?.address ?? '', addresses[0]?.family);
        }
      });
    },
  };
}

function refusedAddress(message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code: 'LINK_LOCAL_ADDRESS' });
}

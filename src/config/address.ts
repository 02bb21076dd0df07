import { isIP, isIPv6 } from 'node:net';
import { hostWithoutMarks, mappedIPv4 } from '../ip.ts';
import { isLinkLocalAddress } from '../link-local.ts';
import { isLoopbackName } from '../loopback.ts';
import type { ListenAddress } from './config.ts';

export type Parsed<T> = { readonly value: T } | { readonly problem: string };

const HINT = '`127.0.0.1:8080` for this machine only, `0.0.0.0:8080` for every interface';

/** Reads `host:port`, with an IPv6 host in brackets. `localhost` is taken as 127.0.0.1, for it may mean `::1` only. */
export function parseAddress(text: string): Parsed<ListenAddress> {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]+)$/.exec(text);
  if (match === null) return { problem: addressFault(text) };
  const [, inBrackets, plain, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return { problem: 'the port must be between 0 and 65535 (0 picks a free one)' };
  if (inBrackets !== undefined) {
    if (!isIPv6(inBrackets)) return { problem: 'only an IPv6 address stands in brackets, as in `[::1]:8080`' };
    return { value: { host: inBrackets, port } };
  }
  const host = (plain ?? '').toLowerCase();
  if (host === '' || host === '*') return { problem: `name the address to listen on: ${HINT}` };
  if (!isHostName(host)) return { problem: `not an address to listen on; write ${HINT}` };
  return { value: { host: host === 'localhost' ? '127.0.0.1' : host, port } };
}

function addressFault(text: string): string {
  if (/^[0-9]+$/.test(text)) return `name the address too: ${HINT}`;
  if (isIPv6(text) || /^[0-9a-f:]+:[0-9]+$/i.test(text)) {
    return 'an IPv6 address is written in brackets, with a port: `[::1]:8080`';
  }
  if (text.includes('://')) return `leave out the scheme; write ${HINT}`;
  return `must be an address and a port: ${HINT}`;
}

/** An IPv4 address or a DNS name. */
export function isHostName(host: string): boolean {
  if (isIP(host) === 4) return true;
  const labels = host.split('.');
  const named = labels.every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i.test(label));
  return named && host.length <= 253 && !/^[0-9]+$/.test(labels.at(-1) ?? '');
}

/** `host:port` as one would type it. */
export function formatAddress({ host, port }: ListenAddress): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Names under which clouds serve machine credentials to whoever asks. */
const METADATA_NAMES: readonly string[] = [
  'metadata',
  'metadata.goog',
  'metadata.google.internal',
  'instance-data',
  'instance-data.ec2.internal',
];

/** A link-local address or a cloud's metadata service: never a payment API. */
export function isLinkLocal(host: string): boolean {
  const bare = bareHost(host);
  return METADATA_NAMES.includes(bare) || isLinkLocalAddress(bare);
}

/** Both would listen on the same port of at least one address. */
export function overlaps(a: ListenAddress, b: ListenAddress): boolean {
  return a.port !== 0 && a.port === b.port && (isWild(a.host) || isWild(b.host) || a.host === b.host);
}

/** A connection that this machine makes to `host` and `port` arrives at `listen`. */
export function leadsTo(listen: ListenAddress, host: string, port: number): boolean {
  if (port === 0 || port !== listen.port) return false;
  const [bare, own] = [bareHost(host), bareHost(listen.host)];
  if (bare === own) return true;
  if (isWild(own)) return isWild(bare) || isLoopbackName(bare);
  const isAnyLoopback = isWild(bare) || (isLoopbackName(bare) && isIP(bare) === 0);
  return isAnyLoopback && isLoopbackName(own);
}

function isWild(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** A host in one spelling: an IPv6 address without brackets and as short as it can be, IPv4 within it as IPv4. */
function bareHost(host: string): string {
  const bare = hostWithoutMarks(host.toLowerCase());
  if (isIP(bare) !== 6) return bare;
  return mappedIPv4(bare) ?? URL.parse(`http://[${bare}]`)?.hostname.slice(1, -1) ?? bare;
}

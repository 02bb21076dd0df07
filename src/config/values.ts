import { isIP, isIPv6 } from 'node:net';
import { NOT_CONFIGURABLE_HEADERS, normalizeHeaderName } from '../http/header-list.ts';
import { hostWithoutBrackets, isLinkLocalAddress, isLoopbackName, mappedIPv4 } from '../http/ip-address.ts';
import type { Environment } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import type { Path } from './source.ts';

/** An address to listen on. Port 0 picks a free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `METHOD path`, where `*` for the method is any. `prefix`: the path ended in `*`, which is left out here. */
export interface AllowRule {
  readonly method: string;
  readonly path: string;
  readonly prefix: boolean;
}

/** A duration or size as the source code of this program writes it. */
export type DurationText = `${number}${'ms' | 's' | 'm' | 'h'}`;
export type SizeText = `${number}${'' | 'KiB' | 'MiB' | 'GiB'}`;

const MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** As regular expressions for editors, to which a reference is as good as a value. */
export const DURATION_PATTERN = '^[0-9]+(ms|s|m|h)$|\\$\\{.+\\}';
export const SIZE_PATTERN = '^[0-9]+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$|\\$\\{.+\\}';

function inUnits(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const match = pattern.exec(text);
  const factor = match === null ? undefined : units[match[2] ?? ''];
  return factor === undefined ? undefined : Number(match?.[1]) * factor;
}

/** Milliseconds of `500ms`, `60s`, `5m` or `1h`; undefined if it is none of these. */
export function parseDuration(text: string): number | undefined {
  return inUnits(text, /^([0-9]+)(ms|s|m|h)$/, MS);
}

/** Bytes of `64KiB`, `10MiB`, `1MB`, or of a plain whole number; undefined if it is none of these. */
export function parseSize(text: string): number | undefined {
  return inUnits(text, /^([0-9]+) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$/, BYTES);
}

export function formatDuration(ms: number): string {
  const unit = ['h', 'm', 's'].find((name) => ms >= (MS[name] ?? 1) && ms % (MS[name] ?? 1) === 0) ?? 'ms';
  return `${ms / (MS[unit] ?? 1)}${unit}`;
}

export function formatSize(bytes: number): string {
  const unit = ['GiB', 'MiB', 'KiB'].find((name) => bytes >= (BYTES[name] ?? 1) && bytes % (BYTES[name] ?? 1) === 0);
  return unit === undefined ? String(bytes) : `${bytes / (BYTES[unit] ?? 1)}${unit}`;
}

/** A value, or why a text gives none. */
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
  const bare = hostWithoutBrackets(host.toLowerCase());
  if (isIP(bare) !== 6) return bare;
  return mappedIPv4(bare) ?? URL.parse(`http://[${bare}]`)?.hostname.slice(1, -1) ?? bare;
}

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** Why this cannot be a method that is let through; undefined if it can. */
function methodError(method: string): string | undefined {
  if (METHODS.includes(method)) return undefined;
  if (METHODS.includes(method.toUpperCase())) return `methods are written in capitals: \`${method.toUpperCase()}\``;
  return `not a method; it must be one of ${METHODS.join(', ')}${didYouMean(method.toUpperCase(), METHODS)}`;
}

/** Reads the name of a method. */
export function parseMethod(text: string): Parsed<string> {
  const problem = methodError(text);
  return problem === undefined ? { value: text } : { problem };
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
  const plain = normalizeHeaderName(name);
  if (plain === 'authorization')
    return 'cannot be set here: the token goes there; for a fixed key use `provider: static`';
  if (NOT_CONFIGURABLE_HEADERS.has(plain)) return 'cannot be set here: it belongs to the connection';
  return undefined;
}

/** A header value that can be sent: no line break, no character beyond Latin-1 (RFC 9110, 5.5). */
export function isHeaderValue(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

/**
 * Checks the URL given at `path` and returns its origin and path without a trailing slash; undefined if it cannot
 * be used. Bad for the environment is a problem too, but leaves the URL usable for further checks.
 */
export function checkedUrl(
  path: Path,
  text: string,
  environment: Environment,
  report: Diagnostics,
): string | undefined {
  const url = URL.parse(text);
  const fault = url === null ? 'must be a whole URL such as `https://api.example.com/v1`' : urlFault(text, url);
  if (fault !== undefined || url === null) {
    report.problem(path, fault ?? 'not a URL');
    return undefined;
  }
  checkEnvironment(path, url, environment, report);
  return `${url.origin}${url.pathname}`.replace(/(?<!\/)\/+$/, '');
}

/** Where this process itself listens. */
export interface OwnListeners {
  readonly listen: ListenAddress;
  readonly admin: ListenAddress | undefined;
}

/**
 * A URL at which this process itself would answer is a problem: at the proxy it is a loop, and at the admin listener
 * clients of the proxy could see and do what is for this machine alone.
 */
export function checkLoop(path: Path, text: string | undefined, own: OwnListeners, report: Diagnostics): void {
  const url = text === undefined ? null : URL.parse(text);
  if (url === null) return;
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const { listen, admin } = own;
  if (leadsTo(listen, url.hostname, port)) {
    report.problem(path, `leads back to this proxy, which listens on ${formatAddress(listen)}; name the API itself`);
  } else if (admin !== undefined && leadsTo(admin, url.hostname, port)) {
    const text = `leads to the admin listener of this proxy (${formatAddress(admin)}), which clients must not reach`;
    report.problem(path, `${text}; name the API itself`);
  }
}

function urlFault(text: string, url: URL): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with `https://` (or `http://`)';
  if (url.username !== '' || url.password !== '') return 'must hold no user name or password; use `credentials`';
  if (text.includes('?')) return 'must hold no query (`?...`); the query of each call is passed on as it is';
  if (text.includes('#')) return 'must hold no fragment (`#...`)';
  if (/[\s\\]/.test(text)) return 'must hold no spaces or backslashes';
  if (/\/\/|\/\.{1,2}(\/|$)|%2e|%2f|%5c/i.test(text.replace(/^[a-z]+:\/\//i, ''))) {
    return 'must hold no `//`, `.` or `..` in its path';
  }
  if (isLinkLocal(url.hostname)) return 'must not be a link-local address or a metadata service';
  return undefined;
}

function checkEnvironment(path: Path, url: URL, environment: Environment, report: Diagnostics): void {
  if (url.protocol === 'http:') {
    const text = '`http:` would send tokens and payments in the clear; use `https:`';
    if (environment === 'production') report.problem(path, text);
    else if (!isLoopbackName(url.hostname)) report.warn(path, text);
  }
  const known = BUILT_IN_HOSTS.get(url.hostname.replace(/\.$/, ''));
  if (known === undefined || known.environments.has(environment)) return;
  const [other] = known.environments;
  const remedy = `set \`environment: ${other}\` on the route, or leave the URL out`;
  report.problem(path, `this is the ${other} host of \`${known.provider}\`, on a ${environment} route; ${remedy}`);
}

const BUILT_IN_HOSTS = builtInHosts();

/** Every host of a built-in provider, with the environments that it serves. */
function builtInHosts(): Map<string, { provider: string; environments: Set<Environment> }> {
  const hosts = new Map<string, { provider: string; environments: Set<Environment> }>();
  for (const provider of providers) {
    for (const environment of ['sandbox', 'production'] as const) {
      const { api, auth = api } = provider.hosts?.[environment] ?? {};
      for (const base of new Set([api, auth])) {
        if (base === undefined) continue;
        const { hostname } = new URL(base);
        const known = hosts.get(hostname) ?? { provider: provider.name, environments: new Set() };
        known.environments.add(environment);
        hosts.set(hostname, known);
      }
    }
  }
  return hosts;
}

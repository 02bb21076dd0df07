import { isIP, isIPv6 } from 'node:net';
import { normalizeHeaderName, NOT_CONFIGURABLE_HEADERS } from '../http/header-list.ts';
import { formatHostPort, type HostPort, splitHostPort } from '../http/host-port.ts';
import {
  allowedRangeError,
  hostWithoutBrackets,
  isLinkLocalAddress,
  isLoopbackName,
  mappedIPv4,
} from '../http/ip-address.ts';
import type { Environment } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import type { Path } from './source.ts';

/** An address to listen on. Port 0 picks a free one. */
export type ListenAddress = HostPort;

/** `METHOD path`, where `*` for the method is any. `prefix`: the path ended in `*`, which is left out here. */
export interface AllowRule {
  readonly method: string;
  readonly path: string;
  readonly prefix: boolean;
}

/** A duration or a size in the source code: the compiler rejects one without a known unit. */
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

/** Regular expressions for editors. A `${...}` reference is as good as a value. */
export const DURATION_PATTERN = '^[0-9]+(ms|s|m|h)$|\\$\\{.+\\}';
export const SIZE_PATTERN = '^[0-9]+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$|\\$\\{.+\\}';

function inUnits(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const match = pattern.exec(text);
  const factor = match === null ? undefined : units[match[2] ?? ''];
  return factor === undefined ? undefined : Number(match?.[1]) * factor;
}

/** Milliseconds of `500ms`, `60s`, `5m` or `1h`; undefined for any other text. */
export function parseDuration(text: string): number | undefined {
  return inUnits(text, /^([0-9]+)(ms|s|m|h)$/, MS);
}

/** Bytes of `64KiB`, `10MiB`, `1MB` or a whole number without a unit; undefined for any other text. */
export function parseSize(text: string): number | undefined {
  return inUnits(text, /^([0-9]+) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$/, BYTES);
}

/** In the largest unit that divides it: `60000` is `1m`. */
export function formatDuration(ms: number): string {
  const unit = ['h', 'm', 's'].find((name) => ms >= (MS[name] ?? 1) && ms % (MS[name] ?? 1) === 0) ?? 'ms';
  return `${ms / (MS[unit] ?? 1)}${unit}`;
}

/** In the largest unit that divides it: `65536` is `64KiB`. */
export function formatSize(bytes: number): string {
  const unit = ['GiB', 'MiB', 'KiB'].find((name) => bytes >= (BYTES[name] ?? 1) && bytes % (BYTES[name] ?? 1) === 0);
  return unit === undefined ? String(bytes) : `${bytes / (BYTES[unit] ?? 1)}${unit}`;
}

/** The value of a text, or what is wrong with the text. */
export type Parsed<T> = { readonly value: T } | { readonly problem: string };

const HINT = '`127.0.0.1:8080` for this machine only, `0.0.0.0:8080` for every interface';

/** Parses `host:port`, an IPv6 host in brackets. `localhost` becomes 127.0.0.1: some systems resolve it to `::1` only. */
export function parseAddress(text: string): Parsed<ListenAddress> {
  const { host: written = '', hasBrackets, port } = splitHostPort(text) ?? {};
  if (port === undefined) return { problem: addressError(text) };
  if (port > 65_535) return { problem: 'the port must be between 0 and 65535 (0 picks a free one)' };
  if (hasBrackets === true) {
    if (!isIPv6(written)) return { problem: 'only an IPv6 address is written in brackets: `[::1]:8080`' };
    return { value: { host: written, port } };
  }
  const host = written.toLowerCase();
  if (host === '' || host === '*') return { problem: `the address to listen on is missing; write ${HINT}` };
  if (!isHostName(host)) return { problem: `not an address to listen on; write ${HINT}` };
  return { value: { host: host === 'localhost' ? '127.0.0.1' : host, port } };
}

function addressError(text: string): string {
  if (/^[0-9]+$/.test(text)) return `the address to listen on is missing; write ${HINT}`;
  if (isIPv6(text) || /^[0-9a-f:]+:[0-9]+$/i.test(text)) {
    return 'an IPv6 address is written in brackets, with a port: `[::1]:8080`';
  }
  if (text.includes('://')) return `must not contain a scheme; write ${HINT}`;
  return `must be an address and a port: ${HINT}`;
}

/** Whether this is an IPv4 address or a DNS name. */
function isHostName(host: string): boolean {
  if (isIP(host) === 4) return true;
  const labels = host.split('.');
  const named = labels.every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i.test(label));
  return named && host.length <= 253 && !/^[0-9]+$/.test(labels.at(-1) ?? '');
}

/** Whether this is a host name or an IP address, with or without a port. IPv6 is in brackets. */
export function isHost(text: string): boolean {
  const { host = '', hasBrackets, port = 0 } = splitHostPort(text) ?? {};
  return (hasBrackets === true ? isIPv6(host) : isHostName(host)) && port <= 65_535;
}

/** Parses the value of a `Host` header. */
export function parseHost(text: string): Parsed<string> {
  if (isHost(text)) return { value: text };
  return { problem: 'must be a host name such as `api.example.com` or `api.example.com:8443`, without scheme or path' };
}

/** Parses the name of a TLS server. */
export function parseServerName(text: string): Parsed<string> {
  if (isHostName(text)) return { value: text };
  return { problem: 'must be a host name such as `api.example.com`, without scheme, port or path' };
}

/** Parses an entry of `allow_addresses`. */
export function parseLinkLocalRange(text: string): Parsed<string> {
  const problem = allowedRangeError(text);
  return problem === undefined ? { value: text } : { problem };
}

/** Host names of cloud metadata services, which give out the credentials of the machine. */
const METADATA_NAMES: readonly string[] = [
  'metadata',
  'metadata.goog',
  'metadata.google.internal',
  'instance-data',
  'instance-data.ec2.internal',
];

/**
 * Whether the host is a link-local address or a cloud metadata service. A payment API is neither, except in networks whose
 * addresses `allowAddresses` has.
 */
export function isLinkLocal(host: string, allowAddresses: readonly string[] = []): boolean {
  const bare = normalizeHost(host);
  return METADATA_NAMES.includes(bare) || isLinkLocalAddress(bare, allowAddresses);
}

/** Whether both listen on the same port of at least one address. */
export function overlaps(a: ListenAddress, b: ListenAddress): boolean {
  return a.port !== 0 && a.port === b.port && (isWildcard(a.host) || isWildcard(b.host) || a.host === b.host);
}

/** Whether a connection from this machine to `host` and `port` arrives at `listen`. */
export function leadsTo(listen: ListenAddress, host: string, port: number): boolean {
  if (port === 0 || port !== listen.port) return false;
  const [bare, own] = [normalizeHost(host), normalizeHost(listen.host)];
  if (bare === own) return true;
  if (isWildcard(own)) return isWildcard(bare) || isLoopbackName(bare);
  const isAnyLoopback = isWildcard(bare) || (isLoopbackName(bare) && isIP(bare) === 0);
  return isAnyLoopback && isLoopbackName(own);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** A host in its normal form: IPv6 without brackets and as short as possible, IPv4-mapped IPv6 as IPv4. */
function normalizeHost(host: string): string {
  const bare = hostWithoutBrackets(host.toLowerCase());
  if (isIP(bare) !== 6) return bare;
  return mappedIPv4(bare) ?? URL.parse(`http://[${bare}]`)?.hostname.slice(1, -1) ?? bare;
}

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** What is wrong with the name of a method; undefined if nothing is. */
function methodError(method: string): string | undefined {
  if (METHODS.includes(method)) return undefined;
  if (METHODS.includes(method.toUpperCase())) return `methods are written in capitals: \`${method.toUpperCase()}\``;
  return `not a method; it must be one of ${METHODS.join(', ')}${didYouMean(method.toUpperCase(), METHODS)}`;
}

/** Parses the name of a method. */
export function parseMethod(text: string): Parsed<string> {
  const problem = methodError(text);
  return problem === undefined ? { value: text } : { problem };
}

/** Parses `GET /v1/payments/*`. */
export function parseAllow(text: string): Parsed<AllowRule> {
  const match = /^(\S+) +(\/\S*)$/.exec(text);
  if (match === null) return { problem: 'must be `METHOD /path`, such as `POST /v1/payments` or `GET /*`' };
  const [, method = '', path = ''] = match;
  const error = method === '*' ? undefined : methodError(method);
  if (error !== undefined) return { problem: error };
  const prefix = path.endsWith('*');
  const exact = prefix ? path.slice(0, -1) : path;
  const problem = pathError(exact);
  return problem === undefined ? { value: { method, path: exact, prefix } } : { problem };
}

/** What is wrong with a path; undefined if a request can have it. */
export function pathError(path: string): string | undefined {
  if (!path.startsWith('/')) return 'must start with `/`';
  if (path.includes('*')) return '`*` is allowed only at the end';
  if (/[?#]/.test(path)) return 'a path must not contain a query or a fragment';
  if (path.includes('//')) return 'a path must not contain `//`';
  if (/(^|\/)\.{1,2}(\/|$)/.test(path)) return 'a path must not contain `.` or `..` segments';
  if (!/^[!-~]*$/.test(path) || /["<>\\^`]/.test(path)) return 'a path must be ASCII without spaces and backslashes';
  return undefined;
}

/** Whether this is a token of RFC 9110 section 5.6.2. */
export function isHeaderName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name);
}

/** Why a route cannot set this header on API requests; undefined if it can. */
export function headerError(name: string): string | undefined {
  if (!isHeaderName(name)) return 'not a header name';
  const plain = normalizeHeaderName(name);
  if (plain === 'authorization')
    return 'cannot be set here: it carries the token; for a fixed key use `provider: static`, for a computed value `sign` with `token: none`';
  if (NOT_CONFIGURABLE_HEADERS.has(plain)) return 'cannot be set here: it belongs to the connection';
  return undefined;
}

/** Whether a header can carry the value: no line break, no character beyond Latin-1 (RFC 9110 section 5.5). */
export function isHeaderValue(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

/**
 * Checks the URL at `path` and returns its origin and path without a trailing slash; undefined if it cannot be used.
 * A URL that does not fit the environment is reported, but returned for further checks.
 */
export function checkedUrl(
  path: Path,
  text: string,
  environment: Environment,
  report: Diagnostics,
  allowAddresses: readonly string[],
): string | undefined {
  const url = URL.parse(text);
  const error =
    url === null ? 'must be an absolute URL such as `https://api.example.com/v1`' : urlError(text, url, allowAddresses);
  if (error !== undefined || url === null) {
    report.problem(path, error ?? 'not a URL');
    return undefined;
  }
  checkEnvironment(path, url, environment, report);
  return `${url.origin}${url.pathname}`.replace(/(?<!\/)\/+$/, '');
}

/** The addresses that this process listens on. */
export interface OwnListeners {
  readonly listen: ListenAddress;
  readonly admin: ListenAddress | undefined;
}

/**
 * Reports a URL that leads to this process. At the proxy it is a loop. At the admin listener it would give clients
 * access to what only this machine may see and do.
 */
export function checkLoop(path: Path, text: string | undefined, own: OwnListeners, report: Diagnostics): void {
  const url = text === undefined ? null : URL.parse(text);
  if (url === null) return;
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const { listen, admin } = own;
  if (leadsTo(listen, url.hostname, port)) {
    report.problem(
      path,
      `leads back to this proxy, which listens on ${formatHostPort(listen)}; write the URL of the API`,
    );
  } else if (admin !== undefined && leadsTo(admin, url.hostname, port)) {
    const text = `leads to the admin listener of this proxy (${formatHostPort(admin)}), which clients must not reach`;
    report.problem(path, `${text}; write the URL of the API`);
  }
}

export const PUBLIC_URL = 'the URL at which clients reach Wakala, such as `https://pay.example.com`';

/** Parses the URL at which clients reach this proxy. @returns it without a slash at its end */
export function parsePublicUrl(text: string): Parsed<string> {
  const url = URL.parse(text);
  if (url === null || !/^https?:\/\//i.test(text)) return { problem: `must be ${PUBLIC_URL}` };
  if (url.username !== '' || url.password !== '') return { problem: 'must not contain a user name or password' };
  if (/[?#]/.test(text)) return { problem: 'must not contain a query or a fragment' };
  const problem = urlFormError(text);
  return problem === undefined ? { value: url.href.replace(/\/$/, '') } : { problem };
}

/** What is wrong with a base URL; undefined if nothing is. */
function urlError(text: string, url: URL, allowAddresses: readonly string[]): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with `https://` (or `http://`)';
  if (url.username !== '' || url.password !== '') return 'must not contain a user name or password; use `credentials`';
  if (text.includes('?')) return 'must not contain a query (`?...`); the query of each request is passed on unchanged';
  if (text.includes('#')) return 'must not contain a fragment (`#...`)';
  const formError = urlFormError(text);
  if (formError !== undefined) return formError;
  if (isLinkLocal(url.hostname, allowAddresses)) {
    return 'must not be a link-local address (unless `allow_addresses` has it) or a metadata service';
  }
  return undefined;
}

function urlFormError(text: string): string | undefined {
  if (/[\s\\]/.test(text)) return 'must not contain spaces or backslashes';
  const path = text.replace(/^[a-z]+:\/\//i, '');
  if (/\/\/|\/\.{1,2}(\/|$)|%2e|%2f|%5c/i.test(path)) return 'must not contain `//`, `.` or `..` in its path';
  return undefined;
}

function checkEnvironment(path: Path, url: URL, environment: Environment, report: Diagnostics): void {
  if (url.protocol === 'http:') {
    const text = '`http:` would send tokens and payments unencrypted; use `https:`';
    if (environment === 'production') report.problem(path, text);
    else if (!isLoopbackName(url.hostname)) report.warn(path, text);
  }
  const known = BUILT_IN_HOSTS.get(url.hostname.replace(/\.$/, ''));
  if (known === undefined || known.environments.has(environment)) return;
  const [other] = known.environments;
  const hint = `set \`environment: ${other}\` on the route, or remove the URL`;
  report.problem(path, `this is the ${other} host of \`${known.provider}\`, on a ${environment} route; ${hint}`);
}

const BUILT_IN_HOSTS = builtInHosts();

/** The hosts of the built-in providers, with the environments that each serves. */
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

import type { RouteConfig } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import { decodeFully, locationOf, relativePath, type UrlLocation } from '../http/url-path.ts';
import { isRequested, type TokenPath } from '../providers/provider.ts';
import type { DiscoveredEndpoints } from '../tokens/discovery.ts';

/** How a path on a route relates to the provider's token endpoints. */
type TokenPathMatch =
  /** An API call. */
  | 'other'
  /** A login as the provider documents it. Wakala responds with a placeholder. */
  | 'login'
  /** A login in another spelling or with another method. Never forwarded. */
  | 'refused';

/** The token endpoints in the configuration of a route. `{name}` in a path stands for one segment. */
export function tokenEndpointsOf({ provider, upstream, authServer }: RouteConfig): UrlLocation[] {
  const exchanges = isRequested(provider.token) ? [provider.token, provider.refresh] : [];
  const urls = exchanges.flatMap((exchange) => {
    const path = exchange?.request.path;
    return path === undefined ? [] : path.startsWith('/') ? authServer + path : path;
  });
  return [...urls, ...provider.tokenPaths.map(({ path }) => upstream + path)].map(locationOf);
}

/** A set of token endpoints. Caches the paths for each base URL, however many routes share it. */
export class TokenEndpoints {
  /** By server, then by path. */
  readonly #servers = new Map<string, Map<string, UrlLocation>>();
  readonly #pathSets = new Map<string, PathSet>();

  constructor(locations: Iterable<UrlLocation>) {
    for (const location of locations) {
      const known = this.#servers.get(location.server) ?? new Map<string, UrlLocation>();
      this.#servers.set(location.server, known.set(location.segments.join('/'), location));
    }
  }

  /** The endpoints under a base URL, relative to it. */
  under(base: UrlLocation): PathSet {
    const key = `${base.server}/${base.normalizedSegments.join('/')}`;
    const known = this.#pathSets.get(key);
    if (known !== undefined) return known;
    const locations = [...(this.#servers.get(base.server)?.values() ?? [])];
    const paths = new PathSet(locations.flatMap((location) => relativePath(base, location) ?? []));
    this.#pathSets.set(key, paths);
    return paths;
  }
}

/** Makes sure that no request reaches a token endpoint through a route, in any spelling of its path. */
export class TokenPathGuard {
  readonly #base: UrlLocation;
  readonly #logins: readonly { readonly method: string; readonly pattern: RegExp }[];
  readonly #configured: PathSet;
  readonly #discoveredEndpoints: DiscoveredEndpoints | undefined;
  #discovered = new PathSet([]);
  #version = 0;

  /**
   * @param endpoints token endpoints of all routes: those under the upstream of this route are refused
   * @param discovered token endpoints from the metadata of issuers (RFC 8414), which can change at run time
   */
  constructor(
    route: RouteConfig,
    endpoints = new TokenEndpoints(tokenEndpointsOf(route)),
    discovered?: DiscoveredEndpoints,
  ) {
    this.#base = locationOf(route.upstream);
    const logins: readonly TokenPath[] = route.tokenPaths === 'placeholder' ? route.provider.tokenPaths : [];
    this.#logins = logins.map(({ method, path }) => ({ method, pattern: new RegExp(`^${pathPattern(path)}$`) }));
    this.#configured = endpoints.under(this.#base);
    this.#discoveredEndpoints = discovered;
  }

  /** @param path raw, without the route's prefix */
  classify(method: string, path: string): TokenPathMatch {
    if (!this.#configured.has(path)) return 'other';
    const isLogin = this.#logins.some((login) => login.method === method && login.pattern.test(path));
    return isLogin ? 'login' : 'refused';
  }

  /**
   * Whether an issuer's metadata names this path as a token endpoint. The metadata is fetched before the first token, so
   * call this right before a request is sent.
   */
  isDiscovered(path: string): boolean {
    const endpoints = this.#discoveredEndpoints;
    if (endpoints === undefined) return false;
    if (this.#version !== endpoints.version) {
      this.#version = endpoints.version;
      this.#discovered = new TokenEndpoints([...endpoints.urls].map(locationOf)).under(this.#base);
    }
    return this.#discovered.has(path);
  }
}

export function tokenPathRefused(): ProxyError {
  return new ProxyError('path_refused', "Requests to the provider's token endpoint are not forwarded.");
}

/** A set of paths that matches every spelling of them. `{name}` stands for one segment. */
class PathSet {
  readonly #exact: ReadonlySet<string>;
  readonly #patterns: readonly RegExp[];

  constructor(paths: readonly string[]) {
    const isPattern = (path: string) => /\{\w+\}/.test(path);
    this.#exact = new Set(paths.filter((path) => !isPattern(path)).flatMap(interpretationsOf));
    this.#patterns = paths.filter(isPattern).map((path) => new RegExp(`^${pathPattern(decodeFully(path))}$`, 'i'));
  }

  has(path: string): boolean {
    if (this.#exact.size === 0 && this.#patterns.length === 0) return false;
    const interpretations = interpretationsOf(path);
    return (
      interpretations.some((interpretation) => this.#exact.has(interpretation)) ||
      this.#patterns.some((pattern) => interpretations.some((interpretation) => pattern.test(interpretation)))
    );
  }
}

/** A regular expression for a token path. `{name}` stands for one segment. */
function pathPattern(path: string): string {
  return path.replace(/\{\w+\}|[.*+?^$()|[\]\\{}]/g, (part) => (part.length > 1 ? '[^/]+' : `\\${part}`));
}

/**
 * Every path that a server might read from this raw path. Servers differ in how often they decode, and in how they treat
 * case, path parameters, encoded slashes, spaces, empty segments and an encoded `?`. All results are in lower case.
 */
function interpretationsOf(path: string): string[] {
  if (!/[%; ]/.test(path)) return [joinSegments(path.toLowerCase().split('/'))];
  return decodingsOf(path).flatMap((decoded) => {
    // An encoded slash may also be data: a refresh token that contains a slash is still one segment.
    const segments = decoded.split('/').map((part) => decodeFully(part).toLowerCase().replaceAll('/', '\u0001'));
    return [segments, withoutQuery(segments)]
      .flatMap((whole) => [whole, whole.map(withoutParameters)])
      .flatMap((whole) => [joinSegments(whole), joinSegments(whole.map((segment) => segment.trim()))]);
  });
}

/** Longest chain of servers for which each decoding step is tried. Beyond it, only the fully decoded path. */
const MAX_DECODINGS = 8;

/** The path itself, decoded once, decoded twice, and so on until nothing changes. */
function decodingsOf(path: string): string[] {
  const decodings = [path];
  for (let next = decodeOnce(path); next !== decodings.at(-1); next = decodeOnce(next)) {
    if (decodings.length === MAX_DECODINGS) return [...decodings, decodeFully(path)];
    decodings.push(next);
  }
  return decodings;
}

function decodeOnce(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** Joins segments without empty ones: `/a/b`. */
function joinSegments(segments: readonly string[]): string {
  return segments.filter((segment) => segment !== '').reduce((path, segment) => `${path}/${segment}`, '');
}

/** Some servers do not treat path parameters (`;x`, RFC 3986 3.3) as a part of the segment. */
function withoutParameters(segment: string): string {
  return segment.split(';', 1)[0] ?? '';
}

/** A server that parses the decoded path as a URL ends it at a decoded `?` or `#`. */
function withoutQuery(segments: readonly string[]): string[] {
  const [path = ''] = segments.join('/').split(/[?#]/, 1);
  return path.split('/');
}

import type { RouteConfig } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import { decodeFully, relativePath, type UrlLocation, locationOf } from '../http/url-path.ts';
import { isFixed, type TokenPath } from '../providers/provider.ts';
import type { FoundEndpoints } from '../tokens/discovery.ts';

/** What a path below a route is to the token endpoint. */
type TokenPathMatch =
  /** An API call like any other. */
  | 'other'
  /** One of the provider's logins, spelled as documented: answered here. */
  | 'login'
  /** A login in another spelling or with another method: never forwarded. */
  | 'refused';

/** The token endpoints that the configuration of a route names. `{name}` in a path stands for one segment. */
export function tokenEndpointsOf({ provider, upstream, authServer }: RouteConfig): UrlLocation[] {
  const exchanges = isFixed(provider.token) ? [] : [provider.token, provider.refresh];
  const urls = exchanges.flatMap((exchange) => {
    const path = exchange?.request.path;
    return path === undefined ? [] : path.startsWith('/') ? authServer + path : path;
  });
  return [...urls, ...provider.tokenPaths.map(({ path }) => upstream + path)].map(locationOf);
}

/** Token endpoints, and those of them that are below an API. Each API is looked up once, however many routes lead there. */
export class TokenEndpoints {
  /** By server, then by their path in any spelling. */
  readonly #servers = new Map<string, Map<string, UrlLocation>>();
  readonly #pathSets = new Map<string, PathSet>();

  constructor(places: Iterable<UrlLocation>) {
    for (const place of places) {
      const known = this.#servers.get(place.server) ?? new Map<string, UrlLocation>();
      this.#servers.set(place.server, known.set(place.segments.join('/'), place));
    }
  }

  under(base: UrlLocation): PathSet {
    const key = `${base.server}/${base.normalizedSegments.join('/')}`;
    const known = this.#pathSets.get(key);
    if (known !== undefined) return known;
    const places = [...(this.#servers.get(base.server)?.values() ?? [])];
    const paths = new PathSet(places.flatMap((place) => relativePath(base, place) ?? []));
    this.#pathSets.set(key, paths);
    return paths;
  }
}

/** Keeps the provider's real token endpoint out of reach: in any spelling, a client's login never leaves. */
export class TokenPathGuard {
  readonly #base: UrlLocation;
  readonly #logins: readonly { readonly method: string; readonly pattern: RegExp }[];
  readonly #configured: PathSet;
  readonly #discoveredEndpoints: FoundEndpoints | undefined;
  #discovered = new PathSet([]);
  #version = 0;

  /**
   * @param endpoints token endpoints, also of other routes: those on the upstream of this route are refused
   * @param found those that issuers name while this runs
   */
  constructor(route: RouteConfig, endpoints = new TokenEndpoints(tokenEndpointsOf(route)), found?: FoundEndpoints) {
    this.#base = locationOf(route.upstream);
    const logins: readonly TokenPath[] = route.tokenPaths === 'placeholder' ? route.provider.tokenPaths : [];
    this.#logins = logins.map(({ method, path }) => ({ method, pattern: new RegExp(`^${pathPattern(path)}$`) }));
    this.#configured = endpoints.under(this.#base);
    this.#discoveredEndpoints = found;
  }

  /** `path` is raw and below the prefix. */
  classify(method: string, path: string): TokenPathMatch {
    if (!this.#configured.has(path)) return 'other';
    const login = this.#logins.some((exact) => exact.method === method && exact.pattern.test(path));
    return login ? 'login' : 'refused';
  }

  /**
   * Whether an issuer named this path as a token endpoint. What it named is known once a token is there, so this is to
   * be asked right before a request is sent.
   */
  isDiscovered(path: string): boolean {
    const found = this.#discoveredEndpoints;
    if (found === undefined) return false;
    if (this.#version !== found.version) {
      this.#version = found.version;
      this.#discovered = new TokenEndpoints([...found.urls].map(locationOf)).under(this.#base);
    }
    return this.#discovered.has(path);
  }
}

export function tokenPathRefused(): ProxyError {
  return new ProxyError('path_refused', "The provider's token endpoint is not reachable through wakala.");
}

/** Paths that are known in any spelling. `{name}` stands for one segment. */
class PathSet {
  readonly #plain: ReadonlySet<string>;
  readonly #patterns: readonly RegExp[];

  constructor(paths: readonly string[]) {
    const isPattern = (path: string) => /\{\w+\}/.test(path);
    this.#plain = new Set(paths.filter((path) => !isPattern(path)).flatMap(interpretationsOf));
    this.#patterns = paths.filter(isPattern).map((path) => new RegExp(`^${pathPattern(decodeFully(path))}$`, 'i'));
  }

  has(path: string): boolean {
    if (this.#plain.size === 0 && this.#patterns.length === 0) return false;
    const readings = interpretationsOf(path);
    return (
      readings.some((reading) => this.#plain.has(reading)) ||
      this.#patterns.some((pattern) => readings.some((reading) => pattern.test(reading)))
    );
  }
}

/** A regular expression for a token path; `{name}` stands for one segment. */
function pathPattern(path: string): string {
  return path.replace(/\{\w+\}|[.*+?^$()|[\]\\{}]/g, (part) => (part.length > 1 ? '[^/]+' : `\\${part}`));
}

/** Every way in which some server might read a path below a route, in lower case: for some, case makes no difference. */
function interpretationsOf(path: string): string[] {
  if (!/[%; ]/.test(path)) return [joinSegments(path.toLowerCase().split('/'))];
  return decodingsOf(path).flatMap((level) => {
    // An encoded slash may also be data: a refresh token with a slash in it is still one segment.
    const read = level.split('/').map((segment) => decodeFully(segment).toLowerCase().replaceAll('/', '\u0001'));
    const wholes = [read, withoutQuery(read)];
    const bare = wholes.flatMap((segments) => [segments, segments.map(withoutParameters)]);
    return bare.flatMap((segments) => [joinSegments(segments), joinSegments(segments.map(trimmed))]);
  });
}

/** Spaces around a segment are dropped by some servers; one of nothing else may also be a name. */
function trimmed(segment: string): string {
  return segment.trim();
}

/** Servers behind each other that each decode what they got: more are taken for any number of them. */
const MAX_DECODINGS = 8;

/** A path as it is, decoded once, twice, and so on until nothing is left to decode: each may be split into segments. */
function decodingsOf(path: string): string[] {
  const levels = [path];
  for (let next = decodeOnce(path); next !== levels.at(-1); next = decodeOnce(next)) {
    if (levels.length === MAX_DECODINGS) return [...levels, decodeFully(path)];
    levels.push(next);
  }
  return levels;
}

function decodeOnce(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** Without empty segments and a trailing slash. */
function joinSegments(segments: readonly string[]): string {
  return segments.filter((segment) => segment !== '').reduce((whole, segment) => `${whole}/${segment}`, '');
}

/** Path parameters (`;x`) are no part of a segment for servers that know them. */
function withoutParameters(segment: string): string {
  return segment.split(';', 1)[0] ?? '';
}

/** A `?` or `#` that came to light ends the path for a server that parses what it decoded. */
function withoutQuery(segments: readonly string[]): string[] {
  const [path = ''] = segments.join('/').split(/[?#]/, 1);
  return path.split('/');
}

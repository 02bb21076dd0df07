import type { Route } from '../config/config.ts';
import type { TokenPath } from '../providers/provider.ts';
import { decodedFully } from './target.ts';

/** What a path below a route is to the token endpoint. */
export type TokenPathVerdict =
  /** An API call like any other. */
  | 'other'
  /** One of the provider's logins, spelled as documented: answered here. */
  | 'login'
  /** A login in another spelling or with another method: never forwarded. */
  | 'refused';

/** Keeps the provider's real token endpoint out of reach: in any spelling, a client's login never leaves. */
export class TokenPathGuard {
  readonly #paths: readonly TokenPath[];
  readonly #exact: readonly { readonly method: string; readonly pattern: RegExp }[];
  readonly #anySpelling: readonly RegExp[];

  constructor(route: Route) {
    this.#paths = route.tokenPaths === 'placeholder' ? route.provider.tokenPaths : [];
    this.#exact = this.#paths.map(({ method, path }) => ({ method, pattern: patternOf(path, '') }));
    this.#anySpelling = route.provider.tokenPaths.map(({ path }) => patternOf(path, 'i'));
  }

  /** `path` is raw and below the prefix. */
  judge(method: string, path: string): TokenPathVerdict {
    if (this.#anySpelling.length === 0) return 'other';
    const readings = readingsOf(path);
    if (!this.#anySpelling.some((pattern) => readings.some((reading) => pattern.test(reading)))) return 'other';
    const login = this.#exact.some((exact) => exact.method === method && exact.pattern.test(path));
    return login ? 'login' : 'refused';
  }
}

/** A pattern for a token path; `{name}` stands for one segment. */
function patternOf(path: string, flags: '' | 'i'): RegExp {
  const escaped = path.replace(/\{\w+\}|[.*+?^$()|[\]\\]/g, (part) => (part.startsWith('{') ? '[^/]+' : `\\${part}`));
  return new RegExp(`^${escaped}$`, flags);
}

/** Every way in which some server might read a path below a route. */
function readingsOf(path: string): string[] {
  if (!/[%; ]/.test(path)) return [joined(path.split('/'))];
  return levelsOf(path).flatMap((level) => {
    // An encoded slash may also be data: a refresh token with a slash in it is still one segment.
    const read = level.split('/').map((segment) => decodedFully(segment).replaceAll('/', '\u0001'));
    const wholes = [read, withoutQuery(read)];
    const bare = wholes.flatMap((segments) => [segments, segments.map(withoutParameters)]);
    return bare.flatMap((segments) => [joined(segments), joined(segments.map(trimmed))]);
  });
}

/** Spaces around a segment are dropped by some servers; one of nothing else may also be a name. */
function trimmed(segment: string): string {
  return segment.trim();
}

/** Servers behind each other that each decode what they got: more are taken for any number of them. */
const MAX_LEVELS = 8;

/** A path as it is, decoded once, twice, and so on until nothing is left to decode: each may be split into segments. */
function levelsOf(path: string): string[] {
  const levels = [path];
  for (let next = decodedOnce(path); next !== levels.at(-1); next = decodedOnce(next)) {
    if (levels.length === MAX_LEVELS) return [...levels, decodedFully(path)];
    levels.push(next);
  }
  return levels;
}

function decodedOnce(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** Without empty segments and a trailing slash. */
function joined(segments: readonly string[]): string {
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

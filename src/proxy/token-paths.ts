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
    const spelled = canonical(path);
    if (!this.#anySpelling.some((pattern) => pattern.test(spelled))) return 'other';
    const login = this.#exact.some((exact) => exact.method === method && exact.pattern.test(path));
    return login ? 'login' : 'refused';
  }
}

/** A pattern for a token path; `{name}` stands for one segment. */
function patternOf(path: string, flags: '' | 'i'): RegExp {
  const escaped = path.replace(/\{\w+\}|[.*+?^$()|[\]\\]/g, (part) => (part.startsWith('{') ? '[^/]+' : `\\${part}`));
  return new RegExp(`^${escaped}$`, flags);
}

/**
 * As the most lenient server might read it: decoded, then without a query or fragment that came to light, without path
 * parameters, empty segments and a trailing slash.
 */
function canonical(path: string): string {
  const [decoded = ''] = decodedFully(path).split(/[?#]/, 1);
  return decoded
    .split('/')
    .map((segment) => segment.split(';', 1)[0]?.trim() ?? '')
    .filter((segment) => segment !== '')
    .reduce((whole, segment) => `${whole}/${segment}`, '');
}

import { decodeFully } from '../http/url-path.ts';

/**
 * Puts the token into a query parameter (`token_query`). The client's parameters of that name are removed in every
 * spelling. All other bytes of the query stay as they are.
 */
export class TokenQuery {
  readonly #name: string;
  readonly #normalizedName: string;

  constructor(name: string) {
    this.#name = name;
    this.#normalizedName = normalizedName(name);
  }

  /** The parameter with the token: `name=value`. */
  parameter(token: string): string {
    return `${encodeURIComponent(this.#name)}=${encodeURIComponent(token)}`;
  }

  /**
   * @param query the client's, with its question mark, or empty
   * @param parameter of the token
   */
  withParameter(query: string, parameter: string): string {
    // Some servers split at `;` too.
    const parts = query.slice(1).split(/([&;])/);
    let kept = '';
    for (let i = 0; i < parts.length; i += 2) {
      const part = parts[i] ?? '';
      if (this.#isNamed(part)) continue;
      kept += kept === '' ? part : (parts[i - 1] ?? '') + part;
    }
    return kept === '' || kept.endsWith('&') ? `?${kept}${parameter}` : `?${kept}&${parameter}`;
  }

  #isNamed(part: string): boolean {
    const [name = ''] = part.split('=', 1);
    return normalizedName(name) === this.#normalizedName;
  }
}

/**
 * The name as the most lenient server reads it: decoded, in lower case, without an index (`key[]`). PHP reads a space and
 * a dot as `_`, and drops leading spaces.
 */
function normalizedName(name: string): string {
  const [bare = ''] = decodeFully(name.replaceAll('+', ' ')).trim().toLowerCase().split(/[[=]/, 1);
  return bare.replace(/[ .]/g, '_');
}

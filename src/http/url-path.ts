import { hostWithoutBrackets, isLoopbackName, mappedIPv4 } from './ip-address.ts';

/**
 * Decodes percent escapes until none are left: `%2541` becomes `A`. No chain of servers that each decode once can see
 * more than this. Each escape becomes one character (a byte), not UTF-8. Runs in linear time.
 */
export function decodeFully(path: string): string {
  if (!path.includes('%')) return path;
  // A decoded character may complete an escape that began before it, so the output is a stack.
  const decoded: string[] = [];
  for (const character of path) {
    decoded.push(character);
    for (let hex = escapeAtEnd(decoded); hex !== undefined; hex = escapeAtEnd(decoded)) {
      decoded.splice(-3, 3, String.fromCharCode(parseInt(hex, 16)));
    }
  }
  return decoded.join('');
}

function escapeAtEnd(characters: readonly string[]): string | undefined {
  if (characters.at(-3) !== '%') return undefined;
  const hex = `${characters.at(-2)}${characters.at(-1)}`;
  return /^[0-9a-f]{2}$/i.test(hex) ? hex : undefined;
}

/** Server and path of a URL, normalized so that different spellings of one endpoint compare as equal. */
export interface UrlLocation {
  /**
   * Host and port. All loopback names and addresses are `localhost`. The default ports of http and https are both
   * empty.
   */
  readonly server: string;
  /** Path segments as written. A placeholder `{name}` stays as it is. */
  readonly segments: readonly string[];
  /** Path segments, fully decoded and in lower case, since servers differ in which spellings they treat as equal. */
  readonly normalizedSegments: readonly string[];
}

export function locationOf(url: string): UrlLocation {
  const { hostname, port, pathname } = new URL(url);
  const host = hostWithoutBrackets(hostname);
  const address = mappedIPv4(host) ?? host;
  const isThisMachine = isLoopbackName(address) || address === '0.0.0.0' || address === '::';
  const path = pathname.replace(/%7B(\w+)%7D/gi, '{$1}');
  const segments = path.split('/').filter((segment) => segment !== '');
  return {
    server: `${isThisMachine ? 'localhost' : address}:${port}`,
    segments,
    normalizedSegments: segments.map((segment) => decodeFully(segment).toLowerCase()),
  };
}

/**
 * The path of a location relative to a base URL, as written: `/token`, or empty if it is the base.
 * @returns undefined if it is on another server or outside the base path
 */
export function relativePath(base: UrlLocation, location: UrlLocation): string | undefined {
  if (base.server !== location.server) return undefined;
  const isWithin = base.normalizedSegments.every((segment, i) => segment === location.normalizedSegments[i]);
  if (!isWithin) return undefined;
  return location.segments.slice(base.segments.length).reduce((path, segment) => `${path}/${segment}`, '');
}

import { hostWithoutMarks, isLoopbackName, mappedIPv4 } from './ip-address.ts';

/** Percent escapes undone as often as there are any, so that no number of servers behind each other sees more. */
export function decodedFully(path: string): string {
  if (!path.includes('%')) return path;
  // What an escape turns into may complete the one before it: undone on a stack, in one pass.
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

/** Where a URL leads, in a form in which different spellings are the same. */
export interface Place {
  /** Host and port. All names and addresses of this machine are one host, and the ports of http and https one port. */
  readonly server: string;
  /** Of the path, as they are written. `{name}` stays as it is. */
  readonly segments: readonly string[];
  /** The same without percent-encoding and in lower case, since servers differ in what they take for the same. */
  readonly plain: readonly string[];
}

export function placeOf(text: string): Place {
  const { hostname, port, pathname } = new URL(text);
  const host = hostWithoutMarks(hostname);
  const address = mappedIPv4(host) ?? host;
  const isHere = isLoopbackName(address) || address === '0.0.0.0' || address === '::';
  const path = pathname.replace(/%7B(\w+)%7D/gi, '{$1}');
  const segments = path.split('/').filter((segment) => segment !== '');
  return {
    server: `${isHere ? 'localhost' : address}:${port}`,
    segments,
    plain: segments.map((segment) => decodedFully(segment).toLowerCase()),
  };
}

/**
 * The path of a place below a base URL, as it is written: `/token`, or empty if it is the base itself.
 * @returns undefined if it is on another server, or not below the base
 */
export function pathBelow(base: Place, place: Place): string | undefined {
  if (base.server !== place.server || !base.plain.every((segment, i) => segment === place.plain[i])) return undefined;
  return place.segments.slice(base.segments.length).reduce((path, segment) => `${path}/${segment}`, '');
}

import { hostWithoutMarks, mappedIPv4 } from './ip.ts';
import { isLoopbackName } from './loopback.ts';
import { decodedFully } from './percent.ts';

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

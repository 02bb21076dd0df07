/** How a lenient server may read a path. */
type Reading = (path: string) => string;

function percentDecode(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

function parseAsUrl(path: string): string {
  return URL.parse(`http://upstream.test${path}`)?.pathname ?? path;
}

/** RFC 3986, section 5.2.4. */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  return kept.join('/').replace(/^(?!\/)/, '/');
}

const READINGS: readonly Reading[] = [
  percentDecode,
  (path) => percentDecode(percentDecode(path)),
  parseAsUrl,
  removeDotSegments,
  (path) => path.replace(/;[^/]*/g, ''),
  (path) => path.replaceAll('\\', '/'),
  (path) => path.replace(/\/{2,}/g, '/'),
  (path) => path.split(/[?#]/, 1)[0] ?? '',
  (path) => path.replace(/[\t\n\r]/g, ''),
  (path) => path.split('\0', 1)[0] ?? '',
];

/** All results of two readings in sequence, with and without removal of dot segments. */
export function possibleReadings(path: string): Set<string> {
  const seen = new Set<string>();
  for (const first of READINGS) {
    const once = first(path);
    for (const second of READINGS) {
      const twice = second(once);
      seen.add(twice).add(removeDotSegments(twice));
    }
  }
  return seen;
}

/** Lower case without trailing slashes, because many servers ignore these differences. */
export function normalized(path: string): string {
  return path.toLowerCase().replace(/\/+$/, '');
}

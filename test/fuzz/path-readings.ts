/** How servers that forgive too much may read a path. All start and end with a path. */
type Lens = (path: string) => string;

function percentDecoded(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

function whatwg(path: string): string {
  return URL.parse(`http://upstream.test${path}`)?.pathname ?? path;
}

/** RFC 3986 5.2.4, on any separator. */
function withoutDots(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  return kept.join('/').replace(/^(?!\/)/, '/');
}

const LENSES: readonly Lens[] = [
  percentDecoded,
  (path) => percentDecoded(percentDecoded(path)),
  whatwg,
  withoutDots,
  (path) => path.replace(/;[^/]*/g, ''),
  (path) => path.replaceAll('\\', '/'),
  (path) => path.replace(/\/{2,}/g, '/'),
  (path) => path.split(/[?#]/, 1)[0] ?? '',
  (path) => path.replace(/[\t\n\r]/g, ''),
  (path) => path.split('\0', 1)[0] ?? '',
];

/** Everything that this path may be taken for, each lens put before each other one, and dots resolved at the end. */
export function readings(path: string): Set<string> {
  const seen = new Set<string>();
  for (const first of LENSES) {
    const once = first(path);
    for (const second of LENSES) {
      const twice = second(once);
      seen.add(twice).add(withoutDots(twice));
    }
  }
  return seen;
}

/** The same without what servers tend not to tell apart: letter case and a slash at the end. */
export function loosened(path: string): string {
  return path.toLowerCase().replace(/\/+$/, '');
}

/** An entry of `calls`: `POST /v1/payments/{id}`, `* /v1/*`. Compared with raw paths: no escape is decoded. */
export interface CallPattern {
  /** As in the rule. */
  readonly text: string;
  /** Undefined: any. */
  readonly method: string | undefined;
  readonly segments: readonly Segment[];
  /** Whether more may follow the last segment, which is then a prefix. */
  readonly isPrefix: boolean;
}

/** A literal segment of a path, or a placeholder for any but an empty one. */
type Segment = string | { readonly name: string };

/** Segments of the path by the names of their placeholders. */
export type PathSegments = ReadonlyMap<string, string>;

/** Parses an entry of `calls`. @returns the pattern, or what is wrong with the text */
export function parseCall(text: string): CallPattern | { readonly problem: string } {
  const [, method = '', path = ''] = /^(\S+) +(\/\S*)$/.exec(text) ?? [];
  if (path === '')
    return { problem: 'must be `METHOD /path`, such as `POST /v1/payments` or `GET /accounts/{account}`' };
  if (method !== '*' && !/^[A-Z][A-Z-]*$/.test(method)) {
    return { problem: `\`${method}\` is not a method; methods are written in capitals, and \`*\` is any` };
  }
  const isPrefix = path.endsWith('*');
  const parts = (isPrefix ? path.slice(0, -1) : path).slice(1).split('/');
  const segments = parts.map((part): Segment => {
    const name = /^\{([a-z][a-z0-9_]*)\}$/.exec(part)?.[1];
    return name === undefined ? part : { name };
  });
  const problem = pathProblem(segments, isPrefix);
  return problem === undefined
    ? { text, method: method === '*' ? undefined : method, segments, isPrefix }
    : { problem };
}

function pathProblem(segments: readonly Segment[], isPrefix: boolean): string | undefined {
  const names = segments.flatMap((segment) => (typeof segment === 'string' ? [] : segment.name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) return `has \`{${twice}}\` twice`;
  if (isPrefix && typeof segments.at(-1) !== 'string') return 'a placeholder is a whole segment; write `/*` after it';
  for (const segment of segments) {
    if (typeof segment !== 'string') continue;
    if (segment.includes('*')) return '`*` is allowed only at the end';
    if (/[{}]/.test(segment)) return 'a placeholder is a whole segment: `/accounts/{account}`';
    if (/[?#]/.test(segment)) return 'a path must not contain a query or a fragment';
    if (segment === '.' || segment === '..') return 'a path must not contain `.` or `..` segments';
    if (!/^[!-~]*$/.test(segment) || /["<>\\^`]/.test(segment))
      return 'a path must be ASCII without spaces and backslashes';
  }
  return segments.slice(0, -1).includes('') ? 'a path must not contain `//`' : undefined;
}

/** @returns the segments that the placeholders stand for; undefined if the pattern does not match */
export function matchCall(pattern: CallPattern, method: string, path: readonly string[]): PathSegments | undefined {
  const { segments, isPrefix } = pattern;
  if (pattern.method !== undefined && pattern.method !== method) return undefined;
  if (isPrefix ? path.length < segments.length : path.length !== segments.length) return undefined;
  const found = new Map<string, string>();
  for (const [i, segment] of segments.entries()) {
    const actual = path[i] ?? '';
    if (typeof segment !== 'string') {
      if (actual === '') return undefined;
      found.set(segment.name, actual);
    } else if (isPrefix && i === segments.length - 1) {
      if (!actual.startsWith(segment)) return undefined;
    } else if (actual !== segment) {
      return undefined;
    }
  }
  return found;
}

/** The one path that the pattern matches. Undefined if it matches several. */
export function exactPath({ segments, isPrefix }: CallPattern): string | undefined {
  const isExact = !isPrefix && segments.every((segment) => typeof segment === 'string');
  return isExact ? `/${segments.join('/')}` : undefined;
}

/** The segments of a raw path. */
export function pathSegments(path: string): string[] {
  return path.slice(1).split('/');
}

/** Whether some call matches both. */
export function overlap(a: CallPattern, b: CallPattern): boolean {
  if (a.method !== undefined && b.method !== undefined && a.method !== b.method) return false;
  const isEnd = (pattern: CallPattern, i: number) => pattern.isPrefix && i === pattern.segments.length - 1;
  const [short, long] = a.segments.length <= b.segments.length ? [a, b] : [b, a];
  if (long.segments.length > short.segments.length && !short.isPrefix) return false;
  return short.segments.every((segment, i) => {
    const other = long.segments[i] ?? '';
    if (typeof segment !== 'string') return other !== '' || isEnd(long, i);
    if (typeof other !== 'string') return segment !== '' || isEnd(short, i);
    return (
      segment === other ||
      (isEnd(short, i) && other.startsWith(segment)) ||
      (isEnd(long, i) && segment.startsWith(other))
    );
  });
}

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
];

/** A duration in its two largest units, `59 min 59 s`; a short one as `1.5 s` or `40 ms`. `ms` is not negative. */
export function formatSeconds(ms: number): string {
  if (ms < 950) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${Math.round(ms / 100) / 10} s`;
  let left = Math.round(ms / 1000) * 1000;
  const parts: string[] = [];
  for (const [name, unit] of UNITS) {
    if (left >= unit) parts.push(`${Math.floor(left / unit)} ${name}`);
    else if (parts.length > 0) break;
    left %= unit;
  }
  return parts.slice(0, 2).join(' ');
}

/** `a`, `a and b`, `a, b and c`. */
export function formatList(items: readonly string[]): string {
  const last = items.at(-1) ?? '';
  return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} and ${last}`;
}

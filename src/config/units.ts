const MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** As regular expressions for editors, to which a reference is as good as a value. */
export const DURATION_PATTERN = '^[0-9]+(ms|s|m|h)$|\\$\\{.+\\}';
export const SIZE_PATTERN = '^[0-9]+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$|\\$\\{.+\\}';

function inUnits(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const match = pattern.exec(text);
  const factor = match === null ? undefined : units[match[2] ?? ''];
  return factor === undefined ? undefined : Number(match?.[1]) * factor;
}

/** Milliseconds of `500ms`, `60s`, `5m` or `1h`; undefined if it is none of these. */
export function parseDuration(text: string): number | undefined {
  return inUnits(text, /^([0-9]+)(ms|s|m|h)$/, MS);
}

/** Bytes of `64KiB`, `10MiB`, `1MB`, or of a plain whole number; undefined if it is none of these. */
export function parseSize(text: string): number | undefined {
  return inUnits(text, /^([0-9]+) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$/, BYTES);
}

export function formatDuration(ms: number): string {
  const unit = ['h', 'm', 's'].find((name) => ms >= (MS[name] ?? 1) && ms % (MS[name] ?? 1) === 0) ?? 'ms';
  return `${ms / (MS[unit] ?? 1)}${unit}`;
}

export function formatSize(bytes: number): string {
  const unit = ['GiB', 'MiB', 'KiB'].find((name) => bytes >= (BYTES[name] ?? 1) && bytes % (BYTES[name] ?? 1) === 0);
  return unit === undefined ? String(bytes) : `${bytes / (BYTES[unit] ?? 1)}${unit}`;
}

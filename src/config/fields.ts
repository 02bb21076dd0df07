import { z } from 'zod';
import { parseAddress } from './address.ts';
import { DURATION_PATTERN, formatDuration, formatSize, parseDuration, parseSize, SIZE_PATTERN } from './units.ts';

interface Bounds {
  readonly min: number;
  readonly max: number;
}

export function text(description: string) {
  return z.string().meta({ description });
}

/** A mapping of free names to texts. */
export function texts(description: string) {
  return z.record(z.string(), z.string()).meta({ description });
}

/** `60s`, as milliseconds. */
export function duration(description: string, bounds: Bounds, defaultText?: string) {
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number'
          ? `a duration needs a unit: \`${input}s\` for seconds, \`${input}ms\` for milliseconds`
          : 'must be a duration such as `500ms`, `60s`, `5m` or `1h`',
    })
    .transform((written, context) => {
      const ms = parseDuration(written);
      if (ms !== undefined && ms >= bounds.min && ms <= bounds.max) return ms;
      const range = `must be between ${formatDuration(bounds.min)} and ${formatDuration(bounds.max)}`;
      const message =
        ms === undefined ? 'must be a duration: a whole number and a unit, `500ms`, `60s`, `5m` or `1h`' : range;
      context.issues.push({ code: 'custom', message, input: written });
      return z.NEVER;
    })
    .meta({ description, pattern: DURATION_PATTERN, ...(defaultText && { fallback: defaultText }) });
}

/** `10MiB`, or a number of bytes, as bytes. */
export function size(description: string, bounds: Bounds, defaultText: string) {
  const message = 'must be a size such as `64KiB`, `10MiB`, `1MB`, or a whole number of bytes';
  return z
    .union([z.string().meta({ pattern: SIZE_PATTERN }), z.int()], { error: message })
    .transform((written, context) => {
      const bytes = typeof written === 'number' ? written : parseSize(written);
      if (bytes !== undefined && bytes >= bounds.min && bytes <= bounds.max) return bytes;
      const range = `must be between ${formatSize(bounds.min)} and ${formatSize(bounds.max)}`;
      context.issues.push({ code: 'custom', message: bytes === undefined ? message : range, input: written });
      return z.NEVER;
    })
    .meta({ description, fallback: defaultText });
}

/** A whole number within bounds. */
export function count(description: string, { min, max }: Bounds, fallback?: number) {
  const message = `must be a whole number between ${min} and ${max}`;
  return z
    .int({ error: message })
    .min(min, { error: message })
    .max(max, { error: message })
    .meta({ description, ...(fallback !== undefined && { fallback }) });
}

/** `host:port`. */
export const address = z.string().transform((written, context) => {
  const parsed = parseAddress(written);
  if ('value' in parsed) return parsed.value;
  context.issues.push({ code: 'custom', message: parsed.problem, input: written });
  return z.NEVER;
});

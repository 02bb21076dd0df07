import { z } from 'zod';
import { type DurationText, type Parsed, parseDuration, parseSize, SIZE_PATTERN, type SizeText } from './values.ts';

interface Documentation {
  /** Whole sentences, for editors and for docs/configuration-reference.md. */
  readonly doc: string;
  /** Example values, for editors. */
  readonly examples?: readonly unknown[];
}

/**
 * A key with its documentation. Without `default`, `fallback` or `omitted` the key is required.
 * - `default`: the value that the schema gives a key that is left out, as the file would have it.
 * - `fallback`: the same, but the provider or `wakala dev` may have another value; code applies it with `fallbackOf`.
 * - `omitted`: a text that says what applies without the key, such as `the provider's`. If there is a `default` too, the
 *   documentation shows this text instead.
 * @throws Error if the schema does not accept its own default
 */
export function field<S extends z.ZodType>(
  schema: S,
  about: Documentation & { readonly default: z.input<S>; readonly omitted?: string },
): z.ZodPrefault<S>;
export function field<S extends z.ZodType>(
  schema: S,
  about: Documentation & ({ readonly fallback: z.input<S> } | { readonly omitted: string }),
): z.ZodOptional<S>;
export function field<S extends z.ZodType>(schema: S, about: Documentation): S;
export function field(
  schema: z.ZodType,
  about: Documentation & { readonly default?: unknown; readonly fallback?: unknown; readonly omitted?: string },
): z.ZodType {
  const { doc, default: value = about.fallback, omitted, examples } = about;
  const documented = schema.meta({
    ...schema.meta(),
    description: doc,
    ...(value !== undefined && { fallback: value }),
    ...(omitted !== undefined && { omitted }),
    ...(examples !== undefined && { shown: examples }),
  });
  if (value !== undefined) {
    const { success, error } = schema.safeParse(value);
    if (!success) throw new Error(`The default ${JSON.stringify(value)} of a key is not valid: ${error.message}`);
  }
  if (about.default !== undefined) return documented.prefault(about.default);
  return about.fallback === undefined && omitted === undefined ? documented : documented.optional();
}

/** The parsed `fallback` of a field. */
export function fallbackOf<S extends z.ZodType>(optional: z.ZodOptional<S>): z.output<S> {
  const schema = optional.unwrap();
  return schema.parse(schema.meta()?.['fallback']);
}

export const text = z.string();
export const flag = z.boolean();
/** A mapping of free names to texts. */
export const texts = z.record(text, text);

/** A text that `parse` turns into something else. */
export function parsed<T>(parse: (text: string) => Parsed<T>) {
  return text.transform((written, context) => {
    const result = parse(written);
    if ('value' in result) return result.value;
    context.issues.push({ code: 'custom', message: result.problem, input: written });
    return z.NEVER;
  });
}

/** `60s`, as milliseconds. */
export function duration(min: DurationText, max: DurationText) {
  const [minMs, maxMs] = [parseDuration(min), parseDuration(max)];
  if (minMs === undefined || maxMs === undefined) throw new Error(`not a range of durations: ${min} to ${max}`);
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number'
          ? `a duration needs a unit: \`${input}s\` for seconds, \`${input}ms\` for milliseconds`
          : 'must be a duration such as `500ms`, `60s`, `5m` or `1h`',
    })
    .transform((written, context) => {
      const ms = parseDuration(written);
      if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
      const message =
        ms === undefined
          ? 'must be a whole number and a unit, such as `500ms`, `60s`, `5m` or `1h`'
          : `must be between ${min} and ${max}`;
      context.issues.push({ code: 'custom', message, input: written });
      return z.NEVER;
    })
    .meta({ kind: 'duration', range: [min, max] });
}

/** `10MiB`, or a number of bytes, as bytes. */
export function size(min: SizeText, max: SizeText) {
  const [minBytes, maxBytes] = [parseSize(min), parseSize(max)];
  if (minBytes === undefined || maxBytes === undefined) throw new Error(`not a range of sizes: ${min} to ${max}`);
  const message = 'must be a size such as `64KiB`, `10MiB`, `1MB`, or a whole number of bytes';
  return z
    .union([text.meta({ pattern: SIZE_PATTERN }), z.int()], { error: message })
    .transform((written, context) => {
      const bytes = typeof written === 'number' ? written : parseSize(written);
      if (bytes !== undefined && bytes >= minBytes && bytes <= maxBytes) return bytes;
      const range = `must be between ${min} and ${max}`;
      context.issues.push({ code: 'custom', message: bytes === undefined ? message : range, input: written });
      return z.NEVER;
    })
    .meta({ kind: 'size', range: [min, max] });
}

/** A whole number. */
export function count(min: number, max: number) {
  const message = `must be a whole number between ${min} and ${max}`;
  return z.int({ error: message }).min(min, { error: message }).max(max, { error: message });
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** The value at a dotted path (`data.accessToken`), or undefined. Reads only own keys, so never `__proto__`. */
export function valueAt(root: unknown, path: string): unknown {
  let value = root;
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

export type JsonScalar = string | number | boolean | null;

/**
 * Whether `root` has all of these values, by dotted path. Scalars are compared by their text, so `1000` and `"1000"` are
 * the same. A number of `root` is compared as a number, because parsing does not keep how it was written: `1000.0` is
 * 1000, and integers above 2^53 are compared as far as JavaScript can tell them apart.
 */
export function hasValues(root: unknown, values: Readonly<Record<string, JsonScalar>>): boolean {
  return Object.entries(values).every(([path, value]) => isSameScalar(valueAt(root, path), String(value)));
}

function isSameScalar(value: unknown, text: string): boolean {
  if (typeof value === 'number') return text.trim() !== '' && Number(text) === value;
  if (typeof value === 'boolean' || value === null) return String(value) === text;
  return value === text;
}

/** A copy of `root` with `value` at the dotted path. Missing objects are created, and values in the way replaced. */
export function withValueAt(root: JsonObject, path: string, value: JsonValue): JsonObject {
  const [key = '', ...rest] = path.split('.');
  if (rest.length === 0) return { ...root, [key]: value };
  const child = Object.hasOwn(root, key) ? root[key] : undefined;
  const object = typeof child === 'object' && child !== null && !Array.isArray(child) ? (child as JsonObject) : {};
  return { ...root, [key]: withValueAt(object, rest.join('.'), value) };
}

/** A copy of a JSON value with every string in it replaced, at any depth. Names stay. `path`: keys from the value down. */
export function mapStrings(
  value: JsonValue,
  replace: (text: string, path: readonly (string | number)[]) => string,
  path: readonly (string | number)[] = [],
): JsonValue {
  if (typeof value === 'string') return replace(value, path);
  if (typeof value !== 'object' || value === null) return value;
  if (isJsonArray(value)) return value.map((each, i) => mapStrings(each, replace, [...path, i]));
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, mapStrings(each, replace, [...path, key])]),
  );
}

function isJsonArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

const PLACEHOLDER = /\{([a-z][a-z0-9_]*)\}/g;

/** The names of the `{name}` placeholders in a template, in order. */
export function placeholdersIn(template: string): string[] {
  return [...template.matchAll(PLACEHOLDER)].map((match) => match[1] ?? '');
}

/**
 * Fills `{name}` placeholders. A name that `valueOf` does not know stays as it stands: braces in a value that the
 * user spelled out are just braces.
 */
export function fill(
  template: string,
  valueOf: (name: string) => string | undefined,
  encode: (value: string) => string = (value) => value,
): string {
  return template.replace(PLACEHOLDER, (whole, name: string) => {
    const value = valueOf(name);
    return value === undefined ? whole : encode(value);
  });
}

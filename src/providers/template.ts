const PLACEHOLDER = /\{([a-z][a-z0-9_]*)\}/g;

/** The names of the `{name}` placeholders in a template, in order. `{name?}` of rules counts too. */
export function placeholdersIn(template: string): string[] {
  return [...template.matchAll(/\{([a-z][a-z0-9_]*)\??\}/g)].map((match) => match[1] ?? '');
}

/**
 * Replaces `{name}` placeholders. One that `valueOf` does not know stays: a value of the user may contain braces.
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

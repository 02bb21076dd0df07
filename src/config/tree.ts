/** Keys from the top of the file down to a value. */
export type Path = readonly (string | number)[];

type Branch = Record<string | number, unknown>;

/** A string that is the same for the same path and for no other. */
export function pathId(path: Path): string {
  return JSON.stringify(path.map(String));
}

export function dotted(path: Path): string {
  return path.join('.');
}

function branchAt(root: unknown, path: Path): Branch | undefined {
  const value = getAt(root, path);
  return typeof value === 'object' && value !== null ? (value as Branch) : undefined;
}

/** The value at `path`, or undefined. Only own keys count. */
export function getAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Branch)[key];
  }
  return value;
}

/** Replaces a value that is there already. */
export function setAt(root: unknown, path: Path, value: unknown): void {
  const key = path.at(-1);
  const parent = branchAt(root, path.slice(0, -1));
  if (parent !== undefined && key !== undefined && Object.hasOwn(parent, key)) parent[key] = value;
}

/**
 * Takes out the value at `path`, or what holds it where that is missing or a list, so that no other path changes
 * its meaning. Returns the path that was taken out; undefined if there was nothing but the root.
 */
export function prune(root: unknown, path: Path): Path | undefined {
  const key = path.at(-1);
  const parentPath = path.slice(0, -1);
  if (key === undefined) return undefined;
  const parent = branchAt(root, parentPath);
  if (parent === undefined || Array.isArray(parent) || !Object.hasOwn(parent, key)) return prune(root, parentPath);
  Reflect.deleteProperty(parent, key);
  return path;
}

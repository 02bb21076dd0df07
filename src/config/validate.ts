import { isScalar, parseDocument } from 'yaml';
import type { z } from 'zod';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import type { Interpolation, SegmentsByPath } from './interpolate.ts';
import { type ConfigInput, configSchema } from './schema.ts';
import { getAt, type Path, pathId, prune, setAt } from './source.ts';

type Issue = z.core.$ZodIssue;
type Schemas = Readonly<Record<string, z.core.$ZodType>>;

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: '`true` or `false`',
  array: 'a list',
  object: 'a mapping of keys to values',
  record: 'a mapping of keys to values',
};

/**
 * Parses the values with the schema and reports what does not fit. Returns what fits, so that later checks find every
 * other problem of the file. Changes `values`.
 */
export function validate(values: unknown, { segments, missing }: Interpolation, report: Diagnostics): ConfigInput {
  let result = parse(values);
  if (!result.success && retype(values, segments, result.error.issues)) result = parse(values);
  if (!result.success) for (const issue of flatten(result.error.issues)) reportIssue(issue, values, report);
  for (const path of missing) report.silence(prune(values, path) ?? path);
  if (missing.length > 0) result = parse(values);
  while (!result.success) {
    // A list with an invalid entry is removed as a whole. Without this check, its next entry would remove the route.
    const removed = new Set<string>();
    for (const issue of flatten(result.error.issues)) {
      if (!isWithin(issue.path as Path, removed)) removeInvalid(issue, values, report, removed);
    }
    if (getAt(values, ['routes']) === undefined) Object.assign(values as object, { routes: {} });
    result = parse(values);
  }
  return result.data;
}

function parse(values: unknown) {
  return configSchema.safeParse(values, { error: messageOf });
}

/** The issues; for a union, those of the alternative that has the type of the value. */
function flatten(issues: readonly Issue[], base: Path = []): Issue[] {
  return issues.flatMap((issue) => {
    const path = [...base, ...issue.path] as (string | number)[];
    const branch = issue.code === 'invalid_union' ? issue.errors.find((each) => !each.some(isOtherType)) : undefined;
    return branch === undefined ? [{ ...issue, path }] : flatten(branch, path);
  });
}

function isOtherType(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

/**
 * A `${...}` gives a text. Where the schema wants another type, the text is parsed as YAML, so `8` becomes a number.
 * Where the schema wants a text, a text that looks like a number stays a text.
 */
function retype(values: unknown, segments: SegmentsByPath, issues: readonly Issue[]): boolean {
  const wrong = flatten(issues).filter((issue) => {
    const pieces = segments.get(pathId(issue.path as Path));
    return pieces?.length === 1 && typeof getAt(values, issue.path as Path) === 'string';
  });
  const retyped = wrong.filter((issue) => {
    const { contents } = parseDocument(String(getAt(values, issue.path as Path)), { logLevel: 'silent' });
    const scalar = isScalar(contents) ? contents.value : undefined;
    const isTyped = typeof scalar === 'number' || typeof scalar === 'boolean';
    if (isTyped) setAt(values, issue.path as Path, scalar);
    return isTyped;
  });
  return retyped.length > 0;
}

function messageOf(issue: z.core.$ZodRawIssue): string {
  if (issue.code === 'invalid_type') {
    const wanted = TYPES[issue.expected] ?? issue.expected;
    if (issue.input === null) return `is empty; it must be ${wanted}`;
    const quote = issue.expected === 'string' && typeof issue.input !== 'object' ? '; put it in quotes' : '';
    return `must be ${wanted}${quote}`;
  }
  if (issue.code === 'invalid_value') return `must be ${oneOf(issue.values.map(String))}`;
  if (issue.code === 'too_small') return `must be at least ${issue.minimum}`;
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}`;
  return 'is not valid';
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? `\`${values[0]}\`` : `one of ${values.map((value) => `\`${value}\``).join(', ')}`;
}

function reportIssue(issue: Issue, values: unknown, report: Diagnostics): void {
  const path = issue.path as Path;
  const value = getAt(values, path);
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) report.unknownKey(path, key, knownKeys(path));
  } else if (value === undefined && path.length > 0) {
    report.problem(
      path.slice(0, -1),
      `\`${String(path.at(-1))}\` is missing${missingKeyHint(path)}`,
      String(path.at(-1)),
    );
  } else if (issue.code === 'invalid_value' && typeof value === 'string') {
    const guess = report.isInterpolated(path) ? '' : didYouMean(value, issue.values.map(String));
    const isProvider = path.length === 3 && path[2] === 'provider';
    report.problem(path, isProvider ? unknownProvider(path, value, guess, report) : `${issue.message}${guess}`);
  } else {
    report.problem(path, issue.message);
  }
}

/** Does not list the providers: there are too many. */
function unknownProvider(path: Path, value: string, guess: string, report: Diagnostics): string {
  return `unknown provider${report.quoted(path, value)}${guess || '; `wakala providers` lists all'}`;
}

function missingKeyHint(path: Path): string {
  return path.length === 1 ? '; add at least one, such as `/mpesa/*`; `wakala providers mpesa` shows an example' : '';
}

/** Removes the value that the issue is about, and marks it as invalid. */
function removeInvalid(issue: Issue, values: unknown, report: Diagnostics, removed: Set<string>): void {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) prune(values, [...path, key]);
    return;
  }
  const pruned = prune(values, path) ?? path;
  removed.add(pathId(pruned));
  report.silence(pruned);
}

/** Whether the path is one of `paths` or below one. */
function isWithin(path: Path, paths: ReadonlySet<string>): boolean {
  return path.some((_, i) => paths.has(pathId(path.slice(0, i + 1))));
}

/** The keys of the mapping at `path`, according to the schema. */
function knownKeys(path: Path): string[] {
  let schema: z.core.$ZodType | undefined = configSchema;
  for (const key of path) schema = childSchema(schema, key);
  const object = alternatives(schema).find((candidate) => 'shape' in candidate._zod.def);
  return object === undefined ? [] : Object.keys((object._zod.def as z.core.$ZodObjectDef).shape);
}

function childSchema(schema: z.core.$ZodType | undefined, key: string | number): z.core.$ZodType | undefined {
  for (const candidate of alternatives(schema)) {
    const def = candidate._zod.def as { shape?: Schemas; valueType?: z.core.$ZodType; element?: z.core.$ZodType };
    const found = def.shape?.[key] ?? def.valueType ?? def.element;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The schema without its wrappers; for a union, every alternative. */
function alternatives(schema: z.core.$ZodType | undefined): z.core.$ZodType[] {
  if (schema === undefined) return [];
  const def = schema._zod.def as { innerType?: z.core.$ZodType; in?: z.core.$ZodType; options?: z.core.$ZodType[] };
  if (def.innerType !== undefined) return alternatives(def.innerType);
  if (def.in !== undefined) return alternatives(def.in);
  return def.options === undefined ? [schema] : def.options.flatMap(alternatives);
}

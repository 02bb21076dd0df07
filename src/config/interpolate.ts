import type { Diagnostics } from './diagnostics.ts';
import { type FileReference, readError } from './files.ts';
import { getAt, type Path, pathId, setAt, type Source } from './source.ts';

/** A piece of a text: as it stands in the file, or put in place of a `${...}`. */
export interface Segment {
  readonly text: string;
  readonly literal: boolean;
  /** The file it was read from, as it is named in the reference. */
  readonly file?: string | undefined;
}

/** Where references lead. `readFile` throws where the file cannot be read. */
export interface Lookups {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => string;
}

interface Fault {
  readonly text: string;
  /** Well written, but its variable or file is not there. */
  readonly missing: boolean;
}

/** The pieces of a text that holds references, by `pathId`. */
export type SegmentsByPath = ReadonlyMap<string, readonly Segment[]>;

export interface Interpolation {
  readonly segments: SegmentsByPath;
  /** The values with a faulty reference, which are left as they are. */
  readonly missing: readonly Path[];
  readonly fileReferences: readonly FileReference[];
}

const OPENING = '$' + '{';

const ESCAPE = `$${OPENING}`;

const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g;

const WRITTEN = ['NAME', 'NAME:-default', 'file:/path'].map((inner) => `\`${OPENING}${inner}}\``);

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Replaces `${NAME}`, `${NAME:-default}` and `${file:/path}` in one text; `$${` stands for a plain `${`. */
export function expand(text: string, lookups: Lookups): { segments: Segment[]; faults: Fault[] } {
  const segments: Segment[] = [];
  const faults: Fault[] = [];
  let from = 0;
  for (const match of text.matchAll(REFERENCE)) {
    if (match.index > from) segments.push({ text: text.slice(from, match.index), literal: true });
    from = match.index + match[0].length;
    if (match[0] === ESCAPE) segments.push({ text: OPENING, literal: true });
    else {
      const [, reference = '', closing] = match;
      const found = closing === '}' ? lookUp(reference, lookups) : unclosed();
      if (typeof found === 'string') segments.push({ text: found, literal: false, file: fileOf(reference) });
      else faults.push(found);
    }
  }
  if (from < text.length) segments.push({ text: text.slice(from), literal: true });
  return { segments, faults };
}

function unclosed(): Fault {
  return { text: `a \`${OPENING}\` without its \`}\`; for a plain \`${OPENING}\` write \`${ESCAPE}\``, missing: false };
}

function lookUp(reference: string, { env, readFile }: Lookups): string | Fault {
  if (reference.includes(OPENING)) return { text: 'a reference cannot stand inside another one', missing: false };
  const file = fileOf(reference);
  if (file !== undefined) return fromFile(file, readFile);
  const [name = '', ...rest] = reference.split(':-');
  if (!NAME.test(name)) return malformed(name);
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  if (rest.length > 0 && (value === undefined || value === '')) return rest.join(':-');
  if (value === undefined) return { text: `environment variable \`${name}\` is not set`, missing: true };
  return withoutNewline(value);
}

function fileOf(reference: string): string | undefined {
  return reference.startsWith('file:') ? reference.slice('file:'.length) : undefined;
}

function malformed(name: string): Fault {
  if (name === '') return { text: `the reference names no variable; write ${WRITTEN[0]}`, missing: false };
  const plain = `\`${ESCAPE}\` for a plain \`${OPENING}\``;
  return { text: `malformed reference; write ${WRITTEN.join(' or ')}, and ${plain}`, missing: false };
}

function fromFile(path: string, readFile: Lookups['readFile']): string | Fault {
  if (path.trim() === '') return { text: `the reference names no file; write ${WRITTEN[2]}`, missing: false };
  try {
    return withoutNewline(readFile(path));
  } catch (error) {
    return { text: `cannot read the file \`${path}\`: ${readError(error)}`, missing: true };
  }
}

/** Editors and `echo` end a file with a newline that no secret has. */
function withoutNewline(value: string): string {
  return value.replace(/\r?\n$/, '');
}

/**
 * Replaces the references in all values of the file, in place. A value with a faulty reference is reported once and
 * for all. `mayBeMissing` says for which values a variable or file that is not there is no problem for now.
 */
export function interpolate(
  source: Source,
  lookups: Lookups,
  report: Diagnostics,
  mayBeMissing: (path: Path) => boolean,
): Interpolation {
  const byPath = new Map<string, readonly Segment[]>();
  const missing: Path[] = [];
  const fileReferences: FileReference[] = [];
  for (const { path } of source.entries.values()) {
    const text = getAt(source.values, path);
    if (typeof text !== 'string' || !text.includes(OPENING)) continue;
    const { segments, faults } = expand(text, lookups);
    const replaced = segments.some((segment) => !segment.literal);
    if (replaced || faults.length > 0) report.markInterpolated(path);
    for (const fault of faults) {
      if (fault.missing && mayBeMissing(path)) report.defer(path, fault.text);
      else report.problem(path, fault.text);
    }
    if (faults.length > 0) missing.push(path);
    else setAt(source.values, path, segments.map((segment) => segment.text).join(''));
    if (replaced) byPath.set(pathId(path), segments);
    for (const { file } of segments) if (file !== undefined) fileReferences.push({ path, file });
  }
  for (const path of missing) report.silence(path);
  return { segments: byPath, missing, fileReferences };
}

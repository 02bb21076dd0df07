import type { CredentialField } from '../providers/provider.ts';
import { placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import { type FileReference, isPublicPem, readError } from './disk.ts';
import { invisibleCharacter } from './invisible.ts';
import { dotted, getAt, type Path, pathId, setAt, type Source } from './source.ts';

/** A piece of a text: literal text of the file, or the value of a `${...}`. */
interface Segment {
  readonly text: string;
  readonly literal: boolean;
  /** The file of a `${file:...}`, as the reference names it. */
  readonly file?: string | undefined;
}

/** Where the values of references come from. `readFile` throws if the file cannot be read. */
export interface Lookups {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => string;
}

interface InvalidReference {
  readonly text: string;
  /** The reference is well-formed, but its variable or file does not exist. */
  readonly isMissing: boolean;
}

/** The pieces of each text that contains references, by `pathId`. */
export type SegmentsByPath = ReadonlyMap<string, readonly Segment[]>;

export interface Interpolation {
  readonly segments: SegmentsByPath;
  /** The values with an invalid reference; they are not replaced. */
  readonly missing: readonly Path[];
  readonly fileReferences: readonly FileReference[];
}

const OPENING = '$' + '{';

const ESCAPE = `$${OPENING}`;

const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g;

const WRITTEN = ['NAME', 'NAME:-default', 'file:/path'].map((inner) => `\`${OPENING}${inner}}\``);

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Replaces `${NAME}`, `${NAME:-default}` and `${file:/path}` in one text; `$${` is a literal `${`. */
export function expand(text: string, lookups: Lookups): { segments: Segment[]; errors: InvalidReference[] } {
  const segments: Segment[] = [];
  const errors: InvalidReference[] = [];
  let from = 0;
  for (const match of text.matchAll(REFERENCE)) {
    if (match.index > from) segments.push({ text: text.slice(from, match.index), literal: true });
    from = match.index + match[0].length;
    if (match[0] === ESCAPE) segments.push({ text: OPENING, literal: true });
    else {
      const [, reference = '', closing] = match;
      const found = closing === '}' ? lookUp(reference, lookups) : unclosed();
      if (typeof found === 'string') segments.push({ text: found, literal: false, file: fileOf(reference) });
      else errors.push(found);
    }
  }
  if (from < text.length) segments.push({ text: text.slice(from), literal: true });
  return { segments, errors };
}

function unclosed(): InvalidReference {
  return {
    text: `a \`${OPENING}\` without a closing \`}\`; for a literal \`${OPENING}\` write \`${ESCAPE}\``,
    isMissing: false,
  };
}

function lookUp(reference: string, { env, readFile }: Lookups): string | InvalidReference {
  if (reference.includes(OPENING)) return { text: 'a reference cannot contain another reference', isMissing: false };
  const file = fileOf(reference);
  if (file !== undefined) return fromFile(file, readFile);
  const [name = '', ...rest] = reference.split(':-');
  if (!NAME.test(name)) return malformed(name);
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  if (rest.length > 0 && (value === undefined || value === '')) return rest.join(':-');
  if (value === undefined) return { text: `environment variable \`${name}\` is not set`, isMissing: true };
  return withoutNewline(value);
}

function fileOf(reference: string): string | undefined {
  return reference.startsWith('file:') ? reference.slice('file:'.length) : undefined;
}

function malformed(name: string): InvalidReference {
  if (name === '') return { text: `the reference names no variable; write ${WRITTEN[0]}`, isMissing: false };
  const literal = `\`${ESCAPE}\` for a literal \`${OPENING}\``;
  return { text: `malformed reference; write ${WRITTEN.join(' or ')}, and ${literal}`, isMissing: false };
}

function fromFile(path: string, readFile: Lookups['readFile']): string | InvalidReference {
  if (path.trim() === '') return { text: `the reference names no file; write ${WRITTEN[2]}`, isMissing: false };
  try {
    return withoutNewline(readFile(path).replace(/^\uFEFF/, ''));
  } catch (error) {
    return { text: `cannot read the file \`${path}\`: ${readError(error)}`, isMissing: true };
  }
}

/** Editors and `echo` end a file with a newline that is not part of the secret. */
function withoutNewline(value: string): string {
  return value.replace(/\r?\n$/, '');
}

/**
 * Replaces the references in all values of the file, in place. Reports each invalid reference, and marks its value as
 * invalid. Where `mayBeMissing`, a variable or file that does not exist is deferred.
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
    if (typeof text !== 'string') continue;
    if (hasInvisible(path, text, report) || !text.includes(OPENING)) continue;
    const { segments, errors } = expand(text, lookups);
    const replaced = segments.some((segment) => !segment.literal);
    if (replaced || errors.length > 0) report.markInterpolated(path);
    for (const segment of segments) hasInvisible(path, segment.text, report);
    for (const error of errors) {
      if (error.isMissing && mayBeMissing(path)) report.defer(path, error.text);
      else report.problem(path, error.text);
    }
    if (errors.length > 0) missing.push(path);
    else setAt(source.values, path, segments.map((segment) => segment.text).join(''));
    if (replaced || text.includes(ESCAPE)) byPath.set(pathId(path), segments);
    for (const { file, text } of segments) {
      if (file !== undefined) fileReferences.push({ path, file, isPublic: isPublicPem(text) });
    }
  }
  for (const path of missing) report.silence(path);
  return { segments: byPath, missing, fileReferences };
}

/**
 * Reports the first invisible character. A provider refuses a secret that was copied together with one.
 * @returns whether there is one
 */
function hasInvisible(path: Path, text: string, report: Diagnostics): boolean {
  const problem = invisibleCharacter(text);
  if (problem === undefined) return false;
  report.problem(path, problem);
  report.silence(path);
  return true;
}

/**
 * The texts of one route that may contain `{name}` placeholders. A value from `${...}` in such a text may be secret and
 * may contain braces, so it becomes another credential, and a placeholder for that takes its place.
 */
export class Templates {
  readonly #segments: SegmentsByPath;
  readonly #report: Diagnostics;
  readonly #names: readonly string[];
  readonly #absent: readonly string[];
  readonly #used = new Set<string>();
  readonly #fields: CredentialField[] = [];
  readonly #values = new Map<string, Secret>();

  /** `names`: the credentials of the route. `absent`: optional ones that it leaves out. */
  constructor(segments: SegmentsByPath, report: Diagnostics, names: readonly string[], absent: readonly string[] = []) {
    this.#absent = absent;
    this.#segments = segments;
    this.#report = report;
    this.#names = names;
  }

  /** The credentials made from `${...}`. */
  get fields(): readonly CredentialField[] {
    return this.#fields;
  }

  get values(): ReadonlyMap<string, Secret> {
    return this.#values;
  }

  /** The names that the templates refer to. */
  get used(): ReadonlySet<string> {
    return this.#used;
  }

  /** The template at `path`. `extra`: names that it may refer to beside the credentials. */
  text(path: Path, value: string, extra: readonly string[] = []): string {
    const own = this.#values.size;
    const template = this.signText(path, value);
    this.#check(path, placeholdersIn(template), extra, [...this.#values.keys()].slice(own));
    return template;
  }

  /** The same for a template of `sign`, whose placeholders are checked together with its rules. */
  signText(path: Path, value: string): string {
    const pieces = this.#pieces(path, value);
    const template = pieces.map((piece, i) => this.#asTemplate(path, piece, pieces[i - 1], pieces[i + 1])).join('');
    for (const name of placeholdersIn(template)) this.#used.add(name);
    return template;
  }

  /** The same for a path or URL. It is not secret, and a credential in it would be percent-encoded, so it stays literal. */
  plain(path: Path, value: string, extra: readonly string[] = []): string {
    const literals = this.#pieces(path, value).filter(({ literal }) => literal);
    const names = literals.flatMap(({ text }) => placeholdersIn(text));
    for (const name of names) this.#used.add(name);
    this.#check(path, names, extra);
    return value;
  }

  #pieces(path: Path, value: string): readonly Segment[] {
    return this.#segments.get(pathId(path)) ?? [{ text: value, literal: true }];
  }

  /** A backslash before a placeholder would make its brace a literal one, so it becomes a part of the credential. */
  #asTemplate(path: Path, { text, literal }: Segment, before: Segment | undefined, after: Segment | undefined): string {
    if (!literal) return this.#asCredential(path, before?.literal && before.text.endsWith('\\') ? `\\${text}` : text);
    if (text === OPENING) return '$\\{';
    return after?.literal === false ? text.replace(/\\$/, '') : text;
  }

  #check(path: Path, names: readonly string[], extra: readonly string[], own: readonly string[] = []): void {
    const known = [...this.#names, ...extra];
    for (const name of names) {
      if (known.includes(name) || own.includes(name)) continue;
      const scope = extra.length === 0 && name === 'refresh_token' ? '; it can be used only under `refresh`' : '';
      const isAbsent = known.length === 0 || this.#absent.includes(name);
      const hint = isAbsent ? '; add it under `credentials`' : didYouMean(name, known) || scope;
      this.#report.problem(path, `unknown placeholder \`{${name}}\`${hint}`);
    }
  }

  #asCredential(path: Path, text: string): string {
    if (text === '') return '';
    const taken = new Set([...this.#names, ...this.#values.keys()]);
    let number = 1;
    while (taken.has(`value_${number}`)) number++;
    const name = `value_${number}`;
    this.#values.set(name, new Secret(text));
    this.#fields.push({ name, description: `From \`${dotted(path)}\` of the configuration`, secret: true });
    return `{${name}}`;
  }
}

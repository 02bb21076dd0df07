import { isScalar, type Node } from 'yaml';
import type { ConfigProblem } from '../errors.ts';
import { dotted, type Entry, inOrder, type Path, pathId, type Source } from './source.ts';

/** Edits (insert, delete, replace, swap of neighbours) that turn one word into the other. */
function distance(a: string, b: string): number {
  const rows: number[][] = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  const cell = (i: number, j: number) => rows[i]?.[j] ?? (i < 0 || j < 0 ? Infinity : j);
  for (let i = 0; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      if (i === 0) continue;
      const replaced = cell(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? cell(i - 2, j - 2) + 1 : Infinity;
      rows[i]?.push(Math.min(cell(i - 1, j) + 1, cell(i, j - 1) + 1, replaced, swapped));
    }
  }
  return cell(a.length, b.length);
}

/** The candidate that `word` most likely is a misspelling of; undefined if none is near enough. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll('-', '_');
  const limit = Math.min(3, Math.max(1, Math.floor(word.length / 3)));
  const ranked = [...candidates]
    .map((candidate) => ({ candidate, edits: distance(plain(word), plain(candidate)) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.candidate;
}

/** `; did you mean \`mpesa\`?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const guess = nearest(word.slice(0, 64), candidates);
  return guess === undefined ? '' : `; did you mean \`${guess}\`?`;
}

/**
 * What is wrong with a configuration file, gathered while it is checked. Messages name the key and never show a
 * value that came from the environment or a file.
 */
export class Diagnostics {
  readonly #source: Source;
  readonly #problems: ConfigProblem[] = [];
  readonly #warnings: ConfigProblem[] = [];
  readonly #silenced = new Set<string>();
  readonly #interpolated = new Set<string>();
  readonly #deferred: { readonly path: Path; readonly text: string }[] = [];
  /** Keys that may be secrets: `token abc` without its colon is a key, all of it. */
  readonly #unshown: readonly string[];

  constructor(source: Source) {
    this.#source = source;
    this.#unshown = keysWithoutValue(source.values).filter((key) => !/^([a-z_]+|\/[\w./-]*\*)$/.test(key));
    for (const entry of source.duplicates) {
      this.#duplicate(entry);
      this.silence(entry.path);
    }
  }

  get problems(): ConfigProblem[] {
    return inOrder(this.#problems);
  }

  get warnings(): ConfigProblem[] {
    return inOrder(this.#warnings);
  }

  /** Something is wrong with the value at `path`, or with its `child`: a key that is unknown there, or missing. */
  problem(path: Path, text: string, child?: string): void {
    if (!this.isSilenced(child === undefined ? path : [...path, child])) {
      this.#problems.push(this.#at(path, text, child));
    }
  }

  /** Something that works, but is hardly meant. */
  warn(path: Path, text: string): void {
    this.#warnings.push(this.#at(path, text));
  }

  unknownKey(path: Path, key: string, known: Iterable<string>): void {
    if (this.isSilenced(path)) return;
    const hint = this.#unshown.includes(key) ? '; is a `:` missing?' : didYouMean(key, known);
    this.#problems.push(this.#at(path, `unknown key \`${key}\`${hint}`, key));
  }

  /** The value at `path` is known to be bad: whatever else is found there, or is missing there, follows from that. */
  silence(path: Path): void {
    this.#silenced.add(pathId(path));
  }

  isSilenced(path: Path): boolean {
    return path.some((_, i) => this.#silenced.has(pathId(path.slice(0, i + 1))));
  }

  /** A problem only if its route cannot do without the value. */
  defer(path: Path, text: string): void {
    this.#deferred.push({ path, text });
  }

  /** Reports what was deferred below `path`. */
  undefer(path: Path): void {
    for (const late of this.#deferred) {
      if (path.every((key, i) => key === late.path[i])) this.#problems.push(this.#at(late.path, late.text));
    }
  }

  markInterpolated(path: Path): void {
    this.#interpolated.add(pathId(path));
  }

  isInterpolated(path: Path): boolean {
    return this.#interpolated.has(pathId(path));
  }

  /** The value in backquotes, for a message; where it came through `${...}`, words that stand for it. */
  quoted(path: Path, value: string): string {
    if (this.isInterpolated(path)) return 'the value given here';
    return `\`${value.length > 80 ? `${value.slice(0, 77)}...` : value}\``;
  }

  /** The keys that the file has below `path`, whatever became of their values. */
  keysAt(path: Path): readonly string[] {
    return this.#source.entries.get(pathId(path))?.keys ?? [];
  }

  #duplicate(entry: Entry): void {
    const key = String(entry.path.at(-1));
    const place = dotted(entry.path.slice(0, -1));
    const message = `${place === '' ? '' : `${place}: `}\`${key}\` is given twice`;
    const position = this.#source.position(entry.key);
    this.#problems.push({ file: this.#source.file, ...position, key: dotted(entry.path), message });
  }

  #at(path: Path, text: string, child?: string): ConfigProblem {
    const place = dotted(path);
    return {
      file: this.#source.file,
      ...this.#source.position(this.#node(path, child)),
      key: this.#shown(dotted(child === undefined ? path : [...path, child])),
      message: this.#shown(place === '' ? text : `${place}: ${text}`),
    };
  }

  #shown(text: string): string {
    return this.#unshown.reduce((shown, key) => shown.replaceAll(key, '[not shown]'), text);
  }

  /** The value itself; the key of a child, of an empty value, or of the nearest value that is there. */
  #node(path: Path, child: string | undefined): Node | null | undefined {
    if (child !== undefined) {
      const entry = this.#source.entries.get(pathId([...path, child]));
      return entry === undefined ? this.#keyOf(path) : (entry.key ?? entry.value);
    }
    const entry = this.#source.entries.get(pathId(path));
    const empty = entry?.value === null || (isScalar(entry?.value) && entry.value.value === null);
    return entry === undefined || empty ? this.#keyOf(path) : entry.value;
  }

  #keyOf(path: Path): Node | null | undefined {
    const entry = this.#source.entries.get(pathId(path));
    if (entry === undefined && path.length > 0) return this.#keyOf(path.slice(0, -1));
    return entry?.key ?? entry?.value;
  }
}

/** Every key in a file's values that has no value itself. */
function keysWithoutValue(values: unknown): string[] {
  if (typeof values !== 'object' || values === null) return [];
  return Object.entries(values).flatMap(([key, value]) => (value === null ? [key] : keysWithoutValue(value)));
}

import { isScalar, type Node } from 'yaml';
import type { ConfigProblem } from '../errors.ts';
import { VALUE_FUNCTIONS } from '../providers/sign-rule.ts';
import { invisibleCharacter } from './invisible.ts';
import { dotted, type Entry, inOrder, type Path, pathId, type Source } from './source.ts';

/** The least number of edits (insert, delete, replace, swap neighbours) that turn one word into the other. */
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

/** The candidate that `word` is most likely a misspelling of; undefined if none is close enough. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll('-', '_');
  const limit = Math.min(3, Math.max(1, Math.floor(word.length / 3)));
  const ranked = [...candidates]
    .map((candidate) => ({ candidate, edits: distance(plain(word), plain(candidate)) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.candidate;
}

/** `; did you mean \`mpesa\`?`, or an empty text. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const guess = nearest(word.slice(0, 64), candidates);
  return guess === undefined ? '' : `; did you mean \`${guess}\`?`;
}

/**
 * The problems and warnings of a configuration file, collected while it is checked. A message names the key and never
 * shows a value that came from the environment or a file.
 */
export class Diagnostics {
  readonly #source: Source;
  readonly #problems: ConfigProblem[] = [];
  readonly #warnings: ConfigProblem[] = [];
  readonly #silenced = new Set<string>();
  readonly #interpolated = new Set<string>();
  readonly #deferred: { readonly path: Path; readonly text: string }[] = [];
  /** Keys that may contain secrets: without its colon, the whole of `token abc` is a key. */
  readonly #hiddenKeys: readonly string[];

  constructor(source: Source) {
    this.#source = source;
    this.#hiddenKeys = keysWithoutValue(source.values).filter((key) => !/^([a-z_]+|\/[\w./-]*\*)$/.test(key));
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

  /** Reports an error in the value at `path`, or in its `child`, a key that is missing or should not be there. */
  problem(path: Path, text: string, child?: string): void {
    if (!this.isSilenced(child === undefined ? path : [...path, child])) {
      this.#problems.push(this.#at(path, text, child));
    }
  }

  /** Whether there is a problem with something in the value at `path`. */
  hasProblemBelow(path: Path): boolean {
    return this.#problems.some(({ key }) => key.startsWith(`${dotted(path)}.`));
  }

  /** Reports something that works but is probably a mistake. */
  warn(path: Path, text: string): void {
    this.#warnings.push(this.#at(path, text));
  }

  unknownKey(path: Path, key: string, known: readonly string[]): void {
    if (this.isSilenced(path)) return;
    const invisible = invisibleCharacter(key);
    if (invisible !== undefined) {
      this.#problems.push(this.#at(path, `a key ${invisible}`, key));
      return;
    }
    const hint = this.#hiddenKeys.includes(key)
      ? '; is a `:` missing?'
      : didYouMean(key, known) || functionsHint(known);
    this.#problems.push(this.#at(path, `unknown key \`${key}\`${hint}`, key));
  }

  /** Marks the value at `path` as invalid: no further problem at or below it is reported. */
  silence(path: Path): void {
    this.#silenced.add(pathId(path));
  }

  isSilenced(path: Path): boolean {
    return path.some((_, i) => this.#silenced.has(pathId(path.slice(0, i + 1))));
  }

  /** Notes a problem that counts only if the route cannot be made without the value. */
  defer(path: Path, text: string): void {
    this.#deferred.push({ path, text });
  }

  /** Reports the deferred problems below `path`. */
  undefer(path: Path): void {
    for (const deferred of this.#deferred) {
      const isBelow = path.every((key, i) => key === deferred.path[i]);
      if (isBelow) this.#problems.push(this.#at(deferred.path, deferred.text));
    }
  }

  markInterpolated(path: Path): void {
    this.#interpolated.add(pathId(path));
  }

  isInterpolated(path: Path): boolean {
    return this.#interpolated.has(pathId(path));
  }

  /** A space and the value in backquotes, for the end of a message. Empty for a value from `${...}`: it is not shown. */
  quoted(path: Path, value: string): string {
    if (this.isInterpolated(path)) return '';
    return ` \`${value.length > 80 ? `${value.slice(0, 77)}...` : value}\``;
  }

  /** The keys that the file has below `path`, with valid values or not. */
  keysAt(path: Path): readonly string[] {
    return this.#source.entries.get(pathId(path))?.keys ?? [];
  }

  /** How the file writes the scalar at `path`, without quotes. Undefined if it is not a scalar. */
  writtenAt(path: Path): string | undefined {
    const node = this.#source.entries.get(pathId(path))?.value;
    return isScalar(node) ? node.source : undefined;
  }

  #duplicate(entry: Entry): void {
    const key = String(entry.path.at(-1));
    const place = dotted(entry.path.slice(0, -1));
    const message = `${place === '' ? '' : `${place}: `}\`${key}\` is there twice; remove one`;
    const position = this.#source.position(entry.key);
    this.#problems.push({ file: this.#source.file, ...position, key: dotted(entry.path), message });
  }

  #at(path: Path, text: string, child?: string): ConfigProblem {
    const place = dotted(path);
    return {
      file: this.#source.file,
      ...this.#source.position(this.#node(path, child)),
      key: this.#withoutHiddenKeys(dotted(child === undefined ? path : [...path, child])),
      message: this.#withoutHiddenKeys(place === '' ? text : `${place}: ${text}`),
    };
  }

  #withoutHiddenKeys(text: string): string {
    return this.#hiddenKeys.reduce((shown, key) => shown.replaceAll(key, '[not shown]'), text);
  }

  /** The node to point at: that of the value, or of the key for a child, an empty value or a value that is missing. */
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

/** The functions, if they are among the known keys. */
function functionsHint(known: readonly string[]): string {
  const areFunctions = VALUE_FUNCTIONS.every((name) => known.includes(name));
  return areFunctions ? `; the functions are ${VALUE_FUNCTIONS.map((name) => `\`${name}\``).join(', ')}` : '';
}

/** Every key without a value, at any depth. */
function keysWithoutValue(values: unknown): string[] {
  if (typeof values !== 'object' || values === null) return [];
  return Object.entries(values).flatMap(([key, value]) => (value === null ? [key] : keysWithoutValue(value)));
}

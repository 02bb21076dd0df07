import type { CredentialField } from '../providers/provider.ts';
import { Secret } from '../secret.ts';
import type { Segment, SegmentsByPath } from './interpolate.ts';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import { dotted, type Path, pathId } from './source.ts';

/** Wider than what is filled in (`template.ts`), so that a misspelt name is noticed. */
const PLACEHOLDER = /\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/**
 * The texts of one route that may hold `{name}` placeholders. What came into such a text through `${...}` may be a
 * secret and may hold braces of its own, so it becomes a credential too, and a placeholder stands in its place.
 */
export class Templates {
  readonly #segments: SegmentsByPath;
  readonly #report: Diagnostics;
  readonly #names: readonly string[];
  readonly #used = new Set<string>();
  readonly #fields: CredentialField[] = [];
  readonly #values = new Map<string, Secret>();

  /** `names` are the credential fields of the route. */
  constructor(segments: SegmentsByPath, report: Diagnostics, names: readonly string[]) {
    this.#segments = segments;
    this.#report = report;
    this.#names = names;
  }

  /** The credentials that were made from `${...}`. */
  get fields(): readonly CredentialField[] {
    return this.#fields;
  }

  get values(): ReadonlyMap<string, Secret> {
    return this.#values;
  }

  /** The credential fields that some template refers to. */
  get used(): ReadonlySet<string> {
    return this.#used;
  }

  /** The template at `path`. `extra` are names it may refer to beside credentials. */
  text(path: Path, value: string, extra: readonly string[] = []): string {
    const pieces = this.#pieces(path, value);
    for (const piece of pieces) if (piece.literal) this.#check(path, piece.text, extra);
    return pieces.map((piece) => (piece.literal ? piece.text : this.#lift(path, piece.text))).join('');
  }

  /** The same for a path or a URL, which is no secret and in which a credential would be percent-encoded. */
  plain(path: Path, value: string, extra: readonly string[] = []): string {
    for (const piece of this.#pieces(path, value)) if (piece.literal) this.#check(path, piece.text, extra);
    return value;
  }

  #pieces(path: Path, value: string): readonly Segment[] {
    return this.#segments.get(pathId(path)) ?? [{ text: value, literal: true }];
  }

  #check(path: Path, text: string, extra: readonly string[]): void {
    const known = [...this.#names, ...extra];
    for (const [, name = ''] of text.matchAll(PLACEHOLDER)) {
      this.#used.add(name);
      if (known.includes(name)) continue;
      const place = extra.length === 0 && name === 'refresh_token' ? '; it is known only under `refresh`' : '';
      const remedy = known.length === 0 ? '; there is nothing under `credentials`' : didYouMean(name, known) || place;
      this.#report.problem(path, `unknown placeholder \`{${name}}\`${remedy}`);
    }
  }

  #lift(path: Path, text: string): string {
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

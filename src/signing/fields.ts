import type { DerivedValue } from '../providers/sign-rule.ts';
import { shownName } from './json-text.ts';
import {
  type ByteString,
  type FieldList,
  fillTemplate,
  impossible,
  jsonPath,
  parseTemplate,
  type RequestRead,
  type Template,
  toBytes,
} from './rule-template.ts';
import type { Scope, SignProblem } from './scope.ts';

/** A member of a JSON object, or a pair of a form or a query. */
export interface Field {
  readonly name: ByteString;
  /** Undefined for an object, an array or `null`. */
  readonly text: ByteString | undefined;
}

/** @throws ProxyError `signature_impossible` */
export type FieldsOf = (list: FieldList) => readonly Field[];

/** The function `fields`: the fields of a request as one text. */
export class FieldsText {
  readonly #lists: readonly FieldList[];
  readonly #except: ReadonlySet<ByteString>;
  readonly #item: Template;
  readonly #join: ByteString;
  readonly #isSorted: boolean;
  readonly #dropsEmpty: boolean;
  /** The parts of the request that are read. */
  readonly reads: readonly RequestRead[];

  private constructor(lists: readonly FieldList[], item: Template, options: DerivedValue) {
    const except = new Set((options.except ?? []).map(toBytes));
    this.#lists = lists;
    this.#except = except;
    this.reads = lists.map((list) => ({ kind: 'fields', list, except }));
    this.#item = item;
    this.#join = toBytes(options.join ?? '&');
    this.#isSorted = options.sort === true;
    this.#dropsEmpty = options.empty === 'drop';
  }

  /** @returns undefined if there is a problem, which is reported */
  static compile(value: DerivedValue, scope: Scope, path: SignProblem['path']): FieldsText | undefined {
    if (!scope.hasRequest) {
      scope.problem([...path, 'fields'], 'are a part of an API call; use credentials and earlier values here');
      return undefined;
    }
    const lists = (value.fields ?? []).flatMap((text, i) => {
      const list = parseList(text);
      if (list === undefined) {
        scope.problem([...path, 'fields', i], 'must be `json`, `json:NAME`, `form` or `query`');
      }
      return list ?? [];
    });
    const item = parseItem(value.item ?? '{name}={value}');
    if ('problem' in item) scope.problem([...path, 'item'], item.problem);
    if (value.fields?.length === 0) scope.problem([...path, 'fields'], 'is empty; use `json`, `form` or `query`');
    if ('problem' in item || lists.length !== value.fields?.length || lists.length === 0) return undefined;
    return new FieldsText(lists, item, value);
  }

  /** @throws ProxyError `signature_impossible` */
  text(fieldsOf: FieldsOf): ByteString {
    const fields = this.#lists
      .flatMap((list) => fieldsOf(list))
      .filter(({ name, text }) => !this.#except.has(name) && !(this.#dropsEmpty && text === ''));
    // Characters are bytes, so this is the order of bytes.
    if (this.#isSorted) fields.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    return fields.map((field) => this.#itemText(field)).join(this.#join);
  }

  #itemText({ name, text }: Field): ByteString {
    return fillTemplate(this.#item, (placeholder) => {
      if (placeholder.kind === 'name' && placeholder.name === 'name') return name;
      if (text === undefined) throw impossible(`${shownName(name)} must be a string, a number, \`true\` or \`false\`.`);
      return text;
    });
  }
}

function parseList(text: string): FieldList | undefined {
  if (text === 'form' || text === 'query') return { kind: text };
  if (text === 'json') return { kind: 'json', path: [] };
  if (!text.startsWith('json:')) return undefined;
  const path = jsonPath(text.slice('json:'.length));
  return path.includes('') ? undefined : { kind: 'json', path };
}

function parseItem(text: string): Template | { readonly problem: string } {
  const item = parseTemplate(text);
  if ('problem' in item) return item;
  const isKnown = item.every(
    (piece) =>
      typeof piece === 'string' || (piece.kind === 'name' && (piece.name === 'name' || piece.name === 'value')),
  );
  return isKnown ? item : { problem: 'can have only the placeholders `{name}` and `{value}`' };
}

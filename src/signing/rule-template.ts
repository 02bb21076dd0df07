import { ProxyError } from '../errors.ts';
import { templatePieces } from '../providers/template.ts';

/**
 * A byte string: one character for each byte (latin1). Everything that is signed is one, so that bodies and headers
 * keep their bytes whatever their charset.
 */
export type ByteString = string;

/** Where the texts of placeholders in rules come from. */
export type Placeholder = NamePlaceholder | RequestPlaceholder;

/** Its text is a part of the request. */
export type RequestPlaceholder = PartPlaceholder | FieldPlaceholder;

/** `{passkey}`: a credential or an earlier value, `{access_token}`, `{refresh_token}`. */
interface NamePlaceholder {
  readonly kind: 'name';
  readonly name: string;
  /** Written as `{name?}`: empty if there is no text. */
  readonly optional: boolean;
}

/**
 * `{method}`, `{host}`, `{path}` (with the base path of the upstream), `{query}` (without its question mark), `{target}`
 * (path and query), `{call_path}` (below the base path), `{body}`, `{body_minified}` (without white space outside
 * strings).
 */
interface PartPlaceholder {
  readonly kind: 'request';
  readonly part: RequestPart;
  readonly optional: boolean;
}

/** `{path:name}`, `{query:name}`, `{form:name}`, `{json:a.b}`, `{header:name}`. */
interface FieldPlaceholder {
  readonly kind: 'field';
  readonly source: FieldSource;
  /** As written after the colon. `jsonPath` splits that of `json`. */
  readonly name: string;
  readonly optional: boolean;
}

/** Where the function `fields` takes fields from. */
export type FieldList =
  | { readonly kind: 'form' | 'query' }
  /** The members of the object at this path. */
  | { readonly kind: 'json'; readonly path: readonly string[] };

/** What is read of a request: the text of a placeholder, or all fields of a list but some. */
export type RequestRead = RequestPlaceholder | FieldsRead;

interface FieldsRead {
  readonly kind: 'fields';
  readonly list: FieldList;
  /** Names of the fields that are left out. */
  readonly except: ReadonlySet<ByteString>;
}

export const REQUEST_PARTS = [
  'method',
  'host',
  'path',
  'query',
  'target',
  'call_path',
  'body',
  'body_minified',
] as const;
export type RequestPart = (typeof REQUEST_PARTS)[number];

export const FIELD_SOURCES = ['path', 'query', 'form', 'json', 'header'] as const;
export type FieldSource = (typeof FIELD_SOURCES)[number];

/** A template: literal texts and placeholders, in order. It is filled in once: what comes in is never scanned again. */
export type Template = readonly (ByteString | Placeholder)[];

/** The texts of placeholders. Undefined: there is none. */
export type Lookup = (placeholder: Placeholder) => ByteString | undefined;

/** Parses a template. `\{` is a literal brace. @returns the template, or what is wrong with the text */
export function parseTemplate(text: string): Template | { readonly problem: string } {
  const template: (ByteString | Placeholder)[] = [];
  for (const piece of templatePieces(text)) {
    const parsed = typeof piece === 'string' ? toBytes(piece) : parsePlaceholder(piece.name, piece.optional);
    if (typeof parsed !== 'string' && 'problem' in parsed) return parsed;
    template.push(parsed);
  }
  return template;
}

function parsePlaceholder(text: string, optional: boolean): Placeholder | { readonly problem: string } {
  const colon = text.indexOf(':');
  if (colon === -1) {
    const part = REQUEST_PARTS.find((known) => known === text);
    return part === undefined ? { kind: 'name', name: text, optional } : { kind: 'request', part, optional };
  }
  const source = FIELD_SOURCES.find((known) => known === text.slice(0, colon));
  const name = text.slice(colon + 1);
  if (source === undefined) {
    const known = FIELD_SOURCES.map((each) => `\`{${each}:...}\``).join(', ');
    return { problem: `unknown placeholder \`{${text}}\`; with a colon there are ${known}` };
  }
  if (source === 'json' && /[[\]*]/.test(name)) {
    return {
      problem: `\`{${text}}\`: write a dotted path without brackets and \`*\`, such as \`{json:items.0.price}\``,
    };
  }
  if (name === '' || (source === 'json' && jsonPath(name).includes(''))) {
    return { problem: `\`{${text}}\` has an empty name` };
  }
  return { kind: 'field', source, name, optional };
}

/** The names and array indexes of `a.b.0`. `\.` is a dot in a name. */
export function jsonPath(text: string): string[] {
  const path = [''];
  for (const [piece] of text.matchAll(/\\\.|\.|[^\\.]+|\\/g)) {
    if (piece === '.') path.push('');
    else path.push((path.pop() ?? '') + (piece === String.raw`\.` ? '.' : piece));
  }
  return path;
}

/** As it is written: `{json:a.b}`. */
export function placeholderText(placeholder: Placeholder): string {
  const mark = placeholder.optional ? '?' : '';
  switch (placeholder.kind) {
    case 'name':
      return `{${placeholder.name}${mark}}`;
    case 'request':
      return `{${placeholder.part}${mark}}`;
    case 'field':
      return `{${placeholder.source}:${placeholder.name}${mark}}`;
  }
}

/** The text of a template. @throws ProxyError `signature_impossible` if the text of a placeholder is missing */
export function fillTemplate(template: Template, lookup: Lookup): ByteString {
  let text = '';
  for (const piece of template) {
    if (typeof piece === 'string') {
      text += piece;
      continue;
    }
    const found = lookup(piece);
    if (found === undefined && !piece.optional) throw impossible(missing(piece));
    text += found ?? '';
  }
  return text;
}

function missing(placeholder: Placeholder): string {
  if (placeholder.kind !== 'field') return `There is no text for \`${placeholderText(placeholder)}\`.`;
  const { source, name } = placeholder;
  switch (source) {
    case 'json':
      return `The body has no member \`${name}\`.`;
    case 'form':
      return `The body has no field \`${name}\`.`;
    case 'query':
      return `The query has no parameter \`${name}\`.`;
    case 'header':
      return `The request has no header \`${name}\`.`;
    case 'path':
      return `The path has no segment \`${name}\`.`;
  }
}

/** The UTF-8 bytes of a text. */
export function toBytes(text: string): ByteString {
  return Buffer.from(text).toString('latin1');
}

/** The text of UTF-8 bytes. */
export function fromBytes(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString();
}

/** @param problem a sentence that names fields, never their values */
export function impossible(problem: string): ProxyError {
  return new ProxyError('signature_impossible', problem);
}

/**
 * A byte string: one character for each byte (latin1). Everything that is signed is one, so that bodies and headers
 * keep their bytes whatever their charset.
 */
export type ByteString = string;

/** Where the texts of placeholders in rules come from. */
export type Placeholder =
  /** `{passkey}`: a credential or an earlier value, `{access_token}`, `{refresh_token}`. */
  | { readonly kind: 'name'; readonly name: string; readonly optional: boolean }
  /** `{method}`, `{host}`, `{path}`, `{query}`, `{target}`, `{call_path}`, `{body}`, `{body_minified}`. */
  | { readonly kind: 'request'; readonly part: RequestPart; readonly optional: boolean }
  /** `{path:name}`, `{query:name}`, `{form:name}`, `{json:a.b}`, `{header:name}`. */
  | { readonly kind: 'field'; readonly source: FieldSource; readonly name: string; readonly optional: boolean };

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

/** Parses a template. `\{` is a literal brace. @returns the template, or what is wrong with the text */
export function parseTemplate(_text: string): Template | { readonly problem: string } {
  throw new Error('not written yet');
}

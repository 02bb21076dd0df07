/** A piece of a template: literal text, or a placeholder. */
export type TemplatePiece = string | { readonly name: string; readonly optional: boolean };

/** `\{`, or a brace that a letter follows and that is closed. */
const PIECE = /\\\{|\{([A-Za-z][^{}]*?)(\??)\}/g;

/**
 * The pieces of a template, in order. `{name}` is a placeholder whatever its name, so that a misspelled one is found;
 * `{name?}` is an optional one. `\{` is a literal brace, and so is any other `{`: JSON in a text needs no escapes.
 */
export function templatePieces(template: string): TemplatePiece[] {
  const pieces: TemplatePiece[] = [];
  let literal = '';
  let from = 0;
  for (const { 0: whole, 1: name, 2: mark, index } of template.matchAll(PIECE)) {
    literal += template.slice(from, index);
    from = index + whole.length;
    if (name === undefined) literal += '{';
    else {
      if (literal !== '') pieces.push(literal);
      pieces.push({ name, optional: mark === '?' });
      literal = '';
    }
  }
  literal += template.slice(from);
  if (literal !== '') pieces.push(literal);
  return pieces;
}

/** The names of the `{name}` placeholders in a template, in order. */
export function placeholdersIn(template: string): string[] {
  return templatePieces(template).flatMap((piece) => (typeof piece === 'string' ? [] : [piece.name]));
}

/** Replaces `{name}` placeholders. One that `valueOf` does not know stays; an optional one becomes empty. */
export function fill(
  template: string,
  valueOf: (name: string) => string | undefined,
  encode: (value: string) => string = (value) => value,
): string {
  return templatePieces(template)
    .map((piece) => {
      if (typeof piece === 'string') return piece;
      const value = valueOf(piece.name);
      return value === undefined ? (piece.optional ? '' : `{${piece.name}}`) : encode(value);
    })
    .join('');
}

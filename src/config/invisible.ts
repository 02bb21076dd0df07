/**
 * Control and invisible characters, and spaces that are not U+0020, without tab and newline. A byte that is not UTF-8 is
 * read as U+FFFD.
 */
const INVISIBLE =
  /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u2800\ufffd\p{Default_Ignorable_Code_Point}\p{Bidi_Control}]|(?! )\p{Zs}/u;

const CHARACTER_NAMES: Readonly<Record<string, string>> = {
  '0000': 'NULL',
  '00A0': 'NO-BREAK SPACE',
  '00AD': 'SOFT HYPHEN',
  '2003': 'EM SPACE',
  '2009': 'THIN SPACE',
  '200B': 'ZERO WIDTH SPACE',
  '200C': 'ZERO WIDTH NON-JOINER',
  '200D': 'ZERO WIDTH JOINER',
  '2028': 'LINE SEPARATOR',
  '202F': 'NARROW NO-BREAK SPACE',
  '2060': 'WORD JOINER',
  '3000': 'IDEOGRAPHIC SPACE',
  FEFF: 'BYTE ORDER MARK',
};

/** What to say about a text with an invisible character. Undefined if it has none. */
export function invisibleCharacter(text: string): string | undefined {
  const { 0: character, index } = INVISIBLE.exec(text) ?? {};
  if (character === undefined || index === undefined) return undefined;
  if (text.includes('\0')) return 'contains U+0000 NULL, as text in UTF-16 does; save the file as UTF-8';
  if (character === '\ufffd') return `is not valid UTF-8 at character ${index + 1}; save the file as UTF-8`;
  const point = character.codePointAt(0) ?? 0;
  const code = point.toString(16).toUpperCase().padStart(4, '0');
  const isControl = point < 0x20 || (point >= 0x7f && point < 0xa0);
  const name = [`U+${code}`, CHARACTER_NAMES[code] ?? (isControl ? 'CONTROL CHARACTER' : '')].join(' ').trimEnd();
  return `contains the invisible character ${name} at character ${index + 1}; remove it`;
}

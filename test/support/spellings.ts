/** Ways in which a program writes a text that it puts into another one. Names are for the titles of tests. */
export const SPELLINGS: readonly (readonly [name: string, spell: (text: string) => string])[] = [
  ['as it is', (text) => text],
  ['as part of a URL', encodeURIComponent],
  ['percent-encoded', (text) => bytes(text, (hex) => `%${hex}`)],
  ['percent-encoded in large letters', (text) => bytes(text, (hex) => `%${hex.toUpperCase()}`)],
  ['percent-encoded twice', (text) => bytes(text, (hex) => `%25${hex}`)],
  ['with one character percent-encoded', (text) => text.slice(0, 3) + bytes(text.charAt(3), escaped) + text.slice(4)],
  ['as in a form', (text) => new URLSearchParams([['', text]]).toString().slice(1)],
  ['in %u escapes', (text) => units(text, (hex) => `%u${hex}`)],
  ['in \\u escapes', (text) => units(text, (hex) => `\\u${hex}`)],
  ['in \\u escapes in large letters', (text) => units(text, (hex) => `\\u${hex.toUpperCase()}`)],
  ['in \\u{} escapes', (text) => points(text, (point) => `\\u{${point.toString(16)}}`)],
  ['in \\x escapes', (text) => bytes(text, (hex) => `\\x${hex}`)],
  ['with backslashes', (text) => text.replace(/[^a-z0-9]/gi, '\\$&')],
  ['in JSON in JSON', (text) => JSON.stringify(JSON.stringify({ text: text.replaceAll('/', '\\/') }))],
  ['in decimal entities', (text) => points(text, (point) => `&#${point};`)],
  ['in padded hex entities', (text) => points(text, (point) => `&#X00${point.toString(16)};`)],
  ['in hex', (text) => Buffer.from(text).toString('hex')],
  ['in hex in large letters', (text) => Buffer.from(text).toString('hex').toUpperCase()],
  ['in base64', (text) => Buffer.from(text).toString('base64')],
  ['in base64url', (text) => Buffer.from(text).toString('base64url')],
  ['in base64 in a URL', (text) => encodeURIComponent(Buffer.from(text).toString('base64'))],
  ['in base64 behind one byte', (text) => Buffer.from(`:${text} and more`).toString('base64')],
  ['in base64 behind two bytes', (text) => Buffer.from(`a:${text} and more`).toString('base64url')],
];

const escaped = (hex: string) => `%${hex}`;

/** Each byte of UTF-8. */
function bytes(text: string, write: (hex: string) => string): string {
  return [...Buffer.from(text)].map((byte) => write(byte.toString(16).padStart(2, '0'))).join('');
}

/** Each unit of UTF-16. */
function units(text: string, write: (hex: string) => string): string {
  return Array.from({ length: text.length }, (_, i) => write(text.charCodeAt(i).toString(16).padStart(4, '0'))).join(
    '',
  );
}

/** Each code point. */
function points(text: string, write: (point: number) => string): string {
  return Array.from(text, (character) => write(character.codePointAt(0) ?? 0)).join('');
}

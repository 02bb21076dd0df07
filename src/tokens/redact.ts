const ENTITIES: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' };

/** Cuts every secret out of a text, also where it is spelled as in a URL, a form, JSON or HTML. */
export function redact(text: string, secrets: readonly string[]): string {
  // The longest first: one may begin with another.
  const sorted = secrets.filter((secret) => secret !== '').sort((a, b) => b.length - a.length);
  let redacted = text;
  for (const secret of sorted) redacted = redacted.replace(anySpelling(secret), '[redacted]');
  return redacted;
}

function anySpelling(secret: string): RegExp {
  return new RegExp(Array.from(secret, (character) => `(?:${spellingsOf(character).join('|')})`).join(''), 'g');
}

/** One character, literally or escaped. Hex digits of an escape come in both cases. */
function spellingsOf(character: string): string[] {
  const code = character.codePointAt(0) ?? 0;
  const bytes = [...Buffer.from(character, 'utf8')].map((byte) => `%${anyCase(byte.toString(16).padStart(2, '0'))}`);
  const units = [...Array(character.length).keys()].map((index) => character.charCodeAt(index));
  const unicode = units.map((unit) => `\\\\u${anyCase(unit.toString(16).padStart(4, '0'))}`);
  const spellings = [
    literally(character),
    bytes.join(''),
    unicode.join(''),
    `&#0*${code};`,
    `&#x0*${anyCase(code.toString(16))};`,
  ];
  if (/["\\/]/.test(character)) spellings.push(`\\\\${literally(character)}`);
  if (character === ' ') spellings.push('\\+');
  const entity = ENTITIES[character];
  return entity === undefined ? spellings : [...spellings, `&${entity};`];
}

function anyCase(hex: string): string {
  return hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
}

function literally(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/]/, '\\$&');
}

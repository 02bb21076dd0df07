const ENTITIES: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' };

/** So many characters at its beginning tell that a secret is there. What follows is cut out as far as it is the secret. */
const FOUND_BY = 32;

/**
 * Cuts every secret out of a text, also where it is spelled as in a URL, a form, JSON or HTML, and the beginning of a
 * secret from 32 characters on. Takes time linear in the length of the text.
 */
export function redact(text: string, secrets: readonly string[]): string {
  // The longest first: one may begin with another.
  const sorted = secrets.filter((secret) => secret !== '').sort((a, b) => b.length - a.length);
  const escapes = new Map(Array.from(new Set(sorted.join('')), (character) => [character, escapesOf(character)]));
  return sorted.reduce((redacted, secret) => withoutSecret(redacted, secret, escapes), text);
}

function withoutSecret(text: string, secret: string, escapes: ReadonlyMap<string, RegExp>): string {
  const characters = Array.from(secret);
  let redacted = '';
  let done = 0;
  for (let at = 0; at < text.length; at++) {
    const end = endOf(text, at, characters, escapes);
    if (end === undefined) continue;
    redacted += `${text.slice(done, at)}[redacted]`;
    done = end;
    at = end - 1;
  }
  return redacted + text.slice(done);
}

/** Where the secret ends that begins at `start`; undefined if none does. */
function endOf(
  text: string,
  start: number,
  characters: readonly string[],
  escapes: ReadonlyMap<string, RegExp>,
): number | undefined {
  // There may be two ways to read on: a backslash stands for itself, or begins an escape. Later, the longer one is read.
  let ends: readonly number[] = [start];
  for (const [count, character] of characters.entries()) {
    const next = new Set<number>();
    for (const end of ends) addEnds(text, end, character, escapes.get(character), next);
    if (next.size === 0) return count < FOUND_BY ? undefined : Math.max(...ends);
    ends = count < FOUND_BY ? [...next] : [Math.max(...next)];
  }
  return Math.max(...ends);
}

function addEnds(text: string, at: number, character: string, escapes: RegExp | undefined, ends: Set<number>): void {
  if (text.startsWith(character, at)) ends.add(at + character.length);
  if (escapes === undefined || !'%\\&+'.includes(text.charAt(at))) return;
  escapes.lastIndex = at;
  if (escapes.test(text)) ends.add(escapes.lastIndex);
}

/** The escapes of a character, sticky. Hex digits come in both cases. */
function escapesOf(character: string): RegExp {
  const code = character.codePointAt(0) ?? 0;
  const bytes = [...Buffer.from(character, 'utf8')].map((byte) => `%${byte.toString(16).padStart(2, '0')}`);
  const units = [...Array(character.length).keys()].map((index) => character.charCodeAt(index));
  const unicode = units.map((unit) => `\\\\u${unit.toString(16).padStart(4, '0')}`);
  const escapes = [bytes.join(''), unicode.join(''), `&#0{0,8}${code};`, `&#x0{0,8}${code.toString(16)};`];
  if (/["\\/]/.test(character)) escapes.push(`\\\\[${character === '\\' ? '\\\\' : character}]`);
  if (character === ' ') escapes.push('\\+');
  const entity = ENTITIES[character];
  if (entity !== undefined) escapes.push(`&${entity};`);
  return new RegExp(escapes.join('|'), 'iy');
}

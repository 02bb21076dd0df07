import { describe, it } from 'vitest';
import { Redaction } from '../../src/redaction.ts';
import { SPELLINGS } from '../support/spellings.ts';
import { type Chance, fuzz } from './random.ts';

interface Input {
  readonly secrets: readonly string[];
  readonly spelling: string;
  /** An encoding of one of the secrets, split over several header lines. */
  readonly pieces: readonly string[];
  readonly list: readonly string[];
}

const ORDINARY = [
  ...['application/json; charset=utf-8', 'no-cache, no-store, max-age=0', 'Mon, 23 Nov 2026 10:00:00 GMT', 'nosniff'],
  ...['', 'x', 'W/"138-LZkPpm1x2v6Y"', 'sid=eyJpdiI6%3D%3D; path=/', '/a%20b?x=1&y=%2F', '8f14e45f-ceea-467f-a8d1'],
];

function make(chance: Chance): Input {
  const secrets = Array.from({ length: 1 + chance.below(4) }, () => secretOf(chance));
  const secret = chance.pick(secrets);
  const [name, spell] = chance.pick(SPELLINGS);
  const text = Buffer.from(spell(secret)).toString('latin1');
  // Without characters that begin an escape sequence, which would end within the secret.
  const around = () => chance.text(8, 0x27).replaceAll('\\', '/');
  const pieces = cut(chance, around() + text + around());
  const values = [...chance.pickSome(ORDINARY, 4), ...pieces, ...chance.pickSome(ORDINARY, 4)];
  return { secrets, spelling: name, pieces, list: values.flatMap((value) => ['x-a', value]) };
}

function secretOf(chance: Chance): string {
  const alphabet = chance.pick(['0123456789abcdef', 'abcXYZ012-_', 'aZ0+/=', 'a b"&<;ü✓', 'aB3~!$.,:@|']);
  return Array.from({ length: 8 + chance.below(60) }, () => chance.pick(Array.from(alphabet))).join('');
}

/** Splits the text into up to three pieces of at least 4 characters. */
function cut(chance: Chance, text: string): string[] {
  const pieces = 1 + chance.below(3);
  if (text.length < 8 * pieces) return [text];
  const ends = Array.from({ length: pieces - 1 }, (_, i) => {
    const part = Math.floor(text.length / pieces);
    return (i + 1) * part + chance.below(part - 4);
  });
  return [0, ...ends].map((start, i) => text.slice(start, ends[i] ?? text.length));
}

function check({ secrets, pieces, list }: Input): void {
  const redaction = new Redaction(secrets);
  const kept = redaction.cleanHeaders([...list]).filter((_, i) => i % 2 === 1);
  if (redaction.isIn(kept.join(''))) throw new Error('a secret is left');
  if (pieces.every((piece) => kept.includes(piece))) throw new Error('all pieces are left');
  if (redaction.isIn(redaction.redact(list.join('')))) throw new Error('a secret is left in the text');
}

describe('a redaction', () => {
  it('leaves no secret in headers or texts, however it is encoded and split', async () => {
    await fuzz({ name: 'spelled secrets', count: 10_000, make, check });
  });
});

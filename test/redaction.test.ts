import { describe, expect, it } from 'vitest';
import { Redaction, RequestRedaction, type SecretSearch } from '../src/redaction.ts';
import { SPELLINGS } from './support/spellings.ts';

const TOKEN = 'real-token+0/123=';
const SECRETS = [TOKEN, 'q+r "ü&/\\9 x', 'k-1234567'];

/** As header values come: a character for each byte. */
function asBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

const redaction = new Redaction(SECRETS);

/** Of a request that this secret was computed for. */
function requestRedaction(computed: string): RequestRedaction {
  return new RequestRedaction(new Redaction(SECRETS.filter((secret) => secret !== computed)), [asBytes(computed)]);
}

const SEARCHES: readonly (readonly [name: string, searchFor: (secret: string) => SecretSearch])[] = [
  ['Redaction', () => redaction],
  ['RequestRedaction', requestRedaction],
];

const ORDINARY = [
  ...['date', 'Mon, 23 Nov 2026 10:00:00 GMT'],
  ...['content-type', 'application/json; charset=utf-8'],
  ...['location', 'https://api.example/a%20b?next=%2Fpay%3Fid%3D1&x=&amp;'],
  ...['set-cookie', 'session=eyJpdiI6IkxqTGd5S0Zz%2Bmore%3D%3D; path=/; httponly'],
  ...['etag', 'W/"138-LZkPpm1x2v6YbqF0i3V8c9d0e1f"'],
];

describe.each(SEARCHES.flatMap((search) => SECRETS.map((secret) => [...search, secret] as const)))(
  'by %s, the secret %3$j',
  (_, searchFor, secret) => {
    it.each(SPELLINGS)('is found and removed %s', (_, spell) => {
      for (const text of [spell(secret), asBytes(spell(secret))]) {
        const redaction = searchFor(secret);
        expect(redaction.isIn(text)).toBe(true);
        expect(redaction.redact(text).replace(/^[\\"{text:]+|[\\"}]+$/g, '')).toBe('[redacted]');
        expect(redaction.redact(`before ${text} after`)).toMatch(/^before .*\[redacted\].* after$/);
      }
    });

    it.each(SPELLINGS)('removes only the header that contains it: %s', (_, spell) => {
      const value = asBytes(spell(secret));
      expect(searchFor(secret).cleanHeaders([...ORDINARY, 'x-echo', `a ${value} b`, 'x-after', 'nosniff'])).toEqual([
        ...ORDINARY,
        ...['x-after', 'nosniff'],
      ]);
    });

    it.each(SPELLINGS)('removes the headers that it is split over: %s', (_, spell) => {
      const value = asBytes(spell(secret));
      for (let at = 1; at < value.length; at++) {
        const split = ['x-split', value.slice(0, at), 'x-split', value.slice(at)];
        const kept = searchFor(secret).cleanHeaders([...ORDINARY, ...split, 'x-after', 'nosniff']);
        // Of base64 some characters at the ends say nothing of the secret.
        expect(kept.filter((text) => text === 'x-split').length).toBeLessThan(2);
        expect(kept.filter((_, i) => kept[i - (i % 2)] !== 'x-split')).toEqual([...ORDINARY, 'x-after', 'nosniff']);
      }
    });
  },
);

describe('Redaction', () => {
  it('returns the same list of headers without a secret', () => {
    const list = [...ORDINARY];
    expect(redaction.cleanHeaders(list)).toBe(list);
    expect(list).toEqual(ORDINARY);
  });

  it('removes a header with a secret in its name', () => {
    expect(redaction.cleanHeaders(['a', '1', `x-${SECRETS[2]!}`, '2', 'b', '3'])).toEqual(['a', '1', 'b', '3']);
  });

  it('removes three headers that a secret is split over', () => {
    const [one, two, three] = [TOKEN.slice(0, 5), TOKEN.slice(5, 11), TOKEN.slice(11)];
    expect(redaction.cleanHeaders(['a', one, 'a', two, 'a', three, 'b', 'x'])).toEqual(['b', 'x']);
  });

  it('keeps parts of a secret and similar texts', () => {
    for (const text of [TOKEN.slice(0, -1), TOKEN.slice(1), TOKEN.toUpperCase(), TOKEN.replace('0', '1')]) {
      expect(redaction.isIn(text)).toBe(false);
      expect(redaction.redact(text)).toBe(text);
    }
  });

  it('ignores secrets of less than 8 characters', () => {
    const short = new Redaction(['', 'test', 'sandbox', 'mtnuganda']);
    const list = ['x-mode', 'test', 'x-env', 'sandbox', 'x-target', 'mtnuganda'];
    expect(short.cleanHeaders(list)).toEqual(['x-mode', 'test', 'x-env', 'sandbox']);
    expect(new Redaction(['test']).cleanHeaders(list)).toBe(list);
  });

  it('removes shorter secrets if minLength allows', () => {
    expect(new Redaction(['', 'k-1'], 1).redact('a k-1 b k%2D1 c')).toBe('a [redacted] b [redacted] c');
  });

  it('removes the whole base64 text around a secret', () => {
    const basic = Buffer.from(`user:${TOKEN}`).toString('base64');
    expect(redaction.redact(`authorization: Basic ${basic}, x`)).toBe('authorization: Basic [redacted], x');
  });

  it('takes linear time for any text', () => {
    const pieces = ['%', '%25', '%2525', '\\', '\\u', '&#0', '&', TOKEN.slice(0, 8), 'YWFh', TOKEN, '%72'];
    const cpuMs = (size: number) => {
      const texts = pieces.map((piece) => piece.repeat(Math.ceil(size / piece.length)));
      const before = process.cpuUsage();
      for (let i = 0; i < 5; i++) for (const text of texts) redaction.redact(text);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    };
    cpuMs(16 * 1024);
    expect(cpuMs(256 * 1024)).toBeLessThan(16 * 4 * cpuMs(16 * 1024));
  });
});

describe('RequestRedaction', () => {
  it('returns the same list of headers without a secret', () => {
    const list = [...ORDINARY];
    expect(requestRedaction(TOKEN).cleanHeaders(list)).toBe(list);
    expect(new RequestRedaction(redaction, []).cleanHeaders(list)).toBe(list);
  });

  it.each([
    ['of special characters only', '%&\\ %&\\ '],
    ['of other bytes than UTF-8', 'k-\xff\xfe-12345'],
    ['in a longer text', `start ${'12345678'.repeat(20)} end`],
  ])('finds a secret %s', (_, secret) => {
    const found = new RequestRedaction(new Redaction([]), ['another-secret', secret]);
    expect(found.isIn(`a ${secret} b`)).toBe(true);
    expect(found.redact(`a ${secret} b`)).toBe('a [redacted] b');
    expect(found.isIn(secret.slice(1))).toBe(false);
  });

  it.each(['base64', 'base64url'] as const)('finds a secret whose %s is not letters and digits alone', (encoding) => {
    const found = new RequestRedaction(new Redaction([]), ['~~~~~~~~~~']);
    expect(found.isIn(Buffer.from('~~~~~~~~~~').toString(encoding))).toBe(true);
  });

  it('removes a computed text whole if it contains a known secret', () => {
    const text = `174379${TOKEN}20261201120000`;
    expect(new RequestRedaction(redaction, [text]).redact(`a ${text} b ${TOKEN} c`)).toBe(
      'a [redacted] b [redacted] c',
    );
  });

  it('finds the beginning of a secret that is longer than all that is shown', () => {
    const secret = Array.from({ length: 4000 }, (_, i) => `${i}-key`).join('');
    const found = new RequestRedaction(new Redaction([]), [secret]);
    expect(found.redact(secret.slice(0, 16 * 1024))).toBe('[redacted]');
  });

  it('ignores computed values of less than 8 characters', () => {
    expect(new RequestRedaction(new Redaction([]), ['1234567', '']).isIn('1234567')).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { didYouMean, nearest } from '../../src/config/diagnostics.ts';

describe('nearest', () => {
  it.each([
    ['mpsea', 'mpesa'],
    ['consumer_kye', 'consumer_key'],
    ['Upstream', 'upstream'],
    ['max-body', 'max_body'],
    ['time_out', 'timeout'],
    ['jpy', 'jpay'],
  ])('suggests for `%s`: `%s`', (word, meant) => {
    expect(nearest(word, ['mpesa', 'jpay', 'consumer_key', 'consumer_secret', 'upstream', 'max_body', 'timeout'])).toBe(
      meant,
    );
  });

  it('allows one edit in a word of three letters', () => {
    expect(nearest('cat', ['cut'])).toBe('cut');
    expect(nearest('cat', ['cup'])).toBeUndefined();
  });

  it('allows three edits in a long word', () => {
    expect(nearest('abcdefghijkl', ['abcdefghiXYZ'])).toBe('abcdefghiXYZ');
    expect(nearest('abcdefghijkl', ['abcdefghWXYZ'])).toBeUndefined();
  });

  it('prefers the nearest candidate', () => {
    expect(nearest('routs', ['roots', 'route', 'routes'])).toBe('roots');
    expect(nearest('routess', ['roots', 'routes'])).toBe('routes');
  });

  it('suggests nothing if no candidate is close', () => {
    expect(didYouMean('zebra', ['mpesa', 'jpay'])).toBe('');
    expect(didYouMean('x'.repeat(100_000), ['mpesa'])).toBe('');
  });
});

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
  ])('takes `%s` for `%s`', (word, meant) => {
    expect(nearest(word, ['mpesa', 'jpay', 'consumer_key', 'consumer_secret', 'upstream', 'max_body', 'timeout'])).toBe(
      meant,
    );
  });

  it('takes a word of three letters for one an edit away, and not two', () => {
    expect(nearest('cat', ['cut'])).toBe('cut');
    expect(nearest('cat', ['cup'])).toBeUndefined();
  });

  it('takes a long word for one three edits away, and not four', () => {
    expect(nearest('abcdefghijkl', ['abcdefghiXYZ'])).toBe('abcdefghiXYZ');
    expect(nearest('abcdefghijkl', ['abcdefghWXYZ'])).toBeUndefined();
  });

  it('prefers the nearest of several', () => {
    expect(nearest('routs', ['roots', 'route', 'routes'])).toBe('roots');
    expect(nearest('routess', ['roots', 'routes'])).toBe('routes');
  });

  it('says nothing where nothing is near', () => {
    expect(didYouMean('zebra', ['mpesa', 'jpay'])).toBe('');
    expect(didYouMean('x'.repeat(100_000), ['mpesa'])).toBe('');
  });
});

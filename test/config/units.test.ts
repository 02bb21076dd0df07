import { describe, expect, it } from 'vitest';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/config/values.ts';

describe('units', () => {
  it.each([
    ['500ms', 500],
    ['60s', 60_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['0s', 0],
  ])('reads the duration %s as %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '60', 's', '1.5s', '-1s', '1m30s', '60 s', '60S', '60s ', '1d', '1e3s', '60s\n'])(
    'takes %j for no duration',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it.each([
    ['0', 0],
    ['1048576', 1_048_576],
    ['10B', 10],
    ['1kB', 1000],
    ['1KB', 1000],
    ['1MB', 1_000_000],
    ['1GB', 1_000_000_000],
    ['64KiB', 65_536],
    ['10MiB', 10_485_760],
    ['10 MiB', 10_485_760],
    ['1GiB', 1_073_741_824],
  ])('reads the size %s as %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'MiB', '10mib', '10M', '1.5MiB', '-1', '1e3', '10  MiB', '10MiB '])('takes %j for no size', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it('writes durations and sizes in the largest unit that is exact', () => {
    expect([0, 1, 1000, 1500, 60_000, 3_600_000, 86_400_000].map(formatDuration)).toEqual([
      '0ms',
      '1ms',
      '1s',
      '1500ms',
      '1m',
      '1h',
      '24h',
    ]);
    expect([0, 1000, 1024, 1024 ** 2, 1024 ** 3].map(formatSize)).toEqual(['0', '1000', '1KiB', '1MiB', '1GiB']);
  });
});

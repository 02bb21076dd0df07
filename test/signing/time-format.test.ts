import { describe, expect, it } from 'vitest';
import { formatTime, timeFormatError, zoneError } from '../../src/signing/time-format.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 12, 0, 0, 123);

describe('a time', () => {
  it.each([
    ['epoch_s', undefined, '1767268800'],
    ['epoch_ms', '+03:00', '1767268800123'],
    ['iso8601', undefined, '2026-01-01T12:00:00Z'],
    ['iso8601', '+03:00', '2026-01-01T15:00:00+03:00'],
    ['iso8601', '+00:00', '2026-01-01T12:00:00+00:00'],
    ['iso8601_ms', undefined, '2026-01-01T12:00:00.123Z'],
    ['iso8601_ms', '-03:30', '2026-01-01T08:30:00.123-03:30'],
    ['yyyyMMddHHmmss', '+03:00', '20260101150000'],
    ['yyyyMMddHHmmssSSS', undefined, '20260101120000123'],
    ['yyyy-MM-dd', '+14:00', '2026-01-02'],
    ['yyyy-MM-dd', '-12:00', '2026-01-01'],
    ["'at' HH 'o''clock' ''mm''", undefined, "at 12 o'clock '00'"],
    ["yyyy'yyyy'", undefined, '2026yyyy'],
    ['dd/MM/yyyy HH:mm:ss XXX', '+05:45', '01/01/2026 17:45:00 +05:45'],
  ])('in the format %s at %s is %s', (format, zone, expected) => {
    expect(timeFormatError(format)).toBeUndefined();
    expect(formatTime(NOW_MS, format, zone)).toBe(expected);
  });

  it.each([
    ['YYYYMMdd', 'has the unknown letters `YYYY`; use `yyyy`'],
    ['yyyyMMDD', 'has the unknown letters `DD`; use `dd`'],
    ['hh:mm', 'has the unknown letters `hh`; use `HH`'],
    ['yyyyMMddTHHmmss', "has the unknown letters `T`; write `'T'`"],
    ['yyyyyMMdd', "has the unknown letters `yyyyy`; write text in quotes: `'yyyyy'`"],
    ['MMMyyyy', 'has the unknown letters `MMM`; use `MM`; names of months are not supported'],
    ['EEE, dd', 'has the unknown letters `EEE`; names of days are not supported'],
    ['yyyy at HH', "has the unknown letters `a`; write text in quotes: `'a'`"],
    ["yyyy'T", 'has a quote without its end; two quotes are a quote'],
    ['iso_8601', 'is unknown; use `epoch_s`, `epoch_ms`, `iso8601`, `iso8601_ms` or a pattern'],
    ...['epoch', 'iso', 'timestamp', 'RFC1123', 'unix_ms'].map((name) => [
      name,
      'is unknown; use `epoch_s`, `epoch_ms`, `iso8601`, `iso8601_ms` or a pattern',
    ]),
    ['', 'is empty'],
    ["'now'", 'has no part of the time, such as `yyyy`'],
  ])('cannot have the format %j', (format, problem) => {
    expect(timeFormatError(format)).toBe(problem);
  });

  it.each(['3', '+3:00', '+0300', 'Z', 'UTC', 'EAT', 'Africa/Nairobi', '+15:00', '+03:60', ''])(
    'cannot be at %j',
    (zone) => {
      expect(zoneError(zone)).toBe('must be an offset from UTC such as `+03:00`');
    },
  );

  it.each(['+00:00', '-12:00', '+14:00', '+05:45'])('can be at %s', (zone) => {
    expect(zoneError(zone)).toBeUndefined();
  });
});

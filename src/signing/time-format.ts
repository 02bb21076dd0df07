const NAMED = ['epoch_s', 'epoch_ms', 'iso8601', 'iso8601_ms'];
const ISO = "yyyy-MM-dd'T'HH:mm:ssXXX";
const ISO_MS = "yyyy-MM-dd'T'HH:mm:ss.SSSXXX";

/** A quoted text, a run of one letter, or other characters. Whatever else there is, is a quote without its end. */
const PARTS = /'((?:[^']|'')*)'|(([A-Za-z])\3*)|[^A-Za-z']+|'/g;

/** What people write instead. */
const HINTS: Readonly<Record<string, string>> = {
  YYYY: 'use `yyyy`',
  YY: 'use `yyyy`',
  yy: 'use `yyyy`',
  DD: 'use `dd`',
  d: 'use `dd`',
  M: 'use `MM`',
  hh: 'use `HH`',
  h: 'use `HH`',
  H: 'use `HH`',
  kk: 'use `HH`',
  m: 'use `mm`',
  MMM: 'use `MM`; names of months are not supported',
  MMMM: 'use `MM`; names of months are not supported',
  EEE: 'names of days are not supported',
  EEEE: 'names of days are not supported',
  s: 'use `ss`',
  SS: 'use `ss` for seconds, `SSS` for milliseconds',
  S: 'use `SSS`',
  fff: 'use `SSS`',
  Z: "use `XXX`, or `'Z'` for the letter",
  X: 'use `XXX`',
  XX: 'use `XXX`',
  T: "write `'T'`",
};

/** A part of the time, or what people write instead of one. */
const FIELD = /yyyy|MM|dd|HH|mm|ss|SSS|XXX|YY|yy|DD|hh/;

type Fields = Readonly<Record<string, string>>;

/**
 * The time in a format of `now`.
 * @param timeMs epoch milliseconds
 * @param zone offset such as `+03:00`; undefined: UTC, which `XXX` writes as `Z`
 */
export function formatTime(timeMs: number, format: string, zone: string | undefined): string {
  switch (format) {
    case 'epoch_s':
      return String(Math.floor(timeMs / 1000));
    case 'epoch_ms':
      return String(Math.floor(timeMs));
    case 'iso8601':
      return formatTime(timeMs, ISO, zone);
    case 'iso8601_ms':
      return formatTime(timeMs, ISO_MS, zone);
  }
  const local = new Date(timeMs + offsetMs(zone)).toISOString();
  const fields: Fields = {
    yyyy: local.slice(0, 4),
    MM: local.slice(5, 7),
    dd: local.slice(8, 10),
    HH: local.slice(11, 13),
    mm: local.slice(14, 16),
    ss: local.slice(17, 19),
    SSS: local.slice(20, 23),
    XXX: zone ?? 'Z',
  };
  return format.replaceAll(PARTS, (part: string, quoted: string | undefined, letters: string | undefined) => {
    if (quoted !== undefined) return quoted === '' ? "'" : quoted.replaceAll("''", "'");
    return letters === undefined ? part : (fields[letters] ?? part);
  });
}

/** What is wrong with a format; undefined if nothing is. */
export function timeFormatError(format: string): string | undefined {
  if (NAMED.includes(format)) return undefined;
  if (format === '') return 'is empty';
  // It is one of the names, misspelled.
  if (/^[A-Za-z][a-z\d]*_/.test(format) || (/^[A-Za-z\d]+$/.test(format) && !FIELD.test(format)))
    return `is unknown; use ${NAMED.map((name) => `\`${name}\``).join(', ')} or a pattern`;
  let hasField = false;
  for (const [part, , letters] of format.matchAll(PARTS)) {
    if (part === "'") return 'has a quote without its end; two quotes are a quote';
    if (letters === undefined) continue;
    if (!['yyyy', 'MM', 'dd', 'HH', 'mm', 'ss', 'SSS', 'XXX'].includes(letters)) {
      const hint = Object.hasOwn(HINTS, letters) ? HINTS[letters] : `write text in quotes: \`'${letters}'\``;
      return `has the unknown letters \`${letters}\`; ${hint}`;
    }
    hasField = true;
  }
  return hasField ? undefined : 'has no part of the time, such as `yyyy`';
}

/** What is wrong with a zone; undefined if nothing is. */
export function zoneError(zone: string): string | undefined {
  // The offsets in use are -12:00 to +14:00.
  return /^[+-](0\d|1[0-4]):[0-5]\d$/.test(zone) ? undefined : 'must be an offset from UTC such as `+03:00`';
}

function offsetMs(zone: string | undefined): number {
  if (zone === undefined) return 0;
  const [hours = 0, minutes = 0] = zone.slice(1).split(':').map(Number);
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

/**
 * A text without the characters that steer a terminal or turn the direction of writing: providers and certificates
 * name themselves as they like.
 */
function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '?');
}

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
];

/** A duration in its two largest units, `59 min 59 s`; a short one as `1.5 s` or `40 ms`. `ms` is not negative. */
export function formatSeconds(ms: number): string {
  if (ms < 950) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${Math.round(ms / 100) / 10} s`;
  let left = Math.round(ms / 1000) * 1000;
  const parts: string[] = [];
  for (const [name, unit] of UNITS) {
    if (left >= unit) parts.push(`${Math.floor(left / unit)} ${name}`);
    else if (parts.length > 0) break;
    left %= unit;
  }
  return parts.slice(0, 2).join(' ');
}

/** `a`, `a and b`, `a, b and c`. */
export function formatList(items: readonly string[]): string {
  const last = items.at(-1) ?? '';
  return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} and ${last}`;
}

export type Result = 'ok' | 'warning' | 'failed' | 'skipped';

/** What kind of failure the exit code tells: refused credentials, something out of reach, or something else wrong. */
type Fault = 'denied' | 'unreachable' | 'wrong';

/** What one check saw, and what to do about it: a sentence each, fit for a terminal. */
export interface Finding {
  readonly result: Result;
  readonly saw: string;
  /** Undefined where nothing is to be done. */
  readonly remedy: string | undefined;
  /** Of a failed check only. */
  readonly fault: Fault | undefined;
}

/** The names of the checks, which users of `--json` rely on. `auth_`: of the token endpoint's host, where it is another. */
export type CheckName =
  'environment' | 'dns' | 'tcp' | 'tls' | 'auth_dns' | 'auth_tcp' | 'auth_tls' | 'token' | 'lifetime' | 'clock';

export interface Check extends Finding {
  readonly name: CheckName;
}

export function ok(saw: string): Finding {
  return { result: 'ok', saw: escapeControls(saw), remedy: undefined, fault: undefined };
}

export function warning(saw: string, remedy: string): Finding {
  return { result: 'warning', saw: escapeControls(saw), remedy: escapeControls(remedy), fault: undefined };
}

export function failed(fault: Fault, saw: string, remedy: string): Finding {
  return { result: 'failed', saw: escapeControls(saw), remedy: escapeControls(remedy), fault };
}

/** `why`: what makes the check pointless. */
export function skipped(why: string): Finding {
  return { result: 'skipped', saw: escapeControls(why), remedy: undefined, fault: undefined };
}

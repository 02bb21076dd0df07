import type { Diagnosis } from '../../diagnosis/diagnosis-context.ts';

/**
 * Replaces the characters that control a terminal or change the direction of writing. Providers and certificates may
 * send any text.
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

export type Result = 'ok' | 'warning' | 'failed' | 'skipped';

/** Decides the exit code: refused credentials, something that cannot be reached, or anything else. */
type Failure = 'denied' | 'unreachable' | 'wrong';

export interface CheckResult {
  readonly result: Result;
  readonly what: string;
  /** What to do; undefined if there is nothing to do. */
  readonly hint: string | undefined;
  /** Of a failed check only. */
  readonly failure: Failure | undefined;
}

/** Public names in the JSON report. `auth_` stands for the host of the token endpoint, if that is another host. */
export type CheckName =
  | 'environment'
  | 'keys'
  | 'proxy'
  | 'dns'
  | 'tcp'
  | 'tls'
  | 'auth_proxy'
  | 'auth_dns'
  | 'auth_tcp'
  | 'auth_tls'
  | 'token'
  | 'lifetime'
  | 'clock'
  | 'call';

export interface Check extends CheckResult {
  readonly name: CheckName;
}

export function ok(what: string): CheckResult {
  return { result: 'ok', what: escapeControls(what), hint: undefined, failure: undefined };
}

export function warning({ what, hint }: Pick<Diagnosis, 'what' | 'hint'>): CheckResult {
  return { result: 'warning', what: escapeControls(what), hint: escapeControls(hint), failure: undefined };
}

export function failed(failure: Failure, { what, hint }: Pick<Diagnosis, 'what' | 'hint'>): CheckResult {
  return { result: 'failed', what: escapeControls(what), hint: escapeControls(hint), failure };
}

/** `why`: what makes the check pointless. */
export function skipped(why: string): CheckResult {
  return { result: 'skipped', what: escapeControls(why), hint: undefined, failure: undefined };
}

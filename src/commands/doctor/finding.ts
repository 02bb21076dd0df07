import { escapeControls } from './harmless.ts';

export type Result = 'ok' | 'warning' | 'failed' | 'skipped';

/** What kind of failure the exit code tells: refused credentials, something out of reach, or something else wrong. */
export type Fault = 'denied' | 'unreachable' | 'wrong';

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

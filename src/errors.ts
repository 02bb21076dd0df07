/** Status of each error code, and whether the request may have reached the provider. The one table of both. */
const CODES = {
  bad_request_target: { status: 400, outcome: 'not_sent' },
  bad_request: { status: 400, outcome: 'not_sent' },
  client_unauthorized: { status: 401, outcome: 'not_sent' },
  client_forbidden: { status: 403, outcome: 'not_sent' },
  host_refused: { status: 403, outcome: 'not_sent' },
  origin_refused: { status: 403, outcome: 'not_sent' },
  path_refused: { status: 403, outcome: 'not_sent' },
  no_route: { status: 404, outcome: 'not_sent' },
  method_not_allowed: { status: 405, outcome: 'not_sent' },
  request_timeout: { status: 408, outcome: 'not_sent' },
  body_too_large: { status: 413, outcome: 'not_sent' },
  expectation_failed: { status: 417, outcome: 'not_sent' },
  header_too_large: { status: 431, outcome: 'not_sent' },
  internal_error: { status: 500, outcome: 'unknown' },
  upgrade_refused: { status: 501, outcome: 'not_sent' },
  token_denied: { status: 502, outcome: 'not_sent' },
  upstream_unreachable: { status: 502, outcome: 'not_sent' },
  upstream_reset: { status: 502, outcome: 'unknown' },
  upstream_invalid: { status: 502, outcome: 'unknown' },
  overloaded: { status: 503, outcome: 'not_sent' },
  token_unavailable: { status: 503, outcome: 'not_sent' },
  upstream_timeout: { status: 504, outcome: 'unknown' },
  loop_detected: { status: 508, outcome: 'not_sent' },
} as const satisfies Record<string, { status: number; outcome: Outcome }>;

export type ErrorCode = keyof typeof CODES;

/** Status of an error code; undefined for what is none. */
export function statusOf(code: string): number | undefined {
  return Object.hasOwn(CODES, code) ? CODES[code as ErrorCode].status : undefined;
}

/** `not_sent`: the provider surely never saw the request. `unknown`: it may have, and may have acted on it. */
export type Outcome = 'not_sent' | 'unknown';

interface ProxyErrorOptions {
  readonly cause?: unknown;
  /** Overrides the code's usual outcome, where more is known. */
  readonly outcome?: Outcome;
  /** Whole seconds, for `Retry-After`. */
  readonly retryAfterS?: number;
}

/**
 * Why Wakala answers a request itself. `detail` is shown to the caller: what happened and what to do, never a
 * token, a secret or a provider's words. `cause` is for the log alone.
 */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly outcome: Outcome;
  readonly retryAfterS: number | undefined;

  constructor(code: ErrorCode, detail: string, options: ProxyErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = CODES[code].status;
    this.outcome = options.outcome ?? CODES[code].outcome;
    this.retryAfterS = options.retryAfterS;
  }
}

/** One thing wrong with a configuration file. `line` and `column` count from 1. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path of the offending key, e.g. `routes./mpesa/*.timeout`. Empty for the file as a whole. */
  readonly key: string;
  readonly message: string;
}

/** Everything that is wrong with a configuration file, at once. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** `file:line:column: message`, the form editors and CI logs turn into links. */
export function formatProblem(problem: ConfigProblem): string {
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}`;
}

/** The short code of a network error (`ECONNREFUSED`): its message may quote a URL, and with it a refresh token. */
export function networkCode(error: unknown): string {
  // Causes are followed a few steps, for they may lead in a circle.
  let cause = error;
  for (let steps = 0; steps < 5 && typeof cause === 'object' && cause !== null; steps++) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code;
    if (!('cause' in cause)) return 'name' in cause && typeof cause.name === 'string' ? cause.name : 'unknown error';
    cause = cause.cause;
  }
  return 'unknown error';
}

/** What a log line says of a failure. */
export function failureFields(error: ProxyError): Record<string, string> {
  const fields = { code: error.code, outcome: error.outcome, error: error.message };
  const { cause } = error;
  if (cause === undefined) return fields;
  // A fault of wakala's own is told whole, since it is to be found and mended.
  const whole = error.code === 'internal_error' && cause instanceof Error ? cause.stack : undefined;
  return { ...fields, cause: whole ?? networkCode(cause) };
}

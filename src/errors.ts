/** HTTP status and usual outcome of each error code. */
const CODES = {
  bad_request_target: { status: 400, outcome: 'not_sent' },
  bad_request: { status: 400, outcome: 'not_sent' },
  signature_impossible: { status: 400, outcome: 'not_sent' },
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

/** The status of an error code; undefined for any other text. */
export function statusOf(code: string): number | undefined {
  return Object.hasOwn(CODES, code) ? CODES[code as ErrorCode].status : undefined;
}

/**
 * `not_sent`: the provider did not act on the request. It never received it, or it refused the token of a first attempt
 * and the second attempt was not sent. `unknown`: the provider may have acted on it.
 */
export type Outcome = 'not_sent' | 'unknown';

/** What to do after a failure with outcome `unknown`. */
export const MAY_HAVE_ACTED =
  'The provider may have acted on the request. Check the outcome there before you send it again.';

/** What took too long. */
export type TimeoutPhase =
  /** Opening a connection. Includes the TLS handshake, unless that is measured separately. */
  | 'connect'
  /** The TLS handshake. */
  | 'tls'
  /** Sending the request to the upstream. */
  | 'send'
  /** Receiving the request body from the client, of which a part was already sent to the upstream. */
  | 'request_body'
  /** Waiting for the response of the upstream. */
  | 'response'
  /** Waiting for the response of the token endpoint or the issuer. */
  | 'token';

/**
 * Why something failed. Code decides on this and never on the text of a message. It is plain data without secrets, so
 * that it can go to other processes. A `host` has its port if that is not the usual one.
 */
export type Reason =
  /**
   * No connection could be opened, or it broke before a token arrived. `code` is that of Node, OpenSSL, the resolver or
   * Wakala's own client, such as `ECONNREFUSED` or `LINK_LOCAL_ADDRESS`.
   */
  | { readonly kind: 'network'; readonly code: string; readonly host: string }
  | { readonly kind: 'timeout'; readonly phase: TimeoutPhase; readonly timeoutMs: number; readonly host: string }
  /** The egress proxy responded with this status instead of opening a connection to `host`. `setting` names the proxy. */
  | {
      readonly kind: 'egress_refused';
      readonly status: number;
      readonly proxy: string;
      readonly setting: string;
      readonly host: string;
    }
  /** The egress proxy could not be used to reach `host`. `code` is as for `network`, or `INVALID_RESPONSE`. */
  | {
      readonly kind: 'egress_failed';
      readonly code: string;
      readonly proxy: string;
      readonly setting: string;
      readonly host: string;
    }
  /** The connection to the upstream broke after a part of the request was sent. */
  | { readonly kind: 'connection_lost'; readonly host: string }
  /** The response is not valid HTTP. `rule` says what it breaks and quotes nothing of it. */
  | { readonly kind: 'malformed_response'; readonly rule: string; readonly host: string | undefined }
  /** The token endpoint responded with an error status. */
  | { readonly kind: 'http_status'; readonly status: number }
  /**
   * The token endpoint redirects (RFC 9110 15.4). `location` has no user, query and secrets. `change` says what differs
   * from the URL of the request.
   */
  | {
      readonly kind: 'redirected';
      readonly status: number;
      readonly location: string;
      readonly change: 'scheme' | 'path' | 'host';
    }
  /** The token endpoint responded with a web page, usually of a firewall. */
  | { readonly kind: 'html_page'; readonly status: number }
  /** The token endpoint responded that the client certificate is missing, or that it does not accept it. */
  | { readonly kind: 'client_certificate'; readonly problem: CertificateProblem; readonly status: number }
  | { readonly kind: 'credentials_refused'; readonly status: number }
  /** The token endpoint responded with success, but its response has no token that can be sent. */
  | { readonly kind: 'no_usable_token'; readonly rule: TokenRule; readonly status: number }
  /** The token endpoint responded with success, but its Content-Encoding could not be undone. */
  | {
      readonly kind: 'undecodable_body';
      readonly problem: ContentProblem['kind'];
      readonly coding: string;
      readonly status: number;
    }
  /**
   * The metadata of the issuer (RFC 8414) names no token endpoint that can be used. `problem` says why, and `status` is
   * that of the last response.
   */
  | { readonly kind: 'no_token_endpoint'; readonly problem: string; readonly status: number; readonly host: string }
  /** The newest refresh token is in the token store, which cannot be used. `code` is that of `StoreUnavailable`. */
  | { readonly kind: 'refresh_token_unavailable'; readonly code: string }
  /**
   * A value of the token request (`token.request.values`) could not be computed. `problem` says why, without a period at
   * its end. `credentials`: the names of those that the values use. Nothing was sent.
   */
  | { readonly kind: 'value_impossible'; readonly problem: string; readonly credentials: readonly string[] }
  /** A limit of the configuration is reached. `key` is its name there. */
  | { readonly kind: 'limit'; readonly key: LimitKey }
  /** The upstream leads back to this proxy. */
  | { readonly kind: 'loop' }
  /** Wakala is stopping, or the configuration of the upstream changed. Nothing was sent. */
  | { readonly kind: 'shutdown'; readonly host: string }
  /** Wakala itself is at fault. */
  | { readonly kind: 'internal' };

/** Why a body could not be decoded (RFC 9110 8.4). It has no part of the body. */
export interface ContentProblem {
  /** `too_long`: longer than the limit after decoding. */
  readonly kind: 'unknown_coding' | 'broken' | 'too_long';
  /** The coding at fault, such as `gzip`. At most 30 characters of printable ASCII. */
  readonly coding: string;
}

/** Completes "The body ...". */
export function describeContentProblem({ kind, coding }: ContentProblem): string {
  switch (kind) {
    case 'unknown_coding':
      return `has a Content-Encoding that Wakala does not know (${coding})`;
    case 'broken':
      return `is not valid ${coding}`;
    case 'too_long':
      return 'is too long after decoding';
  }
}

export type CertificateProblem = 'missing' | 'refused';

/** What a server does, for the end of a sentence. */
export const CERTIFICATE_PROBLEMS: Readonly<Record<CertificateProblem, string>> = {
  missing: 'demands a client certificate',
  refused: 'does not accept the client certificate',
};

/** What is wrong with a successful token response. */
export type TokenRule =
  | 'empty_body'
  | 'not_json'
  | 'xml'
  /** It does not have the configured `format`. */
  | 'wrong_format'
  | 'field_missing'
  | 'not_sendable';

type LimitKey = 'max_concurrency' | 'max_websockets' | 'max_connections';

type FieldChecks<Fields> = { readonly [Name in Exclude<keyof Fields, 'kind'>]-?: (value: unknown) => boolean };

const isHost = (value: unknown) => typeof value === 'string' && /^[!-~]{1,270}$/.test(value);
const isProblem = (value: unknown) => typeof value === 'string' && /^[ -~]{1,500}$/.test(value);
const isCode = (value: unknown) => typeof value === 'string' && /^[ -~]{1,100}$/.test(value);
const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
const isOneOf =
  <Name extends string>(names: Readonly<Record<Name, true>>) =>
  (value: unknown) =>
    typeof value === 'string' && Object.hasOwn(names, value);

/** The fields of each kind of reason, with what their values have to be. */
const REASON_FIELDS: { readonly [Kind in Reason['kind']]: FieldChecks<Extract<Reason, { kind: Kind }>> } = {
  network: { code: isCode, host: isHost },
  timeout: {
    phase: isOneOf<TimeoutPhase>({
      connect: true,
      tls: true,
      send: true,
      request_body: true,
      response: true,
      token: true,
    }),
    timeoutMs: isCount,
    host: isHost,
  },
  egress_refused: { status: isCount, proxy: isHost, setting: isCode, host: isHost },
  egress_failed: { code: isCode, proxy: isHost, setting: isCode, host: isHost },
  connection_lost: { host: isHost },
  malformed_response: { rule: isCode, host: (value) => value === undefined || isHost(value) },
  http_status: { status: isCount },
  redirected: {
    status: isCount,
    location: isProblem,
    change: isOneOf<'scheme' | 'path' | 'host'>({ scheme: true, path: true, host: true }),
  },
  html_page: { status: isCount },
  client_certificate: { problem: isOneOf<CertificateProblem>({ missing: true, refused: true }), status: isCount },
  credentials_refused: { status: isCount },
  no_usable_token: {
    rule: isOneOf<TokenRule>({
      empty_body: true,
      not_json: true,
      xml: true,
      wrong_format: true,
      field_missing: true,
      not_sendable: true,
    }),
    status: isCount,
  },
  undecodable_body: {
    problem: isOneOf<ContentProblem['kind']>({ unknown_coding: true, broken: true, too_long: true }),
    coding: isCode,
    status: isCount,
  },
  no_token_endpoint: { problem: isProblem, status: isCount, host: isHost },
  refresh_token_unavailable: { code: isCode },
  value_impossible: { problem: isProblem, credentials: (value) => Array.isArray(value) && value.every(isCode) },
  limit: { key: isOneOf<LimitKey>({ max_concurrency: true, max_websockets: true, max_connections: true }) },
  loop: {},
  shutdown: { host: isHost },
  internal: {},
};

/** Validates a reason that another process sent. Returns only the known fields; undefined if the kind is not known. */
export function readReason(value: unknown): Reason | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, ...given } = value as Record<string, unknown>;
  if (typeof kind !== 'string' || !Object.hasOwn(REASON_FIELDS, kind)) return undefined;
  const checks: [name: string, isValid: (value: unknown) => boolean][] = Object.entries(
    REASON_FIELDS[kind as Reason['kind']],
  );
  if (!checks.every(([name, isValid]) => isValid(given[name]))) return undefined;
  return Object.fromEntries([['kind', kind], ...checks.map(([name]) => [name, given[name]])]) as Reason;
}

interface ProxyErrorOptions {
  /** Left out if the code says everything, because the client has to change its request. */
  readonly reason?: Reason | undefined;
  readonly cause?: unknown;
  /** Replaces the usual outcome of the code. */
  readonly outcome?: Outcome;
  /** Whole seconds, for `Retry-After`. */
  readonly retryAfterS?: number | undefined;
}

/**
 * Why Wakala responds to a request itself. `detail` is sent to the client: what happened and what to do, never a token,
 * a secret or what a provider said. `cause` is only for the log.
 */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly outcome: Outcome;
  readonly reason: Reason | undefined;
  readonly retryAfterS: number | undefined;

  constructor(code: ErrorCode, detail: string, options: ProxyErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = CODES[code].status;
    this.outcome = options.outcome ?? CODES[code].outcome;
    this.reason = options.reason;
    this.retryAfterS = options.retryAfterS;
  }
}

/** The egress proxy refused a connection to a server, or could not be reached. Nothing reached the server. */
export class EgressError extends Error {
  override readonly name = 'EgressError';
  readonly reason: Extract<Reason, { kind: 'egress_refused' | 'egress_failed' }>;
  /** For logs that show only the code of an error. */
  readonly code: string;

  /** @param message part of a sentence, such as `the proxy proxy.example:3128 responded with HTTP 407` */
  constructor(message: string, reason: EgressError['reason'], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
    this.code = reason.kind === 'egress_refused' ? `EGRESS_HTTP_${reason.status}` : reason.code;
  }
}

/** One problem of a configuration file. `line` and `column` count from 1. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path of the key, such as `routes./mpesa/*.timeout`. Empty for the whole file. */
  readonly key: string;
  readonly message: string;
}

/** All problems of a configuration. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** `file:line:column: message`, which editors and CI logs turn into a link. */
export function formatProblem(problem: ConfigProblem): string {
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}`;
}

/**
 * The code of an error or of its cause, such as `ECONNREFUSED`; else its name. The message is not used, because it may
 * quote a URL that has a refresh token in it.
 */
export function networkCode(error: unknown): string {
  // A limit, because an error may be its own cause.
  let cause = error;
  for (let steps = 0; steps < 5 && typeof cause === 'object' && cause !== null; steps++) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code;
    if (!('cause' in cause)) return 'name' in cause && typeof cause.name === 'string' ? cause.name : 'unknown error';
    cause = cause.cause;
  }
  return 'unknown error';
}

/** The reason of an error while connecting, or of one that Node's network modules threw. */
export function networkReason(error: unknown, host: string): Reason {
  if (error instanceof EgressError) return error.reason;
  const code = networkCode(error);
  return code.startsWith('HPE_')
    ? { kind: 'malformed_response', rule: parserRule(error), host }
    : { kind: 'network', code, host };
}

/** What an error of Node's HTTP parser says is wrong. It quotes nothing of the message. */
export function parserRule(error: unknown): string {
  const code = networkCode(error);
  if (code === 'HPE_HEADER_OVERFLOW') return `its head is too long (${code})`;
  const reason = typeof error === 'object' && error !== null && 'reason' in error ? error.reason : undefined;
  return typeof reason === 'string' ? `${reason} (${code})` : code;
}

/** The fields of a log line about a failure. */
export function failureFields(error: ProxyError): Record<string, string> {
  const fields = { code: error.code, outcome: error.outcome, error: error.message };
  const { cause } = error;
  if (cause === undefined) return fields;
  // A bug in Wakala is logged with its stack.
  const stack = error.code === 'internal_error' && cause instanceof Error ? cause.stack : undefined;
  return { ...fields, cause: stack ?? networkCode(cause) };
}

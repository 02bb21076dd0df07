import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  ConfigError,
  type ErrorCode,
  failureFields,
  networkCode,
  networkReason,
  type Outcome,
  ProxyError,
  readReason,
  type Reason,
  statusOf,
} from '../src/errors.ts';

const CODES: Readonly<Record<ErrorCode, readonly [status: number, outcome: Outcome]>> = {
  bad_request_target: [400, 'not_sent'],
  bad_request: [400, 'not_sent'],
  signature_impossible: [400, 'not_sent'],
  client_unauthorized: [401, 'not_sent'],
  client_forbidden: [403, 'not_sent'],
  host_refused: [403, 'not_sent'],
  origin_refused: [403, 'not_sent'],
  path_refused: [403, 'not_sent'],
  no_route: [404, 'not_sent'],
  method_not_allowed: [405, 'not_sent'],
  request_timeout: [408, 'not_sent'],
  body_too_large: [413, 'not_sent'],
  expectation_failed: [417, 'not_sent'],
  header_too_large: [431, 'not_sent'],
  internal_error: [500, 'unknown'],
  upgrade_refused: [501, 'not_sent'],
  token_denied: [502, 'not_sent'],
  upstream_unreachable: [502, 'not_sent'],
  upstream_reset: [502, 'unknown'],
  upstream_invalid: [502, 'unknown'],
  overloaded: [503, 'not_sent'],
  token_unavailable: [503, 'not_sent'],
  upstream_timeout: [504, 'unknown'],
  loop_detected: [508, 'not_sent'],
};

describe('a proxy error', () => {
  it.each(Object.entries(CODES) as [ErrorCode, [number, Outcome]][])(
    'with code %s has status and outcome %j',
    (code, [status, outcome]) => {
      expect(new ProxyError(code, 'why')).toMatchObject({ name: 'ProxyError', code, status, outcome, message: 'why' });
      expect(statusOf(code)).toBe(status);
    },
  );

  it('can have another outcome than the usual one of its code', () => {
    expect(new ProxyError('upstream_timeout', 'why', { outcome: 'not_sent' }).outcome).toBe('not_sent');
  });

  it('has a reason, a cause and a retry delay only if they are given', () => {
    const bare = new ProxyError('token_unavailable', 'why');
    expect(Object.hasOwn(bare, 'cause')).toBe(false);
    expect([bare.reason, bare.retryAfterS]).toEqual([undefined, undefined]);
    const options = {
      reason: { kind: 'http_status', status: 500 },
      cause: new Error('because'),
      retryAfterS: 7,
    } as const;
    expect(new ProxyError('token_unavailable', 'why', options)).toMatchObject(options);
  });
});

it.each(['no_such_code', 'toString', ''])('%j is not an error code and has no status', (code) => {
  expect(statusOf(code)).toBeUndefined();
});

/** One reason of each kind: a kind without one is a type error. */
const REASONS: { readonly [Kind in Reason['kind']]: Extract<Reason, { kind: Kind }> } = {
  network: { kind: 'network', code: 'ECONNREFUSED', host: 'auth.example.com:8443' },
  timeout: { kind: 'timeout', phase: 'token', timeoutMs: 15_000, host: '[::1]:9000' },
  egress_refused: {
    ...{ kind: 'egress_refused', status: 407, proxy: 'proxy.example:3128' },
    ...{ setting: 'egress_proxy', host: 'api.example.com' },
  },
  egress_failed: {
    ...{ kind: 'egress_failed', code: 'ECONNREFUSED', proxy: '[::1]:3128' },
    ...{ setting: 'HTTPS_PROXY', host: 'api.example.com:8443' },
  },
  connection_lost: { kind: 'connection_lost', host: 'api.example.com' },
  malformed_response: { kind: 'malformed_response', rule: 'it has two Content-Length lines', host: undefined },
  http_status: { kind: 'http_status', status: 500 },
  redirected: { kind: 'redirected', status: 301, location: 'https://auth.example.com/token/', change: 'path' },
  html_page: { kind: 'html_page', status: 403 },
  client_certificate: { kind: 'client_certificate', problem: 'refused', status: 400 },
  credentials_refused: { kind: 'credentials_refused', status: 401 },
  no_usable_token: { kind: 'no_usable_token', rule: 'not_json', status: 200 },
  undecodable_body: { kind: 'undecodable_body', problem: 'unknown_coding', coding: 'dcb', status: 200 },
  no_token_endpoint: {
    kind: 'no_token_endpoint',
    problem: '/x names no `token_endpoint`',
    status: 200,
    host: 'id.example',
  },
  refresh_token_unavailable: { kind: 'refresh_token_unavailable', code: 'ECONNREFUSED' },
  value_impossible: { kind: 'value_impossible', problem: 'The key is too short', credentials: ['private_key'] },
  limit: { kind: 'limit', key: 'max_concurrency' },
  loop: { kind: 'loop' },
  shutdown: { kind: 'shutdown', host: 'api.example.com' },
  internal: { kind: 'internal' },
};

describe('a reason from another process', () => {
  it.each(Object.values(REASONS))('is read as it was sent: %j', (reason) => {
    const received: unknown = JSON.parse(JSON.stringify({ ...reason, more: 'from a later version' }));
    expect(readReason(received)).toEqual(reason);
  });

  it.each([
    null,
    'network',
    7,
    [],
    {},
    { kind: 7 },
    { kind: 'from_a_later_version' },
    { kind: 'toString' },
    { kind: 'network' },
    { ...REASONS.network, code: 7 },
    { ...REASONS.network, code: 'a\u001b[31m' },
    { ...REASONS.network, code: 'x'.repeat(101) },
    { ...REASONS.network, host: '' },
    { ...REASONS.network, host: 'two words' },
    { ...REASONS.network, host: 'x'.repeat(271) },
    { ...REASONS.http_status, status: '500' },
    { ...REASONS.http_status, status: -1 },
    { ...REASONS.http_status, status: 0.5 },
    { ...REASONS.timeout, phase: 'from_a_later_version' },
    { ...REASONS.timeout, phase: 'toString' },
    { ...REASONS.no_usable_token, rule: 'from_a_later_version' },
    { ...REASONS.limit, key: 'listen' },
    { ...REASONS.egress_refused, status: '407' },
    { ...REASONS.egress_failed, proxy: 'two words' },
  ])('is dropped if it is not valid: %j', (value) => {
    expect(readReason(value)).toBeUndefined();
  });
});

describe('a configuration error', () => {
  it('lists every problem as file:line:column: message', () => {
    const problem = { file: 'proxy.config.yaml', column: 3, key: 'routes' };
    const error = new ConfigError([
      { ...problem, line: 2, message: 'one' },
      { ...problem, line: 10, message: 'two' },
    ]);
    expect(error.message).toBe('proxy.config.yaml:2:3: one\nproxy.config.yaml:10:3: two');
    expect(error.problems).toHaveLength(2);
  });
});

describe('the code of a network error', () => {
  const coded = (code: unknown, options?: ErrorOptions) =>
    Object.assign(new Error('GET /refresh/r1', options), { code });

  it.each<[string, unknown, string]>([
    ['its own code', coded('ECONNREFUSED'), 'ECONNREFUSED'],
    ['the code of its cause', new TypeError('fetch failed', { cause: coded('ENOTFOUND') }), 'ENOTFOUND'],
    ['its own code rather than that of its cause', coded('EPIPE', { cause: coded('ENOTFOUND') }), 'EPIPE'],
    ['that of several attempts', Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    ['its name if the code is a number', new DOMException('aborted', 'AbortError'), 'AbortError'],
    ['its name if it has no code', new RangeError('x'), 'RangeError'],
    ['unknown for a text', 'GET /refresh/r1', 'unknown error'],
    ['unknown for undefined', undefined, 'unknown error'],
    ['unknown for null', null, 'unknown error'],
    ['unknown for an object without a name', {}, 'unknown error'],
  ])('is %s', (_, error, code) => {
    expect(networkCode(error)).toBe(code);
  });

  it('is unknown if an error is its own cause', () => {
    const error = new Error('x');
    error.cause = error;
    expect(networkCode(error)).toBe('unknown error');
  });

  it('becomes a reason; a code of the HTTP parser means a malformed response', () => {
    const host = 'api.example.com';
    expect(networkReason(coded('EPIPE'), host)).toEqual({ kind: 'network', code: 'EPIPE', host });
    const rule = 'HPE_INVALID_CONSTANT';
    expect(networkReason(coded(rule), host)).toEqual({ kind: 'malformed_response', rule, host });
    const worded = Object.assign(coded(rule), { reason: 'Expected HTTP/' });
    expect(networkReason(worded, host)).toMatchObject({ rule: `Expected HTTP/ (${rule})` });
    expect(networkReason(coded('HPE_HEADER_OVERFLOW'), host)).toMatchObject({
      rule: expect.stringContaining('too long') as string,
    });
  });
});

describe('the log fields of a failure', () => {
  it('have the code of the cause and not its message', () => {
    const cause = Object.assign(new Error('GET /refresh/r1 failed'), { code: 'ECONNRESET' });
    const fields = failureFields(new ProxyError('upstream_reset', 'It ended early.', { cause }));
    expect(fields).toEqual({
      code: 'upstream_reset',
      outcome: 'unknown',
      error: 'It ended early.',
      cause: 'ECONNRESET',
    });
    expect(inspect(fields)).not.toContain('r1');
  });

  it('have no cause if the error has none', () => {
    expect(failureFields(new ProxyError('no_route', 'None.'))).not.toHaveProperty('cause');
  });

  it('have the stack of an internal error', () => {
    const cause = new TypeError('x is not a function');
    expect(failureFields(new ProxyError('internal_error', 'It failed.', { cause }))['cause']).toBe(cause.stack);
  });
});

import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigError, type ErrorCode, failureFields, networkCode, type Outcome, ProxyError } from '../src/errors.ts';

const TABLE: [ErrorCode, number, Outcome][] = [
  ['bad_request_target', 400, 'not_sent'],
  ['bad_request', 400, 'not_sent'],
  ['client_unauthorized', 401, 'not_sent'],
  ['client_forbidden', 403, 'not_sent'],
  ['host_refused', 403, 'not_sent'],
  ['origin_refused', 403, 'not_sent'],
  ['path_refused', 403, 'not_sent'],
  ['no_route', 404, 'not_sent'],
  ['method_not_allowed', 405, 'not_sent'],
  ['body_too_large', 413, 'not_sent'],
  ['token_denied', 502, 'not_sent'],
  ['upstream_unreachable', 502, 'not_sent'],
  ['upstream_reset', 502, 'unknown'],
  ['upstream_invalid', 502, 'unknown'],
  ['overloaded', 503, 'not_sent'],
  ['token_unavailable', 503, 'not_sent'],
  ['upstream_timeout', 504, 'unknown'],
  ['loop_detected', 508, 'not_sent'],
];

describe('a proxy error', () => {
  it.each(TABLE)('of code %s has status %d and outcome %s', (code, status, outcome) => {
    expect(new ProxyError(code, 'why')).toMatchObject({ name: 'ProxyError', code, status, outcome, message: 'why' });
  });

  it('takes another outcome where more is known', () => {
    expect(new ProxyError('upstream_timeout', 'why', { outcome: 'not_sent' }).outcome).toBe('not_sent');
  });

  it('has a cause and a time to come back only if it was given one', () => {
    const bare = new ProxyError('token_unavailable', 'why');
    expect(Object.hasOwn(bare, 'cause')).toBe(false);
    expect(bare.retryAfterS).toBeUndefined();
    const cause = new Error('because');
    expect(new ProxyError('token_unavailable', 'why', { cause, retryAfterS: 7 })).toMatchObject({
      cause,
      retryAfterS: 7,
    });
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
    ['its own before that of its cause', coded('EPIPE', { cause: coded('ENOTFOUND') }), 'EPIPE'],
    ['that of several attempts', Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    ['its name where the code is a number', new DOMException('aborted', 'AbortError'), 'AbortError'],
    ['its name where it has no code', new RangeError('x'), 'RangeError'],
    ['nothing of a text', 'GET /refresh/r1', 'unknown error'],
    ['nothing of nothing', undefined, 'unknown error'],
    ['nothing of null', null, 'unknown error'],
    ['nothing of a nameless object', {}, 'unknown error'],
  ])('is %s', (_, error, code) => {
    expect(networkCode(error)).toBe(code);
  });

  it('ends where an error is its own cause', () => {
    const error = new Error('x');
    error.cause = error;
    expect(networkCode(error)).toBe('unknown error');
  });
});

describe('the fields of a failure', () => {
  it('hold the code of the cause and none of its words', () => {
    const cause = Object.assign(new Error('GET /refresh/r1 failed'), { code: 'ECONNRESET' });
    const fields = failureFields(new ProxyError('upstream_reset', 'It broke off.', { cause }));
    expect(fields).toEqual({
      code: 'upstream_reset',
      outcome: 'unknown',
      error: 'It broke off.',
      cause: 'ECONNRESET',
    });
    expect(inspect(fields)).not.toContain('r1');
  });

  it('have no cause where there is none', () => {
    expect(failureFields(new ProxyError('no_route', 'None.'))).not.toHaveProperty('cause');
  });
});

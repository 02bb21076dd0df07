import { describe, expect, it } from 'vitest';
import { type ErrorCode, ProxyError } from '../../src/errors.ts';
import { asProxyError, problemOf, rawProblem } from '../../src/http/problem.ts';

const TABLE: readonly [code: ErrorCode, status: number, outcome: string, proxyStatus: string][] = [
  ['bad_request_target', 400, 'not_sent', 'http_request_denied'],
  ['bad_request', 400, 'not_sent', 'http_request_denied'],
  ['client_unauthorized', 401, 'not_sent', 'http_request_denied'],
  ['client_forbidden', 403, 'not_sent', 'http_request_denied'],
  ['host_refused', 403, 'not_sent', 'http_request_denied'],
  ['origin_refused', 403, 'not_sent', 'http_request_denied'],
  ['path_refused', 403, 'not_sent', 'http_request_denied'],
  ['no_route', 404, 'not_sent', 'http_request_denied'],
  ['method_not_allowed', 405, 'not_sent', 'http_request_denied'],
  ['body_too_large', 413, 'not_sent', 'http_request_denied'],
  ['token_denied', 502, 'not_sent', 'proxy_configuration_error'],
  ['upstream_unreachable', 502, 'not_sent', 'destination_unavailable'],
  ['upstream_reset', 502, 'unknown', 'connection_terminated'],
  ['upstream_invalid', 502, 'unknown', 'http_protocol_error'],
  ['overloaded', 503, 'not_sent', 'connection_limit_reached'],
  ['token_unavailable', 503, 'not_sent', 'destination_unavailable'],
  ['upstream_timeout', 504, 'unknown', 'http_response_timeout'],
  ['loop_detected', 508, 'not_sent', 'proxy_loop_detected'],
];

describe('problemOf', () => {
  it.each(TABLE)('maps %s to status %i, outcome %s, Proxy-Status %s', (code, status, outcome, proxyStatus) => {
    const problem = problemOf(new ProxyError(code, 'What happened.'), 'id-1');
    expect(problem.status).toBe(status);
    expect(problem.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'x-request-id': 'id-1',
      'proxy-status': `wakala; error=${proxyStatus}`,
    });
    expect(JSON.parse(problem.body)).toEqual({
      type: `urn:wakala:error:${code}`,
      title: code.replaceAll('_', ' '),
      status,
      detail: 'What happened.',
      code,
      outcome,
      request_id: 'id-1',
    });
  });

  it('counts the length of its body in bytes', () => {
    const problem = problemOf(new ProxyError('no_route', 'caf\u00e9'), 'id-1');
    expect(problem.headers['content-length']).toBe(String(Buffer.byteLength(problem.body)));
    expect(problem.headers['content-length']).not.toBe(String(problem.body.length));
  });

  it('has a Retry-After on a 503, and only there', () => {
    const retryAfter = (error: ProxyError) => problemOf(error, '').headers['retry-after'];
    expect(retryAfter(new ProxyError('token_unavailable', '', { retryAfterS: 17 }))).toBe('17');
    expect(retryAfter(new ProxyError('overloaded', ''))).toBe('1');
    expect(retryAfter(new ProxyError('upstream_reset', ''))).toBeUndefined();
  });

  it('has WWW-Authenticate on a 401 and Allow on a 405', () => {
    expect(problemOf(new ProxyError('client_unauthorized', ''), '').headers['www-authenticate']).toContain('Bearer');
    expect(problemOf(new ProxyError('method_not_allowed', ''), '').headers['allow']).not.toContain('TRACE');
  });

  it('uses the outcome of the error if it has one', () => {
    const error = new ProxyError('upstream_timeout', '', { outcome: 'not_sent' });
    expect(JSON.parse(problemOf(error, '').body)).toMatchObject({ outcome: 'not_sent' });
  });

  it('does not show the cause', () => {
    const error = new ProxyError('upstream_reset', 'It ended early.', { cause: new Error('secret-word') });
    expect(JSON.stringify(problemOf(error, ''))).not.toContain('secret-word');
  });
});

describe('rawProblem', () => {
  it('is a complete response that closes its connection', () => {
    const [head = '', body = ''] = rawProblem(new ProxyError('no_route', 'None.'), 'id-1').split('\r\n\r\n');
    expect(head.split('\r\n')[0]).toBe('HTTP/1.1 404 Not Found');
    expect(head.split('\r\n')).toEqual(expect.arrayContaining(['connection: close', `content-length: ${body.length}`]));
    expect(JSON.parse(body)).toMatchObject({ code: 'no_route', request_id: 'id-1' });
  });
});

describe('asProxyError', () => {
  it('returns a ProxyError unchanged', () => {
    const error = new ProxyError('no_route', '');
    expect(asProxyError(error)).toBe(error);
  });

  it('turns any other error into an internal_error without its message', () => {
    const error = asProxyError(new TypeError('secret-word'));
    expect(error).toMatchObject({ code: 'internal_error', status: 500, outcome: 'unknown' });
    expect(error.message).not.toContain('secret-word');
  });
});

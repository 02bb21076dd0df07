import { describe, expect, it } from 'vitest';
import { ProxyError, type Reason, type TokenRule } from '../../src/errors.ts';
import type { ExchangeResponse, ResponseRule } from '../../src/providers/provider.ts';
import { readToken, redirectOf, type TokenResponse, tokenUnavailable } from '../../src/tokens/token-response.ts';
import { expectNoSecret } from '../support/token-fakes.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 9);
const FIELDS: ExchangeResponse = { accessToken: 'access_token', expiresIn: 'expires_in', refreshToken: 'refresh' };

type ResponseParts = Partial<Omit<TokenResponse, 'body'>> & { readonly body?: unknown };

function read({ status = 200, headers = {}, body = '' }: ResponseParts, fields = FIELDS) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return readToken({ status, headers, body: text }, fields, 600, NOW_MS);
}

function refused(response: ResponseParts, fields = FIELDS): ProxyError {
  try {
    read(response, fields);
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

const HTML = '<!DOCTYPE html><html><body>Request blocked. Incident 42</body></html>';

describe('a token response', () => {
  it.each([200, 201, 203, 299])('with status %d has a token', (status) => {
    const token = read({ status, body: { access_token: 't-1', expires_in: '3599', refresh: 'r-1' } });
    expect(token.accessToken.reveal()).toBe('t-1');
    expect(token.refreshToken?.reveal()).toBe('r-1');
    expect(token).toMatchObject({
      issuedAtMs: NOW_MS,
      expiresAtMs: NOW_MS + 3_599_000,
      refreshAtMs: NOW_MS + 3_569_000,
      lifetimeSource: 'expires_in',
    });
  });

  it('without a lifetime has a token with the default lifetime', () => {
    expect(read({ body: { access_token: 't-1' } })).toMatchObject({
      expiresAtMs: NOW_MS + 600_000,
      lifetimeSource: 'default',
    });
  });

  it("has an absolute expiry relative to the server's Date", () => {
    const body = { access_token: 't-1', at: '2026-01-01T12:10:00Z' };
    const response = { accessToken: 'access_token', expiresAt: 'at' };
    const token = read({ headers: { date: 'Thu, 01 Jan 2026 12:00:00 GMT' }, body }, response);
    expect(token.expiresAtMs).toBe(NOW_MS + 600_000);
  });

  it('has an absolute expiry relative to our clock if the Date is invalid', () => {
    const body = { access_token: 't-1', at: '2026-01-01T09:10:00Z' };
    const response = { accessToken: 'access_token', expiresAt: 'at' };
    expect(read({ headers: { date: 'noon' }, body }, response).expiresAtMs).toBe(NOW_MS + 600_000);
  });

  it.each([
    ['Bearer t-1', 't-1'],
    ['bearer t-1', 't-1'],
    ['BEARER   t-1', 't-1'],
    ['  t-1\n', 't-1'],
    ['Bearertoken', 'Bearertoken'],
    ['a~!#$%&()*+,-./:;<=>?@[]^_`{|}b==', 'a~!#$%&()*+,-./:;<=>?@[]^_`{|}b=='],
  ])('with %j has the bare token %j', (said, bare) => {
    expect(read({ body: { access_token: said } }).accessToken.reveal()).toBe(bare);
  });

  it('is read at a dotted path', () => {
    const body = { data: { list: [{ accessToken: 't-deep' }] } };
    expect(read({ body }, { accessToken: 'data.list.0.accessToken' }).accessToken.reveal()).toBe('t-deep');
  });

  it.each(['__proto__.name', 'constructor.name', 'toString.name', 'access_token.constructor.name'])(
    'never gives what is inherited at %s',
    (accessToken) => {
      expect(refused({ body: { access_token: 't-1' } }, { accessToken }).code).toBe('token_unavailable');
    },
  );

  it.each([[null], [''], [7], [{ token: 'r' }], [undefined]])('with %j as a refresh token has none', (refresh) => {
    expect(read({ body: { access_token: 't-1', refresh } }).refreshToken).toBeUndefined();
  });

  it('has no refresh token if the exchange names no field for it', () => {
    const body = { access_token: 't-1', refresh_token: 'r-1', refresh: 'r-2' };
    expect(read({ body }, { accessToken: 'access_token' }).refreshToken).toBeUndefined();
  });
});

describe('a token response without a usable token', () => {
  const noToken = (rule: TokenRule, status = 200): Reason => ({ kind: 'no_usable_token', rule, status });

  it.each<[string, ResponseParts, Reason]>([
    ['204 and no body', { status: 204 }, noToken('empty_body', 204)],
    ['an empty body', { body: '' }, noToken('empty_body')],
    ['an HTML page', { headers: { 'content-type': 'text/html' }, body: HTML }, { kind: 'html_page', status: 200 }],
    ['an HTML page that calls itself JSON', { body: `\n  ${HTML}` }, { kind: 'html_page', status: 200 }],
    ['truncated JSON', { body: '{"access_token":"t-secret-tok' }, noToken('not_json')],
    ['plain text', { body: 't-secret-token' }, noToken('not_json')],
    ['two documents', { body: '{"access_token":"t-secret-token"}{}' }, noToken('not_json')],
    ['no token', { body: { token: 't-secret-token' } }, noToken('field_missing')],
    ['an error in a 200', { body: { error: { code: 'invalid' }, status: '500' } }, noToken('field_missing')],
    ['null for a token', { body: { access_token: null } }, noToken('field_missing')],
    ['a number for a token', { body: { access_token: 12345678 } }, noToken('field_missing')],
    ['an object for a token', { body: { access_token: { value: 't-secret-token' } } }, noToken('field_missing')],
    ['an empty token', { body: { access_token: '' } }, noToken('field_missing')],
    ['a blank token', { body: { access_token: '  ' } }, noToken('field_missing')],
    ['"Bearer " and no more', { body: { access_token: 'Bearer ' } }, noToken('field_missing')],
    ['null', { body: 'null' }, noToken('field_missing')],
    ['a list', { body: '[]' }, noToken('field_missing')],
    ['a token with a line break', { body: { access_token: 't-secret-token\r\nx-evil: 1' } }, noToken('not_sendable')],
    ['a token with a bare LF', { body: { access_token: 't-secret-token\nx' } }, noToken('not_sendable')],
    ['a token with a space', { body: { access_token: 't-secret-token x' } }, noToken('not_sendable')],
    ['a token with a tab', { body: { access_token: 't-secret-token\tx' } }, noToken('not_sendable')],
    ['a token with a NUL', { body: { access_token: 't-secret-token\0' } }, noToken('not_sendable')],
    ['a token that is not ASCII', { body: { access_token: 't-secret-tokén' } }, noToken('not_sendable')],
  ])('is unavailable for %s', (_, response, reason) => {
    const error = refused(response);
    expect(error).toMatchObject({ code: 'token_unavailable', status: 503 });
    expect(error.reason).toEqual(reason);
    expectNoSecret(error, 't-secret-tok', '12345678', 'Incident');
  });

  it('is unavailable for a token of more than 8 KiB, and not for one of 8 KiB', () => {
    expect(refused({ body: { access_token: 'x'.repeat(8193) } }).code).toBe('token_unavailable');
    expect(read({ body: { access_token: 'x'.repeat(8192) } }).accessToken.reveal()).toHaveLength(8192);
  });
});

describe('a token endpoint that refuses', () => {
  const words = { error: 'invalid_client', hint: 'secret s-secret of t-secret-token' };

  it.each([400, 401, 403, 422])('with %d means refused credentials', (status) => {
    const error = refused({ status, body: words });
    expect(error).toMatchObject({ code: 'token_denied', status: 502, outcome: 'not_sent', retryAfterS: undefined });
    expect(error.reason).toEqual({ kind: 'credentials_refused', status });
    expectNoSecret(error, 's-secret', 't-secret-token', 'invalid_client');
  });

  it('with 400 and an empty body means refused credentials', () => {
    expect(refused({ status: 400, body: '' }).code).toBe('token_denied');
    expect(refused({ status: 400, headers: { 'content-type': 'text/plain' }, body: '' }).code).toBe('token_denied');
  });

  it.each([
    100, 199, 300, 301, 302, 304, 307, 308, 399, 402, 404, 405, 408, 409, 410, 415, 421, 423, 429, 500, 501, 502, 503,
    504, 599,
  ])('with %d is unavailable', (status) => {
    const error = refused({ status, body: { ...words, access_token: 't-secret-token' } });
    expect(error).toMatchObject({ code: 'token_unavailable', status: 503 });
    expect(error.reason).toEqual({ kind: 'http_status', status });
    expectNoSecret(error, 's-secret', 't-secret-token', 'invalid_client');
  });

  it.each([400, 401, 403, 422, 503])('with %d and an HTML page is unavailable, since that is a firewall', (status) => {
    for (const response of [
      { status, body: HTML },
      { status, headers: { 'content-type': 'text/html; charset=utf-8' }, body: 'Blocked' },
    ]) {
      const error = refused(response);
      expect(error.code).toBe('token_unavailable');
      expect(error.reason).toEqual({ kind: 'html_page', status });
      expectNoSecret(error, 'Incident', 'Blocked');
    }
  });

  it.each([
    ['No required SSL certificate was sent', 'missing'],
    ['The SSL certificate error', 'refused'],
  ])('says that the client certificate is the problem: %s', (text, problem) => {
    const error = refused({ status: 400, body: `<html><center>${text}</center></html>` });
    expect(error.code).toBe('token_unavailable');
    expect(error.reason).toEqual({ kind: 'client_certificate', problem, status: 400 });
  });

  it.each<[string, string | undefined, number | undefined]>([
    ['no Retry-After', undefined, undefined],
    ['an empty one', '', undefined],
    ['seconds', '120', 120],
    ['seconds in blanks', ' 120 ', 120],
    ['one second', '1', 1],
    ['zero', '0', undefined],
    ['negative seconds', '-5', undefined],
    ['fractional seconds', '1.5', undefined],
    ['an HTTP date', 'Thu, 01 Jan 2026 09:02:00 GMT', 120],
    ['an HTTP date in the past', 'Thu, 01 Jan 2026 08:59:59 GMT', undefined],
    ['an HTTP date that is now', 'Thu, 01 Jan 2026 09:00:00 GMT', undefined],
    ['garbage', 'in a while', undefined],
    ['an hour', '3600', 3600],
    ['more than an hour', '3601', 3600],
    ['a huge number', '99999999999999999999', 3600],
    ['a date in another year', 'Fri, 01 Jan 2027 09:00:00 GMT', 3600],
  ])('with %s has a time to wait', (_, value, retryAfterS) => {
    const headers = { 'retry-after': value };
    expect(refused({ status: 429, headers }).retryAfterS).toBe(retryAfterS);
    expect(refused({ status: 401, headers })).toMatchObject({ code: 'token_denied', retryAfterS });
    expect(refused({ status: 503, headers, body: HTML }).retryAfterS).toBe(retryAfterS);
  });
});

describe('the error for an unavailable token', () => {
  it('has a cause only if there is one', () => {
    expect(Object.hasOwn(tokenUnavailable('it slept', { kind: 'internal' }), 'cause')).toBe(false);
    const cause = new Error('x');
    expect(tokenUnavailable('it slept', { kind: 'internal' }, { cause }).cause).toBe(cause);
  });
});

describe("a provider's further ways to refuse credentials", () => {
  const DENIED: ResponseRule[] = [
    { status: 500, body: { error: 'login_failed' } },
    { status: 200, body: { 'e.code': 7 } },
  ];
  const codeOf = ({ status = 200, headers = {}, body = '' }: ResponseParts, rules = DENIED) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    try {
      readToken({ status, headers, body: text }, FIELDS, 600, NOW_MS, rules);
      return 'token';
    } catch (error) {
      return error instanceof ProxyError ? error.code : String(error);
    }
  };

  it.each<[string, ResponseParts, string]>([
    ['a status and a value', { status: 500, body: { error: 'login_failed' } }, 'token_denied'],
    ['another value', { status: 500, body: { error: 'internal' } }, 'token_unavailable'],
    ['the same text', { status: 200, body: { e: { code: '7' } } }, 'token_denied'],
    ['another number', { status: 200, body: { e: { code: '7.0' } } }, 'token_unavailable'],
    ['another status', { status: 503, body: { error: 'login_failed' } }, 'token_unavailable'],
    ['no JSON', { status: 500, body: 'login_failed' }, 'token_unavailable'],
    ['a 200 that says so', { body: { access_token: 't-1', e: { code: 7 } } }, 'token_denied'],
    ['a 200 that does not', { body: { access_token: 't-1' } }, 'token'],
    ['what anyone says so with', { status: 401, body: {} }, 'token_denied'],
  ])('%s', (_, response, code) => {
    expect(codeOf(response)).toBe(code);
  });

  it('may be a status, but never an HTML page', () => {
    const rules = [{ status: 503 }];
    expect([codeOf({ status: 503, body: '' }, rules), codeOf({ status: 503, body: HTML }, rules)]).toEqual([
      'token_denied',
      'token_unavailable',
    ]);
  });
});

describe('headers from a token response', () => {
  const response = { ...FIELDS, headers: { 'X-A': 'data.a', 'X-B': 'b' } };
  const headersOf = (body: object) =>
    read({ body: { access_token: 't-1', ...body } }, response).headers.map(([name, value]) => [name, value.reveal()]);

  it('are its strings, numbers and booleans', () => {
    expect(headersOf({ data: { a: 7310 }, b: false })).toEqual([
      ['X-A', '7310'],
      ['X-B', 'false'],
    ]);
    expect(headersOf({ data: { a: 'a b,c' } })).toEqual([['X-A', 'a b,c']]);
  });

  it.each([[null], [{}], [[]], [''], [' a'], ['a '], ['a\r\nb: c'], ['a\u0000'], ['ä'], ['x'.repeat(8193)]])(
    'are without %j',
    (value) => {
      expect(headersOf({ b: value })).toEqual([]);
    },
  );

  it('may be as long as a token', () => {
    expect(headersOf({ b: 'x'.repeat(8192) })).toHaveLength(1);
  });

  it('are not printed', () => {
    const token = read({ body: { access_token: 't-1', b: 'made-up-code' } }, response);
    expectNoSecret(token, 'made-up-code');
  });
});

describe('the format of a token response', () => {
  const FORM = 'access_token=t%2B1&expires_in=60&scope=';
  const form = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
  const plain = { 'content-type': 'text/plain; charset=UTF-8' };

  it.each<[what: string, format: ExchangeResponse['format'], headers: Record<string, string>, body: string]>([
    ['a form by its type', undefined, form, FORM],
    ['a form in plain text', undefined, plain, FORM],
    ['a form by the configuration', 'form', {}, FORM],
    ['JSON, whatever its type', undefined, form, '{"access_token":"t+1","expires_in":60}'],
    ['JSON by the configuration', 'json', plain, '{"access_token":"t+1","expires_in":60}'],
  ])('can be %s', (_, format, headers, body) => {
    const token = read({ headers, body }, { ...FIELDS, ...(format && { format }) });
    expect([token.accessToken.reveal(), token.expiresAtMs]).toEqual(['t+1', NOW_MS + 60_000]);
  });

  it.each(['t-1', ' t-1\n', '"t-1"', 'Bearer t-1', '"bearer t-1"'])('can be text: %j', (body) => {
    const text = { format: 'text', accessToken: 'data.token' } as const;
    expect(read({ headers: plain, body }, text).accessToken.reveal()).toBe('t-1');
  });

  it.each<[what: string, format: ExchangeResponse['format'], body: string, rule: TokenRule]>([
    ['plain text is no token unless the format says so', undefined, 'OK', 'not_json'],
    ['a form is not JSON', 'json', FORM, 'not_json'],
    ['JSON is not a form', 'form', '{"access_token":"t"}', 'wrong_format'],
    ['a JSON object is not text', 'text', '{"access_token":"t"}', 'wrong_format'],
    ['a message with spaces is not a token', 'text', 'please log in', 'not_sendable'],
    ['XML is not read', undefined, '<?xml version="1.0"?><token>t</token>', 'xml'],
    ['XML is not text', 'text', '<?xml version="1.0"?><token>t</token>', 'xml'],
    ['a text that is JSON has no field', undefined, '"t"', 'field_missing'],
    ['a form without the field has no token', 'form', 'error=bad_code', 'field_missing'],
    ['nothing is not text', 'text', '', 'empty_body'],
  ])('%s', (_, format, body, rule) => {
    const { reason } = refused({ headers: plain, body }, { ...FIELDS, ...(format && { format }) });
    expect(reason).toEqual({ kind: 'no_usable_token', rule, status: 200 });
  });

  it('a web page is not text', () => {
    const text = { ...FIELDS, format: 'text' } as const;
    expect(refused({ body: HTML }, text).reason).toEqual({ kind: 'html_page', status: 200 });
  });

  it('a 401 with XML means wrong credentials, and one with XHTML is a web page', () => {
    const headers = { 'content-type': 'application/xml' };
    expect(refused({ status: 401, headers, body: '<Error/>' }).code).toBe('token_denied');
    const page = '<?xml version="1.0"?><!DOCTYPE html><html/>';
    expect(refused({ status: 401, body: page }).reason).toEqual({ kind: 'html_page', status: 401 });
  });

  it('a rule for wrong credentials reads a form too', () => {
    const response = { status: 200, headers: form, body: 'error=bad_code' };
    const denied = [{ status: 200, body: { error: 'bad_code' } }];
    expect(() => readToken(response, FIELDS, 600, NOW_MS, denied)).toThrow('refused the credentials');
  });
});

describe('redirectOf', () => {
  const from = 'http://auth.example/token?client_secret=s3cret-value';
  const redirect = (location: string | undefined, status = 301) =>
    redirectOf({ status, headers: { location }, body: '' }, from, () => ['s3cret-value']);

  it.each([
    ['/token/', 'http://auth.example/token/', 'path'],
    ['token/', 'http://auth.example/token/', 'path'],
    ['https://auth.example/token?client_secret=s3cret-value', 'https://auth.example/token', 'scheme'],
    ['https://auth.example/oauth/token', 'https://auth.example/oauth/token', 'path'],
    ['https://user:pass@login.example/a;jsessionid=1?b#c', 'https://login.example/a', 'host'],
    ['//login.example', 'http://login.example/', 'host'],
    ['/echo/s3cret%2Dvalue/x', 'http://auth.example/echo/[redacted]/x', 'path'],
  ])('to %s says where, without secrets', (location, shown, change) => {
    expect(redirect(location)).toEqual({ location: shown, change });
  });

  it('shows at most 200 characters', () => {
    expect(redirect(`/${'x'.repeat(5000)}`)?.location).toHaveLength(200);
  });

  it.each([
    [undefined, 301],
    ['/token/', 200],
    ['/token/', 304],
    ['http://[', 302],
    ['javascript:alert(1)', 302],
  ])('%j with status %i is none', (location, status) => {
    expect(redirect(location, status)).toBeUndefined();
  });
});

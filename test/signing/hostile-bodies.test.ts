import { expect, it } from 'vitest';
import type { SignRule } from '../../src/providers/sign-rule.ts';
import type { UnsignedRequest } from '../../src/signing/outgoing-request.ts';
import { header, requestOf, scopeOf, signed } from './support.ts';

const RULES: Record<'json' | 'form', SignRule> = {
  json: {
    calls: ['POST /x'],
    values: { h: { hmac_sha256: '{json:account}', key: '{k}', encoding: 'hex' } },
    headers: { 'X-H': '{h}' },
  },
  form: {
    calls: ['POST /x'],
    values: { h: { hmac_sha256: '{form:account}', key: '{k}', encoding: 'hex' } },
    headers: { 'X-H': '{h}' },
  },
};

async function outcome(kind: 'json' | 'form', type: string | readonly string[], body: Buffer): Promise<string> {
  const headers = [type].flat().flatMap((value) => ['Content-Type', value]);
  const request: UnsignedRequest = { ...requestOf('POST /x'), headers, body };
  try {
    return header(await signed([RULES[kind]], scopeOf({ k: 'key' }), request), 'X-H') === undefined ? 'no' : 'signed';
  } catch (error) {
    return (error as Error).message.split(' The signing rule')[0] ?? '';
  }
}

const JSON_BODY = '{"account":"1"}';

it.each([
  ['application/json', 'signed'],
  ['application/json;charset=UTF-8', 'signed'],
  ['text/plain; charset="utf-8"', 'signed'],
  ['application/json; charset=utf-7', 'The Content-Type of the body has a charset other than `utf-8`.'],
  ['application/json; x=1 ; Charset = "IBM037"', 'The Content-Type of the body has a charset other than `utf-8`.'],
  ['application/json; charset=utf-8; charset=utf-16', 'The Content-Type of the body has a charset other than `utf-8`.'],
  [
    'application/x-www-form-urlencoded',
    'The Content-Type of the body is that of a form; it must be `application/json`.',
  ],
  ['application/x-www-form-urlencoded,application/json', 'The Content-Type of the body is not one media type.'],
  ['application/x-www-form-urlencoded x; charset=utf-8', 'The Content-Type of the body is not one media type.'],
  ['Multipart/Form-Data; boundary=x', 'The Content-Type of the body is that of a form; it must be `application/json`.'],
])('JSON with the Content-Type %s: %s', async (type, expected) => {
  expect(await outcome('json', type, Buffer.from(JSON_BODY))).toBe(expected);
});

it('JSON without Content-Type is signed, and with two it is not', async () => {
  expect(await outcome('json', [], Buffer.from(JSON_BODY))).toBe('signed');
  expect(await outcome('json', ['application/json', 'text/xml'], Buffer.from(JSON_BODY))).toBe(
    'The request has the header `content-type` more than once.',
  );
});

it.each([
  ['a duplicate name', '{"account":"1","account":"2"}'],
  ['a duplicate name, escaped', '{"account":"1","\\u0061ccount":"2"}'],
  ['a name that is cut at a NUL', '{"account":"1","account\\u0000":"2"}'],
  ['a value that is cut at a NUL', '{"account":"1\\u00002"}'],
  ['half of a surrogate pair', '{"account":"\\ud800"}'],
  ['a comment', '{"account":"1"/*,"account":"2"*/}'],
  ['a trailing comma', '{"account":"1",}'],
  ['NaN', '{"account":NaN}'],
  ['single quotes', "{'account':'1'}"],
  ['two documents', '{"account":"1"}\n{"account":"2"}'],
  ['a byte order mark', '\ufeff{"account":"1"}'],
  ['UTF-16', Buffer.from(JSON_BODY, 'utf16le')],
  ['UTF-16 with a byte order mark', Buffer.from(`\ufeff${JSON_BODY}`, 'utf16le')],
  ['overlong UTF-8', Buffer.from('{"account":"1\xc0\xa2"}', 'latin1')],
  ['latin1', Buffer.from('{"account":"\xe9"}', 'latin1')],
  ['a guard before it', ')]}\'\n{"account":"1"}'],
])('JSON that parsers read differently is not signed: %s', async (_, body) => {
  expect(await outcome('json', 'application/json', Buffer.from(body))).toMatch(
    /^(The (body|member `account`|name) |A )/,
  );
});

it.each([
  ['a duplicate name', 'account=1&account=2'],
  ['a duplicate name, escaped', 'account=1&%61ccount=2'],
  ['a value that is cut at a NUL', 'account=1%00'],
])('a form that servers read differently is not signed: %s', async (_, body) => {
  expect(await outcome('form', 'application/x-www-form-urlencoded', Buffer.from('account=1'))).toBe('signed');
  expect(await outcome('form', 'application/x-www-form-urlencoded', Buffer.from(body))).toContain(
    'The field `account`',
  );
  const utf16 = await outcome('form', 'application/x-www-form-urlencoded; charset=utf-16', Buffer.from('account=1'));
  expect(utf16).toContain('charset');
});

import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { maskedBody, maskedHeaders, maskedPath, maskedQuery, maskedUnknownPath } from '../../src/telemetry/mask.ts';

const UUID = '123e4567-e89b-12d3-a456-426614174000';
const TOKEN = 'abcdefghijklmnopqrstuvwxyz0123456789';

describe('headers', () => {
  it('show the values of harmless ones alone, whatever the spelling', () => {
    const shown = maskedHeaders([
      'Content-Type',
      'application/json',
      'AUTHORIZATION',
      'Bearer x',
      'X-Api',
      'y',
      'Cookie',
      'z',
    ]);
    expect(shown).toEqual([
      ['Content-Type', 'application/json'],
      ['AUTHORIZATION', '[redacted]'],
      ['X-Api', '[redacted]'],
      ['Cookie', '[redacted]'],
    ]);
  });
});

describe('paths', () => {
  it.each([
    ['/mpesa/stkpush/v1/processrequest', '/mpesa/stkpush/v1/processrequest'],
    [`/transactions/${UUID}`, `/transactions/${UUID}`],
    [`/auth/refresh/${TOKEN}`, '/auth/refresh/[redacted]'],
    ['/customers/254712345678/limits', '/customers/254•••78/limits'],
    ['/customers/+254712345678', '/customers/+254•••78'],
    ['/v1/12345678', '/v1/12345678'],
    ['', ''],
  ])('%s is shown as %s', (path, shown) => {
    expect(maskedPath(path)).toBe(shown);
  });

  it('of which nothing is known show no long segment, be it a UUID', () => {
    expect(maskedUnknownPath(`/paypak/auth/refresh/${UUID}`)).toBe('/paypak/auth/refresh/[redacted]');
    expect(maskedUnknownPath('/mpesax/stkpush')).toBe('/mpesax/stkpush');
    expect(maskedUnknownPath('/a/123456789012345')).toBe('/a/123•••45');
  });
});

describe('queries', () => {
  it.each([
    ['', ''],
    ['?limit=20&offset=0', '?limit=20&offset=0'],
    ['?access_token=abc&x=1', '?access_token=[redacted]&x=1'],
    ['?msisdn=254712345678', '?msisdn=254•••78'],
    [`?cursor=${TOKEN}`, '?cursor=[redacted]'],
    [`?id=${UUID}`, `?id=${UUID}`],
    ['?api_key=k&apiKey=k&api-key=k', '?api_key=[redacted]&apiKey=[redacted]&api-key=[redacted]'],
  ])('%s is shown as %s', (query, shown) => {
    expect(maskedQuery(query)).toBe(shown);
  });
});

describe('bodies', () => {
  const shown = (value: unknown) => JSON.parse(maskedBody(Buffer.from(JSON.stringify(value)), undefined)) as unknown;

  it('hide secret fields, phone numbers and tokens of JSON, at any depth', () => {
    const body = {
      Password: 'x',
      Amount: 100,
      PhoneNumber: 254712345678,
      number: '4111111111111111',
      account: 4111111111111111,
      sold: 999_999_999,
      nested: [{ PartyA: '254712345678', passkey: 5, note: 'paid by +254 and more', at: '2026-11-22T10:00:00.000Z' }],
      opaque: TOKEN,
      CallBackURL: 'https://app.example/callbacks/mpesa/with/a/long/path',
      id: UUID,
      token: null,
    };
    expect(shown(body)).toEqual({
      ...body,
      Password: '[redacted]',
      PhoneNumber: '254•••78',
      number: '411•••11',
      account: '411•••11',
      nested: [{ ...body.nested[0], PartyA: '254•••78', passkey: '[redacted]' }],
      opaque: '[redacted]',
    });
  });

  it.each([
    ['grant_type=x&client_secret=abc&phone=254712345678', 'grant_type=x&client_secret=[redacted]&phone=254•••78'],
    [
      '<Password>hunter2</Password><Msisdn>254712345678</Msisdn>',
      '<Password>[redacted]</Password><Msisdn>254•••78</Msisdn>',
    ],
    [`{"Password": "hunter2", "data": "${TOKEN}", "cut o`, '{"Password": "[redacted]", "data": "[redacted]", "cut o'],
    ['', ''],
  ])('of other kinds, or cut off, hide them too: %s', (text, masked) => {
    expect(maskedBody(Buffer.from(text), undefined)).toBe(masked);
  });

  it('are read where they are compressed, and only counted where they are no text', () => {
    expect(maskedBody(gzipSync('{"pin":"1234"}'), 'gzip')).toBe('{\n  "pin": "[redacted]"\n}');
    expect(maskedBody(Buffer.from([0, 1, 2, 3]), undefined)).toBe('4 bytes that are no text');
    expect(maskedBody(gzipSync('hello').subarray(0, 12), 'gzip')).toBe('12 bytes that are no text');
  });
});

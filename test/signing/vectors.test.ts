import { describe, expect, it } from 'vitest';
import { requestOf, scopeOf, signed } from './support.ts';

const STK_PUSH = {
  calls: ['POST /mpesa/stkpush/v1/processrequest', 'POST /mpesa/stkpushquery/v1/query'],
  values: {
    timestamp: { now: 'yyyyMMddHHmmss', zone: '+03:00' },
    password: { text: '{json:BusinessShortCode}{passkey}{timestamp}', encoding: 'base64' },
  },
  json: { Timestamp: '{timestamp}', Password: '{password}' },
} as const;
const passkey = scopeOf({ passkey: 'emulated-passkey' });

describe('the password of an STK push', () => {
  const PASSWORD = 'MTc0Mzc5ZW11bGF0ZWQtcGFzc2tleTIwMjYwMTAxMTUwMDAw';
  const cases: [fact: string, body: string, expected: string][] = [
    [
      'is inserted after the last member, and no other byte changes',
      '{"BusinessShortCode": 174379, "Amount":1.00,"PartyA":"254700000001" }',
      `{"BusinessShortCode": 174379, "Amount":1.00,"PartyA":"254700000001","Timestamp":"20260101150000","Password":"${PASSWORD}" }`,
    ],
    [
      'replaces the Timestamp of an app that sent no Password',
      '{"BusinessShortCode":"174379","Timestamp":"20200101000000"}',
      `{"BusinessShortCode":"174379","Timestamp":"20260101150000","Password":"${PASSWORD}"}`,
    ],
    [
      'contains a placeholder that the app sent as text',
      '{"BusinessShortCode":"{passkey}"}',
      '{"BusinessShortCode":"{passkey}","Timestamp":"20260101150000","Password":"e3Bhc3NrZXl9ZW11bGF0ZWQtcGFzc2tleTIwMjYwMTAxMTUwMDAw"}',
    ],
  ];
  it.each(cases)('%s', async (_, body, expected) => {
    const { body: actual } = await signed(
      [STK_PUSH],
      passkey,
      requestOf('POST /mpesa/stkpush/v1/processrequest', { body }),
    );
    expect(actual?.toString()).toBe(expected);
  });
});

import { expect, it } from 'vitest';
import { EMULATED_PRIVATE_KEY } from '../../src/emulators/emulated-keys.ts';
import type { SignRule } from '../../src/providers/sign-rule.ts';
import { explain } from '../../src/signing/explain.ts';
import * as apis from './apis.ts';
import { requestOf, scopeOf } from './support.ts';

const MPESA = apis.MPESA.slice(0, 1);
const scope = scopeOf(
  { passkey: 'made-up-passkey', private_key: EMULATED_PRIVATE_KEY, label: 'open-label' },
  { publicCredentials: new Set(['label']) },
);

it('shows what goes into functions and targets, with secrets and results by name', () => {
  const signs: SignRule = {
    calls: ['* /*'],
    values: {
      s: { rsa_sha256: '{label}{body}{access_token}', key: '{private_key}' },
      n: { random: 4 },
      t: { text: '{passkey}{n}é' },
      e: { text: '{label}', encoding: 'base64' },
    },
    headers: { 'X-S': '{t}{s}{e}' },
  };
  const request = requestOf('POST /mpesa/stkpush/v1/processrequest', {
    body: '{"BusinessShortCode":1}',
    accessToken: undefined,
  });
  const [password = {}, signature] = explain([...MPESA, signs], scope, request).rules;
  expect(password).toEqual({
    index: 0,
    call: 'POST /mpesa/stkpush/v1/processrequest',
    values: [
      { name: 'timestamp', function: 'now', text: '20260101150000' },
      { name: 'password', function: 'text', text: '1[passkey]20260101150000' },
    ],
    targets: [
      { target: 'json', name: 'Timestamp', text: '20260101150000' },
      { target: 'json', name: 'Password', text: '[text]' },
    ],
  });
  const body = '{"BusinessShortCode":1,"Timestamp":"20260101150000","Password":"[text]"}';
  expect(signature).toEqual({
    index: 1,
    call: '* /*',
    values: [
      { name: 's', function: 'rsa_sha256', text: `open-label${body}[access_token]` },
      { name: 'n', function: 'random', text: '' },
      { name: 't', function: 'text', text: '[passkey][random]é' },
      { name: 'e', function: 'text', text: 'open-label' },
    ],
    targets: [{ target: 'headers', name: 'X-S', text: '[passkey][random]é[rsa_sha256][text]' }],
  });
});

it('says that a rule leaves the request alone', () => {
  const body = '{"Timestamp":"1","Password":"2"}';
  const { rules } = explain(MPESA, scope, requestOf('POST /mpesa/stkpush/v1/processrequest', { body }));
  const [rule] = rules;
  expect(rule?.skipped).toBe('the app sent all members itself');
  expect(rule?.targets).toEqual([]);
});

it('names what is missing, after the rules before', () => {
  const first: SignRule = { calls: ['* /*'], headers: { 'X-Label': '{label}' } };
  const request = requestOf('POST /mpesa/stkpush/v1/processrequest', { body: '{}' });
  const { rules, refused } = explain([first, ...MPESA], scope, request);
  expect(rules.map(({ index }) => index)).toEqual([0]);
  expect(refused?.message).toContain('The body has no member `BusinessShortCode`.');
  expect(explain(MPESA, scope, requestOf('GET /other'))).toEqual({ rules: [] });
});

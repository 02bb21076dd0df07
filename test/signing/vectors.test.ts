import { createHash, createHmac, generateKeyPairSync, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decryptedPkcs1, EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import type { SignRule } from '../../src/providers/sign-rule.ts';
import type { SignScope } from '../../src/signing/scope.ts';
import { signProblems } from '../../src/signing/sign-problems.ts';
import * as apis from './apis.ts';
import { header, requestOf, scopeOf, signed } from './support.ts';

const ecKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const CREDENTIALS = {
  passkey: 'emulated-passkey',
  initiator: 'emulated-initiator',
  initiator_password: 'emulated-password',
  certificate: EMULATED_PUBLIC_KEY,
  private_key: EMULATED_PRIVATE_KEY,
  public_key: EMULATED_PUBLIC_KEY,
  pin: '1234',
  login: 'emulated-login',
  secret_key: 'emulated-secret',
  trans_key: 'emulated-trans-key',
  lab_key: 'emulated-lab-key',
  key_id: 'emulated-key-id',
  merchant_id: 'emulated-merchant',
  api_key: 'emulated-api-key',
  api_secret: 'emulated-secret',
  client_id: 'emulated-client',
  client_secret: 'emulated-secret',
};
const scope = scopeOf(CREDENTIALS);
const withoutToken = scopeOf(CREDENTIALS, { maySetAuthorization: true, names: [] });
const ecScope = scopeOf({
  ...CREDENTIALS,
  private_key: ecKeys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
});

describe('the rules of real APIs', () => {
  const cases: [name: string, rules: readonly SignRule[], scope: SignScope][] = Object.entries(apis).map(
    ([name, rules]) => [
      name,
      rules,
      name === 'PAWAPAY' ? { ...ecScope, ...{ maySetAuthorization: true } } : withoutToken,
    ],
  );
  it.each(cases)('of %s have no problem', (name, rules, its) => {
    expect(signProblems(rules, name === 'SNAP' ? scope : its)).toEqual([]);
  });
});

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
      apis.MPESA,
      scope,
      requestOf('POST /mpesa/stkpush/v1/processrequest', { body }),
    );
    expect(actual?.toString()).toBe(expected);
  });

  it.each(['{"BusinessShortCode":"1","Business\\u0053hortCode":"2"}', '{}', '[]', '{"BusinessShortCode":{}}', '', 'x'])(
    'is impossible for the body %s',
    async (body) => {
      const request = requestOf('POST /mpesa/stkpush/v1/processrequest', { body });
      await expect(signed(apis.MPESA, scope, request)).rejects.toMatchObject({ code: 'signature_impossible' });
    },
  );
});

it('encrypts the password of an initiator', async () => {
  const body = '{"CommandID":"BusinessPayment"}';
  const call = await signed(apis.MPESA, scope, requestOf('POST /mpesa/b2c/v1/paymentrequest', { body }));
  const sent = JSON.parse(String(call.body)) as Record<string, string>;
  expect(sent['InitiatorName']).toBe('emulated-initiator');
  expect(decryptedPkcs1(sent['SecurityCredential'] ?? '')?.toString()).toBe('emulated-password');
});

const ACCOUNTS = '/v3-apis/account-api/v3.0/accounts';
const REMITTANCE = '/v3-apis/transaction-api/v3.0/remittance';
const TRANSFER =
  '{"source":{"accountNumber":"1450160649886"},"transfer":{"amount":1000.00,"currencyCode":"KES","reference":"692494625798"}}';

describe('a signature in a header', () => {
  const cases: [
    api: string,
    rules: readonly SignRule[],
    call: string,
    body: string | undefined,
    name: string,
    value: string,
  ][] = [
    [
      'Jenga, a balance',
      apis.JENGA,
      `GET ${ACCOUNTS}/balances/KE/1450160649886`,
      undefined,
      'Signature',
      'kXmYV1zxwtp99l3iTzdQ7lgJ+enwHzQzUPHkqr6rwBqCGkkwTN3fm0GzesEXD/EPSul8WpuG8ophk98SH22SXeNuO0JicUw9ZRoFmCihcCNHtviPzzctVFXR7yV8y0ovLeWJ1KM7hSHFKlSOiB/637tiiPIBiSQLqGfk/JDaDQp4JoxxncNOwGOThDUNfhyeMI6Z4+pNiFQdRX35x4uPpLTLsBIYqq+LR3CFQexrEuS14cX4SUGVbCgpuhqFCoWyziRo4TBvGM8XCzj7xmyc4VCA/GgXh0hF0cYJwlquD6AvHPzYuYnFYM8zuffMU+Mtf8ws42gSx8HFCatXGFpSkg==',
    ],
    [
      'Jenga, mobile money',
      apis.JENGA,
      `POST ${REMITTANCE}/sendmobile`,
      TRANSFER,
      'Signature',
      'khD5G/iyxHed/hYNMICaXBjGpHcEgC6mKUpNvT/ijRujT3G94VesRHAvxYvqhdwEP+yrEsk1MluhBAcyQ0OdRXtoCDjZ52ezmFD4vD5lMwF8kHih5uElKwpcdiyjKOv5T6y7osiIxRKj9p03plEBexVBprKWacC+TS9b3KNc2BX4IPkrpVlu3b+fRquk4HwU1rhEOLcNmK5/opeWZanTs5+/AICnfm+96KhgJNwXXXbrkREbNdONPnlysDascRSelmNJI54AwBOG2ra0Qc4s46g0/PTxTipLmky/uJPdiM9oFCfBKWHIlirhLxF8kcqvy6LLTKKMffPwQ1U5ItHSIg==',
    ],
    [
      'Jenga, a transfer',
      apis.JENGA,
      `POST ${REMITTANCE}/internalBankTransfer`,
      TRANSFER,
      'Signature',
      'ZbbtigqFyeeJjtWxFV/gfqr+1bPZIX62alJeG2QsuczLGV8EpxjXO5nNYpuFWeWt35e68eUWMFmTb+iIxB+EwVmkrGXz/irAKWP2m6L+acD9I2bQY/xa0HpSO4K7o1ofvC5YM9OSCtiVxj5hRNQkzyRpl6D5bkHwUtb+PNCBfjpR99XP0LsR5npXdp940tjwLBTqK6T7On/gtkSZmdz1TE3wX8E9PhQ+RQtkZkNpLjlKDmW08EpbF5CogsCCt4vxUypsEl9PuZHUJxYqDlBqYGfdV61iqpXA/BgiA82UxZX089KxBLPCD6iTv9Nr0XUfYcki1OIrUWHNdyj8BOdcuw==',
    ],
    [
      'SNAP, a token request',
      apis.SNAP_TOKEN,
      'POST /openapi/v1.0/access-token/b2b',
      '{}',
      'X-SIGNATURE',
      'dYme+9jj8+0wkpC4xgppoJs6WdaJzwVJIk7M4yT9s7mKdgXYdk0tBYa574RN04GNcJWduuzp3+UiFw0NeLDkKSJOoa4j0W4wq3n+FLuh1Ojz6yMmJ++MKpHLyTigAweKrgLpSwHdpQ1QeIxoRWo8I4Gb91z48g0l3ydEgyzbbqJv/B642vPVc8iC+Or017uAqmdS5Q+leQtc/uo7aQCJX9jac1y3tBZb2wJx2A6Bu7If44wt2atHiEjBMNUuT9dWUI9r5QkGcHVjVCSG1BSwcUbDLn3EzIWJGmnhdxZn11OvIttG1yTgjzfnTbgrqJ0MogIJPPWtEG4tCZynUtlCjg==',
    ],
    [
      'SNAP, a call with a body',
      apis.SNAP,
      'POST /openapi/v1.0/transfer-intrabank',
      '{ "partnerReferenceNo": "2020102900000000000001",\n "amount":{"value":"10000.00","currency":"IDR"},"note":"a b\\"  c"}',
      'X-SIGNATURE',
      'vtlPzA0ZKv4U8mAY6h/R5Fr+lpm7pUuzB9isTaUH1VoZHC3nWz1Cbr5RESJrSJ+C1Mzf/h3t+lHZRlHJxVAVNg==',
    ],
    [
      'SNAP, a call without a body',
      apis.SNAP,
      'GET /openapi/v1.0/x?b=2&a=1',
      undefined,
      'X-SIGNATURE',
      'oglUYQAJ6P8OYmtA3Q3z1nHSqOa0niXGiDGGxTf3KdDAQsSKDhpx5FEj2Bj1jq9DAsWnyMP6mg1t0AHLQDhqKQ==',
    ],
    [
      'Selcom',
      apis.SELCOM,
      'POST /v1/utilitypayment/process',
      '{"utilityref":"12345","transid":"T001","amount":5000,"billing.firstname":"Asha"}',
      'Digest',
      'KlJnYxWQ7A28hD8hm4gw9pm/ddLO+UdREssiQdWkmhc=',
    ],
    [
      'Selcom, of a query',
      apis.SELCOM,
      'GET /v1/x?utilityref=12345&transid=T001&amount=5000&billing.firstname=Asha',
      undefined,
      'Digest',
      'KlJnYxWQ7A28hD8hm4gw9pm/ddLO+UdREssiQdWkmhc=',
    ],
    [
      'dLocal',
      apis.DLOCAL,
      'POST /payments',
      '{"amount":120.00}',
      'Authorization',
      'V2-HMAC-SHA256, Signature: acb6a2f67d563e90db32279e13056df1037cf9375cd63a139a1cfedf574b36df',
    ],
    [
      'Airtel, the encrypted body',
      apis.AIRTEL,
      'POST /merchant/v2/payments/',
      '{"reference":"INV-1001"}',
      'x-signature',
      'iQXwzodr7nCro211gimShcucut6w3t4ei3hmMbPG+H8=',
    ],
  ];
  it.each(cases)('%s, is that of openssl', async (_api, rules, call, body, name, value) => {
    const its = rules === apis.SNAP ? scope : withoutToken;
    expect(header(await signed(rules, its, requestOf(call, body === undefined ? {} : { body })), name)).toBe(value);
  });
});

it('encrypts the key of an Airtel body', async () => {
  const request = requestOf('POST /merchant/v2/payments/', { body: '{"reference":"INV-1001"}' });
  const sealed = header(await signed(apis.AIRTEL, scope, request), 'x-key') ?? '';
  expect(decryptedPkcs1(sealed)?.toString()).toBe(
    'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:AAECAwQFBgcICQoLDA0ODw==',
  );
});

it('names the fields of a Selcom call in their order', async () => {
  const request = requestOf('POST /v1/x', { body: '{"b":"1","a":true}' });
  expect(header(await signed(apis.SELCOM, withoutToken, request), 'Signed-Fields')).toBe('b,a');
});

it('makes a message signature that verifies, over the digest of the body', async () => {
  const body = '{"depositId":"1"}';
  const call = await signed(apis.PAWAPAY, ecScope, requestOf('POST /v2/deposits', { body }));
  const digest = createHash('sha512').update(body).digest('base64');
  expect(header(call, 'Content-Digest')).toBe(`sha-512=:${digest}:`);
  const params =
    '("@method" "@authority" "@path" "signature-date" "content-digest" "content-type");alg="ecdsa-p256-sha256";keyid="emulated-key-id";created=1767268800;expires=1767268860';
  expect(header(call, 'Signature-Input')).toBe(`sig-pp=${params}`);
  const base = [
    '"@method": POST',
    '"@authority": api.example.com',
    '"@path": /v2/deposits',
    '"signature-date": 2026-01-01T12:00:00.123Z',
    `"content-digest": sha-512=:${digest}:`,
    '"content-type": application/json',
    `"@signature-params": ${params}`,
  ].join('\n');
  const signature = Buffer.from(header(call, 'Signature')?.slice('sig-pp=:'.length, -1) ?? '', 'base64');
  const key = { key: ecKeys.publicKey, dsaEncoding: 'ieee-p1363' } as const;
  expect(verify('sha256', Buffer.from(base), key, signature)).toBe(true);
});

it('derives keys from keys', async () => {
  const key = (of: string, input: string) =>
    ({ hmac_sha256: input, key: of, encoding: 'hex', key_encoding: 'hex' }) as const;
  const rule: SignRule = {
    calls: ['* /*'],
    values: {
      day: { now: 'yyyyMMdd' },
      first: { hmac_sha256: '{day}', key: 'V4{secret_key}', encoding: 'hex' },
      second: key('{first}', 'af-south-1'),
      third: key('{second}', 'v4_request'),
    },
    headers: { 'X-Key': '{third}' },
  };
  const hmac = (of: Buffer | string, input: string) => createHmac('sha256', of).update(input).digest();
  const expected = hmac(hmac(hmac('V4emulated-secret', '20260101'), 'af-south-1'), 'v4_request');
  expect(header(await signed([rule], scope, requestOf('GET /x')), 'X-Key')).toBe(expected.toString('hex'));
});

it('hashes the values of an Ecobank body with the key', async () => {
  const request = requestOf('POST /corporateapi/merchant/accountbalance', { body: '{"requestId":"14","amount":5.0}' });
  const hash = createHash('sha512').update('145.0emulated-lab-key').digest('hex');
  const { body } = await signed(apis.ECOBANK, scope, request);
  expect(String(body)).toBe(`{"requestId":"14","amount":5.0,"secureHash":"${hash}"}`);
});

it('hashes fields of a Remita body with the key', async () => {
  const request = requestOf('POST /remita/exapp/api/v1/send/api/echannelsvc/merchant/api/paymentinit', {
    body: '{"serviceTypeId":"4430731","amount":"20000","orderId":"79"}',
  });
  const hash = createHash('sha512').update('emulated-merchant44307317920000emulated-api-key').digest('hex');
  expect(header(await signed(apis.REMITA, withoutToken, request), 'Authorization')).toBe(
    `remitaConsumerKey=emulated-merchant,remitaConsumerToken=${hash}`,
  );
});

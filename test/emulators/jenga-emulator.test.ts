import { sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EMULATED_PRIVATE_KEY } from '../../src/emulators/emulated-keys.ts';
import { jenga } from '../../src/providers/jenga.ts';
import { emulate, send, tokenOf } from './support.ts';

const ACCOUNTS = '/v3-apis/account-api/v3.0';
const TRANSACTIONS = '/v3-apis/transaction-api/v3.0';
const REMITTANCE = `${TRANSACTIONS}/remittance`;
const TRANSFER =
  '{"source":{"accountNumber":"1450160649886"},"destination":{"name":"Asha Otieno","accountNumber":"0060161911111"},' +
  '"transfer":{"amount":1000.00,"currencyCode":"KES","reference":"692494625798","date":"2026-01-01"}}';
const STATEMENT = '{"countryCode":"KE","accountNumber":"1450160649886","fromDate":"2026-01-01","toDate":"2026-01-31"}';
const STK =
  '{"merchant":{"accountNumber":"1450160649886","countryCode":"KE"},"payment":{"ref":"X67KFH","amount":"5.00",' +
  '"currency":"KES","telco":"Safaricom","mobileNumber":"254722000000"}}';

/** Path, body and the text that Jenga's documentation says is signed. */
const CALLS: [path: string, body: string | undefined, text: string][] = [
  [`${ACCOUNTS}/accounts/balances/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/accounts/miniStatement/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/accounts/search/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/search/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/accounts/fullStatement`, STATEMENT, '1450160649886KE2026-01-31'],
  [
    `${ACCOUNTS}/accounts/accountBalance/query`,
    '{"countryCode":"KE","accountId":"1450160649886","date":"2026-01-01"}',
    '1450160649886KE2026-01-01',
  ],
  [
    `${ACCOUNTS}/account/validate`,
    '{"countryCode":"UG","accountNumber":"1036200681230","accountFullName":"ASHA OTIENO"}',
    'UG1036200681230ASHA OTIENO',
  ],
  [`${TRANSACTIONS}/transactions/details/692494625798`, undefined, '692494625798'],
  [`${REMITTANCE}/internalBankTransfer`, TRANSFER, '14501606498861000.00KES692494625798'],
  [`${REMITTANCE}/internalBankTransfer/imt`, TRANSFER, '14501606498861000.00KES692494625798'],
  [`${REMITTANCE}/sendmobile`, TRANSFER, '1000.00KES6924946257981450160649886'],
  [`${REMITTANCE}/sendmobile/imt`, TRANSFER, '1000.00KES6924946257981450160649886'],
  [`${REMITTANCE}/pesalinkacc`, TRANSFER, '1000.00KES692494625798Asha Otieno1450160649886'],
  [`${REMITTANCE}/pesalinkMobile`, TRANSFER, '1000.00KES692494625798Asha Otieno1450160649886'],
  [`${REMITTANCE}/rtgs`, TRANSFER, '6924946257982026-01-01145016064988600601619111111000.00'],
  [`${REMITTANCE}/swift`, TRANSFER, '6924946257982026-01-01145016064988600601619111111000.00'],
  ['/v3-apis/payment-api/v3.0/stkussdpush/initiate', STK, '1450160649886X67KFH254722000000Safaricom5.00KES'],
  [
    '/api-checkout/mpesa-stk-push/v3.0/init',
    '{"order":{"orderReference":"ORD-1"},"payment":{"paymentCurrency":"KES","details":{"msisdn":"0722000000","paymentAmount":5}}}',
    'ORD-1KES07220000005',
  ],
  [
    `${TRANSACTIONS}/tills/pay`,
    '{"merchant":{"till":"0766000000"},"payment":{"ref":"123456789123","amount":"1000.00","currency":"KES"},"partner":{"id":"0011547896523"}}',
    '076600000000115478965231000.00KES123456789123',
  ],
  [
    `${TRANSACTIONS}/bills/pay`,
    '{"biller":{"billerCode":"320320"},"bill":{"amount":"100.00"},"payer":{"reference":"123456729123"},"partnerId":"0011547896523"}',
    '320320100.001234567291230011547896523',
  ],
  [
    `${TRANSACTIONS}/airtime`,
    '{"customer":{"countryCode":"KE"},"airtime":{"amount":"100","reference":"212194600777","telco":"Safaricom"}}',
    'Safaricom100212194600777',
  ],
];

function signatureOf(text: string): string {
  return sign('sha256', Buffer.from(text), EMULATED_PRIVATE_KEY).toString('base64');
}

async function caller() {
  const { emulator } = await emulate(jenga);
  const token = await tokenOf(emulator);
  return (path: string, body: string | undefined, signature: string | undefined) =>
    send(emulator.apiUrl + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}`, ...(signature !== undefined && { signature }) },
      ...(body !== undefined && { body }),
    });
}

describe('a Signature', () => {
  it.each(CALLS)('%s: is that of the documented fields', async (path, body, text) => {
    const call = await caller();
    expect(await call(path, body, signatureOf(text))).toMatchObject({ status: 200, json: { status: true, code: 0 } });
    const refused = await call(path, body, signatureOf(`${text} `));
    expect(refused).toMatchObject({ status: 400, json: { status: false, code: 900100, message: 'Invalid Signature' } });
    expect(refused.headers.get('x-emulated-reason')).toContain('with the emulated private key');
    expect((await call(path, body, undefined)).headers.get('x-emulated-reason')).toContain('no Signature header');
  });

  it('of an amount is that of its text: 1000.00 is not 1000', async () => {
    const call = await caller();
    const signature = signatureOf('1000KES6924946257981450160649886');
    expect((await call(`${REMITTANCE}/sendmobile`, TRANSFER, signature)).status).toBe(400);
  });

  it.each([
    ['no JSON', 'amount=1'],
    ['a missing field', '{"transfer":{}}'],
    ['an object', '{"source":{"accountNumber":{}},"transfer":{"amount":1,"currencyCode":"KES","reference":"1"}}'],
  ])('of a body with %s cannot be checked', async (_, body) => {
    const call = await caller();
    expect(await call(`${REMITTANCE}/sendmobile`, body, signatureOf('x'))).toMatchObject({
      status: 400,
      json: { code: 400, message: 'Invalid request parameters' },
    });
  });

  it('is not needed for the list of billers', async () => {
    const call = await caller();
    const { status, json } = await call(`${TRANSACTIONS}/billers`, undefined, undefined);
    expect([status, json['data']]).toEqual([200, { billers: [{ name: 'Emulated biller', code: '320320' }] }]);
  });
});

it('a call that is not known is returned', async () => {
  const call = await caller();
  expect((await call('/v3-apis/other?a=%20', undefined, undefined)).json).toEqual({
    method: 'GET',
    path: '/v3-apis/other',
    query: 'a=%20',
    body: null,
  });
});

import { describe, expect, it } from 'vitest';
import type { Emulator } from '../../src/emulators/emulator.ts';
import { mtnMomo } from '../../src/providers/mtn-momo.ts';
import { callApi, emulate, jsonOf, routeHeaders, startCallbackServer, tokenOf } from './support.ts';

const REQUEST = '/collection/v1_0/requesttopay';
const ID = '5f3c2a10-9d4e-4b1f-8a77-0c1d2e3f4a5b';
const payment = {
  amount: '100',
  currency: 'EUR',
  externalId: 'INV-1001',
  payer: { partyIdType: 'MSISDN', partyId: '256770000001' },
  payerMessage: 'Order 1001',
  payeeNote: 'Order 1001',
};

async function start() {
  const { emulator, clock } = await emulate(mtnMomo);
  const token = await tokenOf(emulator);
  const post = (path: string, json: object, headers: Record<string, string> = {}) =>
    callApi(emulator, token, path, json as typeof payment, {
      ...routeHeaders(emulator),
      'x-reference-id': ID,
      ...headers,
    });
  const get = (path: string) => callApi(emulator, token, path, undefined, routeHeaders(emulator));
  return { emulator, clock, token, post, get };
}

it.each([
  [REQUEST, 'payer'],
  ['/collection/v1_0/requesttowithdraw', 'payer'],
  ['/disbursement/v1_0/transfer', 'payee'],
  ['/disbursement/v1_0/deposit', 'payee'],
  ['/remittance/v1_0/transfer', 'payee'],
])('POST %s returns 202 and no body, and the reference reads the status', async (path, party) => {
  const { clock, post, get } = await start();
  const { payer, ...rest } = payment;
  const made = await post(path, { ...rest, [party]: payer });
  expect([made.status, made.text]).toEqual([202, '']);
  expect((await get(`${path}/${ID}`)).json).toMatchObject({ externalId: 'INV-1001', amount: '100', status: 'PENDING' });
  await clock.advance(500);
  const done = (await get(`${path}/${ID}`)).json;
  expect(done).toMatchObject({
    status: 'SUCCESSFUL',
    financialTransactionId: expect.stringMatching(/^\d{10}$/) as string,
  });
});

it.each([
  ['46733123450', { status: 'FAILED', reason: 'INTERNAL_PROCESSING_ERROR' }],
  ['46733123451', { status: 'FAILED', reason: 'APPROVAL_REJECTED' }],
  ['46733123452', { status: 'FAILED', reason: 'EXPIRED' }],
  ['46733123454', { status: 'PENDING' }],
])('the test number %s has the same outcome as in the real sandbox', async (partyId, end) => {
  const { clock, post, get } = await start();
  await post(REQUEST, { ...payment, payer: { ...payment.payer, partyId } });
  await clock.advance(500);
  expect((await get(`${REQUEST}/${ID}`)).json).toMatchObject(end);
});

it('a reference can be used for one payment', async () => {
  const { post } = await start();
  await post(REQUEST, payment);
  expect(await post(REQUEST, payment)).toMatchObject({ status: 409, json: { code: 'RESOURCE_ALREADY_EXIST' } });
});

it.each<[string, object, Record<string, string>, number, string]>([
  ['no UUID of version 4 as reference', payment, { 'x-reference-id': 'order-1' }, 400, 'BAD_REQUEST'],
  ['another currency than EUR', { ...payment, currency: 'UGX' }, {}, 500, 'INVALID_CURRENCY'],
  ['no amount', { ...payment, amount: '' }, {}, 400, 'BAD_REQUEST'],
  ['no payer', { ...payment, payer: {} }, {}, 400, 'BAD_REQUEST'],
])('a payment with %s is refused', async (_, json, headers, status, code) => {
  const { post } = await start();
  expect(await post(REQUEST, json, headers)).toMatchObject({ status, json: { code } });
});

it('an unknown reference returns 404', async () => {
  const { get } = await start();
  expect(await get(`${REQUEST}/${ID}`)).toMatchObject({ status: 404, json: { code: 'RESOURCE_NOT_FOUND' } });
});

it('a call without the subscription key or X-Target-Environment is refused', async () => {
  const { emulator, token, post } = await start();
  const bare = await callApi(emulator, token, '/collection/v1_0/account/balance');
  expect([bare.status, bare.json['statusCode']]).toEqual([401, 401]);
  const wrong = await post(REQUEST, payment, { 'Ocp-Apim-Subscription-Key': 'other' });
  expect(wrong.status).toBe(401);
  const key = routeHeaders(emulator)['Ocp-Apim-Subscription-Key']!;
  const nowhere = await callApi(emulator, token, REQUEST, payment, {
    'ocp-apim-subscription-key': key,
    'x-reference-id': ID,
  });
  expect(nowhere).toMatchObject({ status: 400, json: { message: 'X-Target-Environment is missing' } });
});

it('the balance and the check of a number succeed', async () => {
  const { get } = await start();
  expect((await get('/disbursement/v1_0/account/balance')).json).toEqual({ availableBalance: '1000', currency: 'EUR' });
  expect((await get('/collection/v1_0/accountholder/msisdn/256770000001/active')).json).toEqual({ result: true });
});

it('the callback is sent when the payment is complete', async () => {
  const { clock, post } = await start();
  const app = await startCallbackServer();
  await post(REQUEST, payment, { 'x-callback-url': `${app.url}/momo` });
  const next = app.next();
  await clock.advance(500);
  expect(jsonOf((await next).body)).toMatchObject({ externalId: 'INV-1001', status: 'SUCCESSFUL' });
});

describe('the token endpoint', () => {
  const asked = async (emulator: Emulator, path: string, headers: Record<string, string>, body?: string) => {
    const basic = Buffer.from('00000000-0000-4000-8000-000000000001:emulated-mtn-momo-api-key').toString('base64');
    const response = await fetch(emulator.authUrl + path, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}`, ...headers },
      ...(body !== undefined && { body }),
    });
    return response.status;
  };

  it('belongs to the product and requires the subscription key', async () => {
    const { emulator } = await emulate(mtnMomo);
    const key = { 'ocp-apim-subscription-key': 'emulated-mtn-momo-subscription-key' };
    expect(await asked(emulator, '/collection/token/', key)).toBe(200);
    expect(await asked(emulator, '/collection/token/', {})).toBe(400);
    expect(await asked(emulator, '/collection/token/', { 'ocp-apim-subscription-key': 'other' })).toBe(500);
    expect(await asked(emulator, '/disbursement/token/', key)).toBe(500);
    expect(emulator.stats()).toMatchObject({ token_requests: 4, exchanges: 1, denied: 3 });
  });
});

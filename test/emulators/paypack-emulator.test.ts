import { createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { PAYPACK_WEBHOOK_SECRET } from '../../src/emulators/paypack-emulator.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { callApi, emulate, jsonOf, startCallbackServer, tokenOf } from './support.ts';

const CASHIN = '/transactions/cashin';
const cashIn = { amount: 100, number: '0780000001' };

it.each([
  ['cashin', 'CASHIN', '0780000001', 'mtn'],
  ['cashout', 'CASHOUT', '0730000001', 'airtel'],
])('a %s can be read: pending at first, then successful', async (path, kind, number, network) => {
  const { emulator, clock } = await emulate(paypack);
  const token = await tokenOf(emulator);
  const { json } = await callApi(emulator, token, `/transactions/${path}`, { amount: 100, number });
  expect(json).toMatchObject({ status: 'pending', amount: 100, kind, provider: network });
  const find = () => callApi(emulator, token, `/transactions/find/${String(json['ref'])}`);
  expect((await find()).json).toMatchObject({ ref: json['ref'], client: number, status: 'pending' });
  await clock.advance(500);
  expect((await find()).json).toMatchObject({ status: 'successful' });
  expect((await callApi(emulator, token, '/transactions/list')).json).toMatchObject({ total: 1 });
});

it('an unknown ref returns 404', async () => {
  const { emulator } = await emulate(paypack);
  const reply = await callApi(emulator, await tokenOf(emulator), '/transactions/find/none');
  expect(reply).toMatchObject({ status: 404, json: { status: 404, message: 'transaction not found' } });
});

it('the same Idempotency-Key in header or query returns the same response and creates nothing', async () => {
  const { emulator } = await emulate(paypack);
  const token = await tokenOf(emulator);
  const first = await callApi(emulator, token, CASHIN, cashIn, { 'idempotency-key': 'k1' });
  const again = await callApi(emulator, token, `${CASHIN}?Idempotency-Key=k1`, cashIn);
  const other = await callApi(emulator, token, `${CASHIN}?Idempotency-Key=k2`, cashIn);
  expect(again.json).toEqual(first.json);
  expect(other.json['ref']).not.toBe(first.json['ref']);
  expect((await callApi(emulator, token, '/transactions/list')).json).toMatchObject({ total: 2 });
});

it('events and the merchant show the X-Webhook-Mode of the request, or null', async () => {
  const { emulator } = await emulate(paypack);
  const token = await tokenOf(emulator);
  await callApi(emulator, token, CASHIN, cashIn);
  await callApi(emulator, token, CASHIN, cashIn, { 'x-webhook-mode': 'development' });
  const { json } = await callApi(emulator, token, '/events/transactions');
  expect(json).toMatchObject({ transactions: [{ webhook_mode: 'development' }, { webhook_mode: null }] });
  const merchant = await callApi(emulator, token, '/merchants/me', undefined, { 'x-webhook-mode': 'production' });
  expect(merchant.json).toMatchObject({ mode: 'production' });
});

it.each([
  [{ amount: '100', number: '0780000001' }, 'invalid amount'],
  [{ amount: 100, number: '12' }, 'invalid phone number'],
])('the payment %j is refused', async (body, message) => {
  const { emulator } = await emulate(paypack);
  const reply = await callApi(emulator, await tokenOf(emulator), CASHIN, body);
  expect(reply).toMatchObject({ status: 400, json: { message } });
});

it('a signed webhook is sent to the URL of the switch', async () => {
  const { emulator, clock } = await emulate(paypack);
  const app = await startCallbackServer();
  emulator.control({ webhook_url: `${app.url}/hook` });
  const { json } = await callApi(emulator, await tokenOf(emulator), CASHIN, cashIn);
  const next = app.next();
  await clock.advance(500);
  const { url, headers, body } = await next;
  expect(url).toBe('/hook');
  expect(jsonOf(body)).toMatchObject({
    event_kind: 'transaction:processed',
    data: { ref: json['ref'], status: 'successful' },
  });
  const signature = createHmac('sha256', PAYPACK_WEBHOOK_SECRET).update(body).digest('base64');
  expect(headers['x-paypack-signature']).toBe(signature);
});

it('webhooks are sent to the URL of the start option, and none without it', async () => {
  const app = await startCallbackServer();
  for (const options of [{ webhookUrl: app.url }, {}]) {
    const { emulator, clock } = await emulate(paypack, options);
    const waitingBefore = clock.timers;
    await callApi(emulator, await tokenOf(emulator), CASHIN, cashIn);
    expect(clock.timers - waitingBefore).toBe('webhookUrl' in options ? 1 : 0);
  }
});

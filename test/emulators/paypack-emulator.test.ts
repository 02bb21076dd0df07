import { createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { PAYPACK_WEBHOOK_SECRET } from '../../src/emulators/paypack-emulator.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { call, emulate, jsonOf, listener, tokenOf } from './support.ts';

const CASHIN = '/transactions/cashin';
const cashIn = { amount: 100, number: '0780000001' };

it.each([
  ['cashin', 'CASHIN', '0780000001', 'mtn'],
  ['cashout', 'CASHOUT', '0730000001', 'airtel'],
])('a %s is found again, pending at first and then successful', async (path, kind, number, network) => {
  const { emulator, clock } = await emulate(paypack);
  const token = await tokenOf(emulator);
  const { json } = await call(emulator, token, `/transactions/${path}`, { amount: 100, number });
  expect(json).toMatchObject({ status: 'pending', amount: 100, kind, provider: network });
  const find = () => call(emulator, token, `/transactions/find/${String(json['ref'])}`);
  expect((await find()).json).toMatchObject({ ref: json['ref'], client: number, status: 'pending' });
  clock.advance(500);
  expect((await find()).json).toMatchObject({ status: 'successful' });
  expect((await call(emulator, token, '/transactions/list')).json).toMatchObject({ total: 1 });
});

it('an unknown ref is an ordinary 404', async () => {
  const { emulator } = await emulate(paypack);
  const reply = await call(emulator, await tokenOf(emulator), '/transactions/find/none');
  expect(reply).toMatchObject({ status: 404, json: { status: 404, message: 'transaction not found' } });
});

it('an Idempotency-Key in the header or the query gets the same answer and makes nothing new', async () => {
  const { emulator } = await emulate(paypack);
  const token = await tokenOf(emulator);
  const first = await call(emulator, token, CASHIN, cashIn, { 'idempotency-key': 'k1' });
  const again = await call(emulator, token, `${CASHIN}?Idempotency-Key=k1`, cashIn);
  const other = await call(emulator, token, `${CASHIN}?Idempotency-Key=k2`, cashIn);
  expect(again.json).toEqual(first.json);
  expect(other.json['ref']).not.toBe(first.json['ref']);
  expect((await call(emulator, token, '/transactions/list')).json).toMatchObject({ total: 2 });
});

it('events and the merchant show the X-Webhook-Mode that came, or that none came', async () => {
  const { emulator } = await emulate(paypack);
  const token = await tokenOf(emulator);
  await call(emulator, token, CASHIN, cashIn);
  await call(emulator, token, CASHIN, cashIn, { 'x-webhook-mode': 'development' });
  const { json } = await call(emulator, token, '/events/transactions');
  expect(json).toMatchObject({ transactions: [{ webhook_mode: 'development' }, { webhook_mode: null }] });
  const merchant = await call(emulator, token, '/merchants/me', undefined, { 'x-webhook-mode': 'production' });
  expect(merchant.json).toMatchObject({ mode: 'production' });
});

it.each([
  [{ amount: '100', number: '0780000001' }, 'invalid amount'],
  [{ amount: 100, number: '12' }, 'invalid phone number'],
])('refuses %j', async (body, message) => {
  const { emulator } = await emulate(paypack);
  const reply = await call(emulator, await tokenOf(emulator), CASHIN, body);
  expect(reply).toMatchObject({ status: 400, json: { message } });
});

it('sends a signed webhook to the URL that was set', async () => {
  const { emulator, clock } = await emulate(paypack);
  const app = await listener();
  emulator.control({ webhook_url: `${app.url}/hook` });
  const { json } = await call(emulator, await tokenOf(emulator), CASHIN, cashIn);
  const next = app.next();
  clock.advance(500);
  const { url, headers, body } = await next;
  expect(url).toBe('/hook');
  expect(jsonOf(body)).toMatchObject({
    event_kind: 'transaction:processed',
    data: { ref: json['ref'], status: 'successful' },
  });
  const signature = createHmac('sha256', PAYPACK_WEBHOOK_SECRET).update(body).digest('base64');
  expect(headers['x-paypack-signature']).toBe(signature);
});

it('sends webhooks to the URL it was started with, and none without one', async () => {
  const app = await listener();
  for (const options of [{ webhookUrl: app.url }, {}]) {
    const { emulator, clock } = await emulate(paypack, options);
    const waitingBefore = clock.waiting;
    await call(emulator, await tokenOf(emulator), CASHIN, cashIn);
    expect(clock.waiting - waitingBefore).toBe('webhookUrl' in options ? 1 : 0);
  }
});

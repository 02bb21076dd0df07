import { createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { KOPOKOPO_API_KEY } from '../../src/emulators/kopokopo-emulator.ts';
import { kopokopo } from '../../src/providers/kopokopo.ts';
import { call, emulate, jsonOf, listener, tokenOf } from './support.ts';

const { path: PAYMENTS, json: payment } = kopokopo.samples.call;

it('a payment is made with 201 and no body, found at its Location, and succeeds', async () => {
  const { emulator, clock } = await emulate(kopokopo);
  const token = await tokenOf(emulator);
  const made = await call(emulator, token, PAYMENTS, payment);
  expect([made.status, made.text]).toEqual([201, '']);
  const location = made.headers.get('location') ?? '';
  expect(location.startsWith(`${emulator.apiUrl}${PAYMENTS}/`)).toBe(true);
  const show = async () => (await call(emulator, token, new URL(location).pathname)).json;
  expect(await show()).toMatchObject({ data: { type: 'incoming_payment', attributes: { status: 'Pending' } } });
  clock.advance(500);
  expect(await show()).toMatchObject({
    data: {
      attributes: {
        status: 'Success',
        event: { resource: { amount: '100', currency: 'KES', till_number: 'K000000' }, errors: null },
        metadata: { reference: 'INV-1001' },
        _links: { self: location },
      },
    },
  });
});

it('sends the signed result to the callback address', async () => {
  const { emulator, clock } = await emulate(kopokopo);
  const app = await listener();
  await call(emulator, await tokenOf(emulator), PAYMENTS, { ...payment, _links: { callback_url: `${app.url}/k2` } });
  const next = app.next();
  clock.advance(500);
  const { url, headers, body } = await next;
  expect(url).toBe('/k2');
  expect(jsonOf(body)).toMatchObject({ data: { attributes: { status: 'Success' } } });
  expect(headers['x-kopokopo-signature']).toBe(createHmac('sha256', KOPOKOPO_API_KEY).update(body).digest('hex'));
});

it('subscribes to webhooks', async () => {
  const { emulator } = await emulate(kopokopo);
  const token = await tokenOf(emulator);
  const subscription = { event_type: 'b2b_transaction_received', url: 'https://shop.example/hook', scope: 'till' };
  const made = await call(emulator, token, '/api/v1/webhook_subscriptions', subscription);
  const found = await call(emulator, token, new URL(made.headers.get('location')!).pathname);
  expect(found.json).toMatchObject({ data: { type: 'webhook_subscription', attributes: subscription } });
});

it('refuses what lacks something, and knows no other', async () => {
  const { emulator } = await emulate(kopokopo);
  const token = await tokenOf(emulator);
  const rest = Object.fromEntries(Object.entries(payment!).filter(([name]) => name !== 'till_number'));
  expect(await call(emulator, token, PAYMENTS, rest)).toMatchObject({
    status: 400,
    json: { error_message: 'till_number is missing' },
  });
  expect((await call(emulator, token, `${PAYMENTS}/none`)).status).toBe(404);
});

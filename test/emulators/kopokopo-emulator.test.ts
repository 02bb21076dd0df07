import { createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { KOPOKOPO_API_KEY } from '../../src/emulators/kopokopo-emulator.ts';
import { kopokopo } from '../../src/providers/kopokopo.ts';
import { callApi, emulate, jsonOf, startCallbackServer, tokenOf } from './support.ts';

const { path: PAYMENTS, json: payment } = kopokopo.samples.call;

it('creating a payment returns 201, no body and a Location, and the payment succeeds', async () => {
  const { emulator, clock } = await emulate(kopokopo);
  const token = await tokenOf(emulator);
  const made = await callApi(emulator, token, PAYMENTS, payment);
  expect([made.status, made.text]).toEqual([201, '']);
  const location = made.headers.get('location') ?? '';
  expect(location.startsWith(`${emulator.apiUrl}${PAYMENTS}/`)).toBe(true);
  const show = async () => (await callApi(emulator, token, new URL(location).pathname)).json;
  expect(await show()).toMatchObject({ data: { type: 'incoming_payment', attributes: { status: 'Pending' } } });
  await clock.advance(500);
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

it('the signed result is sent to the callback URL', async () => {
  const { emulator, clock } = await emulate(kopokopo);
  const app = await startCallbackServer();
  await callApi(emulator, await tokenOf(emulator), PAYMENTS, { ...payment, _links: { callback_url: `${app.url}/k2` } });
  const next = app.next();
  await clock.advance(500);
  const { url, headers, body } = await next;
  expect(url).toBe('/k2');
  expect(jsonOf(body)).toMatchObject({ data: { attributes: { status: 'Success' } } });
  expect(headers['x-kopokopo-signature']).toBe(createHmac('sha256', KOPOKOPO_API_KEY).update(body).digest('hex'));
});

it('a webhook subscription can be created and read', async () => {
  const { emulator } = await emulate(kopokopo);
  const token = await tokenOf(emulator);
  const subscription = { event_type: 'b2b_transaction_received', url: 'https://shop.example/hook', scope: 'till' };
  const made = await callApi(emulator, token, '/api/v1/webhook_subscriptions', subscription);
  const found = await callApi(emulator, token, new URL(made.headers.get('location')!).pathname);
  expect(found.json).toMatchObject({ data: { type: 'webhook_subscription', attributes: subscription } });
});

it('a missing field returns 400 and an unknown id 404', async () => {
  const { emulator } = await emulate(kopokopo);
  const token = await tokenOf(emulator);
  const rest = Object.fromEntries(Object.entries(payment!).filter(([name]) => name !== 'till_number'));
  expect(await callApi(emulator, token, PAYMENTS, rest)).toMatchObject({
    status: 400,
    json: { error_message: 'till_number is missing' },
  });
  expect((await callApi(emulator, token, `${PAYMENTS}/none`)).status).toBe(404);
});

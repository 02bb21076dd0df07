import { expect, it } from 'vitest';
import { paypal } from '../../src/providers/paypal.ts';
import { callApi, emulate, tokenOf } from './support.ts';

const ORDERS = '/v2/checkout/orders';
const { json: order } = paypal.samples.call;

async function start() {
  const { emulator, clock } = await emulate(paypal);
  const token = await tokenOf(emulator);
  const post = (path: string, headers: Record<string, string> = {}, json = order!) =>
    callApi(emulator, token, path, json, headers);
  return { emulator, clock, post, get: (path: string) => callApi(emulator, token, path) };
}

it('an order is created, approved by the buyer, and captured once', async () => {
  const { emulator, clock, post, get } = await start();
  const made = await post(ORDERS);
  const id = String(made.json['id']);
  expect(made).toMatchObject({ status: 201, json: { status: 'CREATED' } });
  expect(id).toMatch(/^[A-Z0-9]{17}$/);
  expect(made.json['links']).toMatchObject([
    { href: `${emulator.apiUrl}${ORDERS}/${id}`, rel: 'self' },
    { rel: 'approve' },
    { href: `${emulator.apiUrl}${ORDERS}/${id}/capture`, rel: 'capture' },
  ]);
  const issue = (name: string) => ({ status: 422, json: { details: [{ issue: name }] } });
  expect(await post(`${ORDERS}/${id}/capture`)).toMatchObject(issue('ORDER_NOT_APPROVED'));
  await clock.advance(500);
  expect((await get(`${ORDERS}/${id}`)).json).toMatchObject({ id, intent: 'CAPTURE', status: 'APPROVED' });
  const captured = await post(`${ORDERS}/${id}/capture`);
  expect(captured).toMatchObject({
    status: 201,
    json: {
      status: 'COMPLETED',
      purchase_units: [{ reference_id: 'INV-1001', payments: { captures: [{ status: 'COMPLETED' }] } }],
    },
  });
  expect(await post(`${ORDERS}/${id}/capture`)).toMatchObject(issue('ORDER_ALREADY_CAPTURED'));
});

it('the same PayPal-Request-Id returns the same order', async () => {
  const { post } = await start();
  const ids = await Promise.all(
    ['a', 'a', 'b'].map(async (id) => (await post(ORDERS, { 'paypal-request-id': id })).json['id']),
  );
  expect(ids[0]).toBe(ids[1]);
  expect(ids[2]).not.toBe(ids[0]);
});

it('Prefer: return=representation returns the whole order', async () => {
  const { post } = await start();
  expect((await post(ORDERS, { prefer: 'return=representation' })).json).toMatchObject({ intent: 'CAPTURE' });
  expect(Object.keys((await post(ORDERS)).json)).toEqual(['id', 'status', 'links']);
});

it('an unknown order and an order without units return errors in the format of PayPal', async () => {
  const { post, get } = await start();
  expect(await get(`${ORDERS}/NONE`)).toMatchObject({ status: 404, json: { name: 'RESOURCE_NOT_FOUND' } });
  expect(await post(`${ORDERS}/NONE/capture`)).toMatchObject({ status: 404 });
  expect(await post(ORDERS, {}, { intent: 'CAPTURE' })).toMatchObject({
    status: 400,
    json: { name: 'INVALID_REQUEST' },
  });
});

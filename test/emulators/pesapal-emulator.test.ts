import { expect, it } from 'vitest';
import type { JsonObject } from '../../src/json.ts';
import { pesapal } from '../../src/providers/pesapal.ts';
import { callApi, emulate, jsonOf, startCallbackServer, tokenOf } from './support.ts';

const SUBMIT = '/api/Transactions/SubmitOrderRequest';

async function start() {
  const { emulator, clock } = await emulate(pesapal);
  const token = await tokenOf(emulator);
  const post = async (path: string, json: JsonObject) => (await callApi(emulator, token, path, json)).json;
  const register = async (url: string) => post('/api/URLSetup/RegisterIPN', { url, ipn_notification_type: 'POST' });
  return { clock, post, register, get: async (path: string) => (await callApi(emulator, token, path)).json };
}

function orderFor(notification_id: string): JsonObject {
  return {
    id: 'INV-1001',
    currency: 'KES',
    amount: 100,
    description: 'Order 1001',
    callback_url: 'https://shop.example/paid',
    notification_id,
    billing_address: { phone_number: '0700000001' },
  };
}

it('an order with a registered notification URL is paid and notified', async () => {
  const { clock, post, register, get } = await start();
  const app = await startCallbackServer();
  const address = await register(`${app.url}/ipn`);
  expect(address).toMatchObject({ url: `${app.url}/ipn`, ipn_status: 1, notification_type: 1, status: '200' });
  expect(await get('/api/URLSetup/GetIpnList')).toEqual([address]);

  const order = await post(SUBMIT, orderFor(String(address['ipn_id'])));
  const id = String(order['order_tracking_id']);
  expect(order).toMatchObject({ merchant_reference: 'INV-1001', error: null, status: '200' });
  const status = () => get(`/api/Transactions/GetTransactionStatus?orderTrackingId=${id}`);
  expect(await status()).toMatchObject({ payment_status_description: 'INVALID', status_code: 0, amount: 100 });
  const next = app.next();
  await clock.advance(500);
  expect(jsonOf((await next).body)).toEqual({
    OrderNotificationType: 'IPNCHANGE',
    OrderTrackingId: id,
    OrderMerchantReference: 'INV-1001',
  });
  expect(await status()).toMatchObject({ payment_status_description: 'Completed', status_code: 1, currency: 'KES' });
});

it('errors have status 200: unregistered notification URL, missing field, unknown order', async () => {
  const { post, get } = await start();
  const failed = (code: string) => ({ error: { code }, status: '500' });
  expect(await post(SUBMIT, orderFor('none'))).toMatchObject(failed('invalid_notification_id'));
  expect(await post(SUBMIT, { ...orderFor('none'), currency: '' })).toMatchObject(failed('invalid_request'));
  expect(await post('/api/URLSetup/RegisterIPN', { url: 'shop' })).toMatchObject(failed('invalid_url'));
  const unknown = await get('/api/Transactions/GetTransactionStatus?orderTrackingId=none');
  expect(unknown).toMatchObject(failed('payment_details_not_found'));
});

import { expect, it } from 'vitest';
import { jpay } from '../../src/providers/jpay.ts';
import { callApi, emulate, jsonOf, startCallbackServer, tokenOf } from './support.ts';

const CHECKOUTS = '/payments/collections/checkouts';
const checkout = jpay.samples.call.json!;

it.each([
  [CHECKOUTS, 'checkout_id', checkout],
  ['/payments/payouts', 'payout_id', { amount: '50.00', ref_no: 'P-1' }],
])('%s creates a transaction that can be read and listed and completes later', async (path, idField, body) => {
  const { emulator, clock } = await emulate(jpay);
  const token = await tokenOf(emulator);
  const { status, json } = await callApi(emulator, token, `${path}/initiate`, body);
  expect([status, json['status']]).toEqual([200, 'PENDING']);
  const id = String(json[idField]);
  await clock.advance(500);
  const got = await callApi(emulator, token, `${path}/${id}`);
  expect(got.json).toMatchObject({ ...body, [idField]: id, status: 'COMPLETED' });
  const list = await callApi(emulator, token, path);
  expect(list.json).toMatchObject({ count: 1, results: [got.json] });
});

it('an unknown id returns 404', async () => {
  const { emulator } = await emulate(jpay);
  const reply = await callApi(emulator, await tokenOf(emulator), `${CHECKOUTS}/unknown`);
  expect(reply).toMatchObject({ status: 404, json: { detail: 'Not found.' } });
});

it('the error names every missing or malformed field', async () => {
  const { emulator } = await emulate(jpay);
  const body = { ...checkout, payfrom: '0700', amount: '-1', ref_no: '' };
  const { status, json } = await callApi(emulator, await tokenOf(emulator), `${CHECKOUTS}/initiate`, body);
  expect([status, Object.keys(json).sort()]).toEqual([400, ['amount', 'payfrom', 'ref_no']]);
});

it('the completed checkout is sent to the callback URL', async () => {
  const { emulator, clock } = await emulate(jpay);
  const app = await startCallbackServer();
  await callApi(emulator, await tokenOf(emulator), `${CHECKOUTS}/initiate`, { ...checkout, callback_url: app.url });
  const next = app.next();
  await clock.advance(500);
  expect(jsonOf((await next).body)).toMatchObject({ status: 'COMPLETED', ref_no: 'INV-1001' });
});

import { expect, it } from 'vitest';
import { jeel } from '../../src/providers/jeel.ts';
import { callApi, emulate, tokenOf } from './support.ts';

it.each([
  ['/v3/checkout', '/v3/checkout'],
  ['/v3/checkout/schooling', '/v3/checkout'],
  ['/v1/refund', '/v1/refund'],
])('POST %s creates an object that can be read, and each response has a tx_id', async (path, below) => {
  const { emulator } = await emulate(jeel);
  const token = await tokenOf(emulator);
  const made = await callApi(emulator, token, path, { amount: 10 });
  expect(made.status).toBe(200);
  const got = await callApi(emulator, token, `${below}/${String(made.json['id'])}`);
  expect(got.json).toEqual(made.json);
  const ids = [made, got].map(({ headers }) => headers.get('tx_id'));
  expect(ids).toEqual([expect.stringMatching(/^[\da-f-]{36}$/), expect.stringMatching(/^[\da-f-]{36}$/)]);
  expect(ids[0]).not.toBe(ids[1]);
});

it('the same Idempotency-Key returns the same response and creates nothing', async () => {
  const { emulator } = await emulate(jeel);
  const token = await tokenOf(emulator);
  const refund = (key: string) => callApi(emulator, token, '/v1/refund', { amount: 1 }, { 'idempotency-key': key });
  const [first, again, other] = [await refund('a'), await refund('a'), await refund('b')];
  expect(again.json).toEqual(first.json);
  expect(other.json['id']).not.toBe(first.json['id']);
  expect((await callApi(emulator, token, '/v1/refund')).json).toMatchObject({ total: 2 });
});

it('an unknown id and a missing amount return errors in the format of Jeel', async () => {
  const { emulator } = await emulate(jeel);
  const token = await tokenOf(emulator);
  expect(await callApi(emulator, token, '/v3/checkout/none')).toMatchObject({
    status: 404,
    json: { errors: [{ id: 'not_found' }] },
  });
  expect(await callApi(emulator, token, '/v3/checkout', {})).toMatchObject({
    status: 400,
    json: { errors: [{ description: 'amount is required' }] },
  });
});

import { sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EMULATED_PRIVATE_KEY } from '../../src/emulators/emulated-keys.ts';
import { jenga } from '../../src/providers/jenga.ts';
import { JENGA_CALLS, REMITTANCE, TRANSACTIONS, TRANSFER } from '../support/jenga-calls.ts';
import { emulate, send, tokenOf } from './support.ts';

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
  it.each(JENGA_CALLS)('%s: is that of the documented fields', async (path, body, text) => {
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

it('a transfer under a path that Jenga does not have gets 404', async () => {
  const call = await caller();
  expect((await call(`${REMITTANCE}/RTGS`, TRANSFER, undefined)).status).toBe(404);
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

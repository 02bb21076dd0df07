import { constants, createCipheriv, createPublicKey, publicEncrypt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { airtel } from '../../src/providers/airtel.ts';
import { emulate, send, tokenOf } from './support.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const IV = KEY.subarray(0, 16);

function encrypted(text: string, padding = constants.RSA_PKCS1_PADDING): string {
  return publicEncrypt({ key: EMULATED_PUBLIC_KEY, padding }, Buffer.from(text)).toString('base64');
}

/** The headers of message signing. */
function signed(body: string, key = KEY, iv = IV): Record<string, string> {
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  return {
    'x-signature': cipher.update(body, 'utf8', 'base64') + cipher.final('base64'),
    'x-key': encrypted(`${key.toString('base64')}:${iv.toString('base64')}`),
  };
}

async function caller() {
  const { emulator } = await emulate(airtel);
  const token = await tokenOf(emulator);
  return (path: string, body: string | undefined, headers: Record<string, string> = {}) =>
    send(emulator.apiUrl + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(body !== undefined && { body }),
    });
}

function payout(pin: string | undefined): string {
  return JSON.stringify({
    payee: { msisdn: '730000001' },
    reference: 'INV-1001',
    pin,
    transaction: { amount: 1000, id: 'order-1001', type: 'B2C' },
  });
}

describe('a PIN', () => {
  it.each([
    '/standard/v1/disbursements/',
    '/standard/v2/disbursements/',
    '/standard/v3/disbursements',
    '/standard/v1/cashin/',
    '/standard/v2/cashin/',
  ])('of %s is encrypted with PKCS #1 v1.5', async (path) => {
    const call = await caller();
    expect(await call(path, payout(encrypted('emulated-airtel-pin')))).toMatchObject({
      status: 200,
      json: { data: { transaction: { id: 'order-1001', status: 'TS' } }, status: { success: true } },
    });
  });

  it.each([
    ['missing', undefined, 'Missing header/body params'],
    ['not encrypted', 'emulated-airtel-pin', 'Incorrect Encrypted Pin'],
    [
      'encrypted with OAEP',
      encrypted('emulated-airtel-pin', constants.RSA_PKCS1_OAEP_PADDING),
      'Incorrect Encrypted Pin',
    ],
    ['another', encrypted('1234'), 'Incorrect Pin'],
  ])('that is %s is refused with status 200', async (_, pin, message) => {
    const call = await caller();
    const { status, json, headers } = await call('/standard/v2/disbursements/', payout(pin));
    expect(status).toBe(200);
    expect(json).toEqual({ status: { code: '400', message, response_code: 'DP00900001013', success: false } });
    expect(headers.get('x-emulated-reason')).toMatch(/pin/);
  });
});

describe('message signing', () => {
  const body = '{"reference":"INV-1001"}';

  it('of the vector is the known one', () => {
    expect(signed(body)['x-signature']).toBe('iQXwzodr7nCro211gimShcucut6w3t4ei3hmMbPG+H8=');
  });

  it.each(['/merchant/v1/payments/', '/merchant/v2/payments/', '/standard/v2/payments/refund'])(
    'is accepted by %s, and so is its absence',
    async (path) => {
      const call = await caller();
      const accepted = {
        status: 200,
        json: { data: { transaction: { status: 'SUCCESS' } }, status: { success: true } },
      };
      expect(await call(path, body, signed(body))).toMatchObject(accepted);
      expect(await call(path, body)).toMatchObject(accepted);
    },
  );

  it.each([
    ['another body', signed(`${body} `)],
    ['only x-signature', { 'x-signature': signed(body)['x-signature'] ?? '' }],
    ['only x-key', { 'x-key': signed(body)['x-key'] ?? '' }],
    ['an x-key that is not encrypted', { ...signed(body), 'x-key': 'AAAA' }],
    ['a short AES key', { ...signed(body), 'x-key': encrypted('AAAA:AAAA') }],
  ])('with %s is refused', async (_, headers: Record<string, string>) => {
    const call = await caller();
    const refusal = (code: string) => ({
      status: 403,
      json: { status: { message: 'Forbidden', response_code: code } },
    });
    expect(await call('/merchant/v2/payments/', body, headers)).toMatchObject(refusal('DP00800001026'));
    expect(await call('/standard/v2/disbursements/', body, headers)).toMatchObject(refusal('DP00900001016'));
  });
});

it('the encryption key is the emulated one, as base64 of DER', async () => {
  const call = await caller();
  const { json } = await call('/v1/rsa/encryption-keys', undefined);
  const { key } = json['data'] as { key: string };
  const read = createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' });
  expect(read.export({ type: 'spki', format: 'pem' })).toBe(EMULATED_PUBLIC_KEY);
});

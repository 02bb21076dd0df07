import { createCipheriv, createPublicKey } from 'node:crypto';
import { Hono } from 'hono';
import { type JsonObject, valueAt } from '../json.ts';
import { decryptedPkcs1, EMULATED_PUBLIC_KEY } from './emulated-keys.ts';
import {
  type ApiContext,
  echo,
  type EmulatorContext,
  type EmulatorEnv,
  fieldText,
  jsonBody,
  type ProviderEmulator,
  randomDigits,
  sendRefusal,
} from './provider-emulator.ts';

/** Airtel Money: checks encrypted PINs, and message signing where it is used. */
export const airtel: ProviderEmulator = {
  summary:
    'has payments, refunds, disbursements, cash-in and the encryption key, all of which succeed at once. It checks the ' +
    'encrypted PIN of disbursements and cash-in, and `x-signature` and `x-key` if a call has them. Other calls are ' +
    'returned: method, path, query and body.',
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    app.get('/v1/rsa/encryption-keys', (c) => c.json(encryptionKey()));
    const post = (path: string, handler: (c: EmulatorContext) => Promise<Response>) =>
      app.on('POST', [path, `${path}/`], handler);
    post('/merchant/:version{v[12]}/payments', (c) => collect(c));
    post('/standard/:version{v[12]}/payments/refund', (c) => collect(c));
    post('/standard/:version{v[123]}/disbursements', (c) => payOut(c, context));
    post('/standard/:version{v[12]}/cashin', (c) => payOut(c, context));
    app.all('*', echo);
    return app;
  },
};

/** Payments of customers, and refunds. */
async function collect(c: EmulatorContext): Promise<Response> {
  const reason = await signatureError(c);
  if (reason !== undefined) return sendRefusal(c, forbidden('DP00800001026'), reason);
  const id = transactionId(await jsonBody(c));
  return c.json({ data: { transaction: { id, status: 'SUCCESS' } }, status: success('DP00800001006', 'SUCCESS') });
}

/** Payments to customers. They carry the encrypted PIN of the wallet. */
async function payOut(c: EmulatorContext, { random, credentials }: ApiContext): Promise<Response> {
  const reason = await signatureError(c);
  if (reason !== undefined) return sendRefusal(c, forbidden('DP00900001016'), reason);
  const body = await jsonBody(c);
  const pin = valueAt(body, 'pin');
  if (typeof pin !== 'string' || pin === '') {
    return sendRefusal(c, refused('Missing header/body params'), 'no pin; pin on the route makes Wakala add it');
  }
  const decrypted = decryptedPkcs1(pin);
  if (decrypted === undefined) {
    return sendRefusal(c, refused('Incorrect Encrypted Pin'), 'pin is not encrypted with the emulated key and PKCS #1');
  }
  if (decrypted.toString() !== credentials.get('pin')?.reveal()) {
    return sendRefusal(c, refused('Incorrect Pin'), 'pin is not the emulated one');
  }
  const id = transactionId(body);
  const airtelId = `disbursement-${randomDigits(random, 10)}-${id}`;
  return c.json({
    data: { transaction: { reference_id: randomDigits(random, 12), airtel_money_id: airtelId, id, status: 'TS' } },
    status: success('DP00900001001', 'Success'),
  });
}

function transactionId(body: unknown): string {
  const transaction = valueAt(body, 'transaction');
  return typeof transaction === 'object' && transaction !== null ? fieldText(transaction as JsonObject, 'id') : '';
}

/**
 * Why `x-signature` and `x-key` are wrong. Undefined if they are right, and if both are missing: message signing is a
 * setting of the app in the portal.
 */
async function signatureError(c: EmulatorContext): Promise<string | undefined> {
  const signature = c.req.header('x-signature');
  const sealedKey = c.req.header('x-key');
  if (signature === undefined && sealedKey === undefined) return undefined;
  if (signature === undefined || sealedKey === undefined) return 'only one of x-signature and x-key';
  const keyAndIv = decryptedPkcs1(sealedKey)?.toString();
  if (keyAndIv === undefined) return 'x-key is not encrypted with the emulated key and PKCS #1';
  const [key = Buffer.alloc(0), iv = Buffer.alloc(0), ...more] = keyAndIv
    .split(':')
    .map((text) => Buffer.from(text, 'base64'));
  if (key.length !== 32 || iv.length !== 16 || more.length > 0) return 'x-key is not a key of 32 bytes and an IV of 16';
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const expected = Buffer.concat([cipher.update(Buffer.from(await c.req.arrayBuffer())), cipher.final()]);
  return signature === expected.toString('base64') ? undefined : 'x-signature is not the encrypted body';
}

function encryptionKey(): JsonObject {
  const key = createPublicKey(EMULATED_PUBLIC_KEY).export({ type: 'spki', format: 'der' }).toString('base64');
  const data = { key_id: 1, key, valid_upto: '31-12-2099 23:59:59' };
  return { data, status: success('DP02010001001', 'Success') };
}

function success(responseCode: string, message: string): JsonObject {
  return { code: '200', message, result_code: 'ESB000010', response_code: responseCode, success: true };
}

/** Airtel's refusal of a PIN has status 200. */
function refused(message: string) {
  const status = { code: '400', message, response_code: 'DP00900001013', success: false };
  return { status: 200, body: { status } };
}

/** `x-signature` and body do not match. */
function forbidden(responseCode: string) {
  const status = { code: '403', message: 'Forbidden', response_code: responseCode, success: false };
  return { status: 403, body: { status } };
}

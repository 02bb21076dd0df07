import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CallbackReport } from '../../src/emulators/callbacks.ts';
import { EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import type { JsonObject } from '../../src/json.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { SANDBOX_CERTIFICATE } from '../../src/providers/mpesa-certificates.ts';
import { sampleBody } from '../../src/providers/provider.ts';
import { callApi, emulate, jsonOf, startCallbackServer, tokenOf } from './support.ts';

const push = sampleBody({ samples: mpesa.samples })!;
const PUSH = '/mpesa/stkpush/v1/processrequest';
const QUERY = '/mpesa/stkpushquery/v1/query';
const DELAY_MS = 500;
const PASSWORD = 'emulated-mpesa-initiator-password';

async function setUp() {
  const reports: CallbackReport[] = [];
  const { emulator, clock } = await emulate(mpesa, { onCallback: (report) => reports.push(report) });
  const token = await tokenOf(emulator);
  return { clock, reports, post: (path: string, json: JsonObject) => callApi(emulator, token, path, json) };
}

function login(): JsonObject {
  const { BusinessShortCode = '', Password = '', Timestamp = '' } = push;
  return { BusinessShortCode, Password, Timestamp };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function keyOf(certificate: string): string {
  return new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'pem' }).toString();
}

/** `SecurityCredential` as the openssl command makes it. */
function encrypted(password: string, publicKey = EMULATED_PUBLIC_KEY, padding = 'pkcs1'): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-mpesa-'));
  const file = join(folder, 'public.pem');
  writeFileSync(file, publicKey);
  const args = ['pkeyutl', '-encrypt', '-pubin', '-inkey', file, '-pkeyopt', `rsa_padding_mode:${padding}`];
  const value = execFileSync('openssl', args, { input: password }).toString('base64');
  rmSync(folder, { recursive: true });
  return value;
}

const order = {
  Initiator: 'testapi',
  InitiatorName: 'testapi',
  SecurityCredential: encrypted(PASSWORD),
  CommandID: 'BusinessPayment',
  Amount: 10,
  PartyA: '600000',
  PartyB: '254700000001',
  ReceiverParty: '600000',
  IdentifierType: '4',
  TransactionID: 'ABCDE12345',
  OriginatorConversationID: 'own-id-1',
  AccountReference: 'PRN-1',
  Remarks: 'test',
  QueueTimeOutURL: 'http://127.0.0.1:1/timeout',
};
const orderPaths = [
  '/mpesa/b2c/v1/paymentrequest',
  '/mpesa/b2c/v3/paymentrequest',
  '/mpesa/b2pochi/v1/paymentrequest',
  '/mpesa/b2b/v1/paymentrequest',
  '/mpesa/b2b/v1/remittax',
  '/mpesa/accountbalance/v1/query',
  '/mpesa/transactionstatus/v1/query',
  '/mpesa/reversal/v1/request',
];

describe('STK push', () => {
  it('can be queried: it is being processed at first and has a string result code later', async () => {
    const { clock, post } = await setUp();
    const { json } = await post(PUSH, push);
    expect(json).toMatchObject({
      ResponseCode: '0',
      CheckoutRequestID: expect.stringMatching(/^ws_CO_\d+$/) as string,
    });
    const query = { ...login(), CheckoutRequestID: json['CheckoutRequestID']! };
    await clock.advance(DELAY_MS - 1);
    expect(await post(QUERY, query)).toMatchObject({ status: 500, json: { errorCode: '500.001.1001' } });
    await clock.advance(1);
    expect(await post(QUERY, query)).toMatchObject({
      status: 200,
      json: { ResultCode: '0', CheckoutRequestID: json['CheckoutRequestID'] },
    });
  });

  it('query for an unknown push returns 500.001.1001', async () => {
    const { post } = await setUp();
    const reply = await post(QUERY, { ...login(), CheckoutRequestID: 'ws_CO_0' });
    expect(reply).toMatchObject({ status: 500, json: { errorCode: '500.001.1001' } });
  });

  it.each([
    ['Amount', '0'],
    ['Amount', ''],
    ['PhoneNumber', '0700000001'],
    ['CallBackURL', 'ftp://x'],
    ['Timestamp', '2026'],
    ['AccountReference', null],
  ])('with %s %j returns an error that names the field', async (field, value) => {
    const { post } = await setUp();
    const { status, json } = await post(PUSH, { ...push, [field]: value });
    expect(status).toBe(400);
    expect(json).toMatchObject({ errorCode: '400.002.02', errorMessage: `Bad Request - Invalid ${field}` });
  });

  it.each([
    ['another passkey', base64('174379made-up-passkey20260101120000')],
    ['another short code', base64('174378emulated-mpesa-passkey20260101120000')],
    ['another time', base64('174379emulated-mpesa-passkey20260101120001')],
    ['no passkey', base64('17437920260101120000')],
    ['a line break after it', `${String(push['Password'])}\n`],
    ['text that is not base64', '174379emulated-mpesa-passkey20260101120000'],
  ])('with a password of %s gets 500.001.1001', async (_, Password) => {
    const { post } = await setUp();
    for (const [path, body] of [
      [PUSH, { ...push, Password }],
      [QUERY, { ...login(), CheckoutRequestID: 'ws_CO_0', Password }],
    ] as const) {
      const { status, json, headers } = await post(path, body);
      expect([status, json['errorCode'], json['errorMessage']]).toEqual([500, '500.001.1001', 'Wrong credentials']);
      expect(headers.get('x-emulated-reason')).toContain('the emulated passkey');
    }
  });

  it('sends a callback with a numeric result code', async () => {
    const { clock, post } = await setUp();
    const app = await startCallbackServer();
    const { json } = await post(PUSH, { ...push, CallBackURL: `${app.url}/stk` });
    const next = app.next();
    await clock.advance(DELAY_MS);
    const { url, body } = await next;
    expect(url).toBe('/stk');
    expect(jsonOf(body)).toMatchObject({
      Body: { stkCallback: { ResultCode: 0, CheckoutRequestID: json['CheckoutRequestID'] } },
    });
  });
});

describe('C2B', () => {
  it.each(['v1', 'v2'])('%s sends a simulated payment to the registered URL', async (version) => {
    const { clock, post } = await setUp();
    const app = await startCallbackServer();
    const urls = { ConfirmationURL: `${app.url}/confirm`, ValidationURL: `${app.url}/validate` };
    const registered = await post(`/mpesa/c2b/${version}/registerurl`, {
      ShortCode: '600000',
      ResponseType: 'Completed',
      ...urls,
    });
    expect(registered.json).toMatchObject({ OriginatorCoversationID: expect.any(String) as string, ResponseCode: '0' });
    const paid = await post(`/mpesa/c2b/${version}/simulate`, {
      ShortCode: 600000,
      CommandID: 'CustomerPayBillOnline',
      Amount: 5,
      Msisdn: '254700000001',
      BillRefNumber: 'INV-1',
    });
    expect(paid.json).toHaveProperty('OriginatorCoversationID');
    const next = app.next();
    await clock.advance(DELAY_MS);
    expect(jsonOf((await next).body)).toMatchObject({ TransAmount: '5.00', BillRefNumber: 'INV-1' });
  });
});

describe.each(orderPaths)('%s', (path) => {
  it('is accepted, and its result is sent to the ResultURL', async () => {
    const { clock, post } = await setUp();
    const app = await startCallbackServer();
    const { json, headers } = await post(path, { ...order, ResultURL: app.url });
    expect(headers.has('x-emulated-reason')).toBe(false);
    expect(json).toMatchObject({ OriginatorConversationID: 'own-id-1', ResponseCode: '0' });
    const next = app.next();
    await clock.advance(DELAY_MS);
    expect(jsonOf((await next).body)).toMatchObject({
      Result: { ResultCode: 0, ConversationID: json['ConversationID'], OriginatorConversationID: 'own-id-1' },
    });
  });

  it.each([
    ['initiator', { Initiator: 'other', InitiatorName: 'other' }],
    ['password', { SecurityCredential: encrypted('other') }],
    ['padding', { SecurityCredential: encrypted(PASSWORD, EMULATED_PUBLIC_KEY, 'oaep') }],
    ['certificate', { SecurityCredential: encrypted(PASSWORD, keyOf(SANDBOX_CERTIFICATE)) }],
    ['encoding', { SecurityCredential: PASSWORD }],
  ])('accepts a wrong %s, and its result has the code 2001', async (_, wrong) => {
    const { clock, post } = await setUp();
    const app = await startCallbackServer();
    const { status, json, headers } = await post(path, { ...order, ...wrong, ResultURL: app.url });
    expect([status, json['ResponseCode']]).toEqual([200, '0']);
    expect(headers.get('x-emulated-reason')).toMatch(/^(?:Initiator|InitiatorName|SecurityCredential) is not /);
    const next = app.next();
    await clock.advance(DELAY_MS);
    expect(jsonOf((await next).body)).toMatchObject({
      Result: { ResultCode: 2001, ConversationID: json['ConversationID'], OriginatorConversationID: 'own-id-1' },
    });
  });

  it('requires a SecurityCredential', async () => {
    const { post } = await setUp();
    const { json } = await post(path, { ...order, SecurityCredential: null });
    expect(json).toMatchObject({ errorMessage: 'Bad Request - Invalid SecurityCredential' });
  });

  it('requires a ResultURL', async () => {
    const { post } = await setUp();
    expect((await post(path, order)).json).toMatchObject({ errorMessage: 'Bad Request - Invalid ResultURL' });
  });
});

it('a command checks only the name of the initiator that it uses', async () => {
  const { post } = await setUp();
  const body = { ...order, InitiatorName: 'other', ResultURL: 'http://127.0.0.1:1/' };
  const reversed = await post('/mpesa/reversal/v1/request', body);
  expect(reversed.headers.has('x-emulated-reason')).toBe(false);
  const paid = await post('/mpesa/b2c/v1/paymentrequest', body);
  expect(paid.headers.get('x-emulated-reason')).toBe('InitiatorName is not the emulated initiator');
});

it('B2C v3 requires an OriginatorConversationID, v1 does not', async () => {
  const { post } = await setUp();
  const without = { ...order, OriginatorConversationID: null, ResultURL: 'http://127.0.0.1:1/' };
  expect((await post('/mpesa/b2c/v1/paymentrequest', without)).status).toBe(200);
  expect((await post('/mpesa/b2c/v3/paymentrequest', without)).status).toBe(400);
});

import { describe, expect, it } from 'vitest';
import type { CallbackReport } from '../../src/emulators/callbacks.ts';
import type { JsonObject } from '../../src/json.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { callApi, emulate, jsonOf, startCallbackServer, tokenOf } from './support.ts';

const push = mpesa.samples.call.json!;
const PUSH = '/mpesa/stkpush/v1/processrequest';
const QUERY = '/mpesa/stkpushquery/v1/query';
const DELAY_MS = 500;

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

const order = {
  Initiator: 'api',
  InitiatorName: 'api',
  SecurityCredential: 'emulated',
  CommandID: 'BusinessPayment',
  Amount: 10,
  PartyA: '600000',
  PartyB: '254700000001',
  ReceiverParty: '600000',
  IdentifierType: '4',
  TransactionID: 'ABCDE12345',
  OriginatorConversationID: 'own-id-1',
  Remarks: 'test',
  QueueTimeOutURL: 'http://127.0.0.1:1/timeout',
};
const orderPaths = [
  '/mpesa/b2c/v1/paymentrequest',
  '/mpesa/b2c/v3/paymentrequest',
  '/mpesa/b2b/v1/paymentrequest',
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

  it('with a password for another short code and timestamp is refused', async () => {
    const { post } = await setUp();
    const reply = await post(PUSH, { ...push, Password: Buffer.from('other').toString('base64') });
    expect(reply).toMatchObject({ status: 500, json: { errorMessage: 'Wrong credentials' } });
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
    const { json } = await post(path, { ...order, ResultURL: app.url });
    expect(json).toMatchObject({ OriginatorConversationID: 'own-id-1', ResponseCode: '0' });
    const next = app.next();
    await clock.advance(DELAY_MS);
    expect(jsonOf((await next).body)).toMatchObject({
      Result: { ResultCode: 0, ConversationID: json['ConversationID'], OriginatorConversationID: 'own-id-1' },
    });
  });

  it('requires a ResultURL', async () => {
    const { post } = await setUp();
    expect((await post(path, order)).json).toMatchObject({ errorMessage: 'Bad Request - Invalid ResultURL' });
  });
});

it('B2C v3 requires an OriginatorConversationID, v1 does not', async () => {
  const { post } = await setUp();
  const without = { ...order, OriginatorConversationID: null, ResultURL: 'http://127.0.0.1:1/' };
  expect((await post('/mpesa/b2c/v1/paymentrequest', without)).status).toBe(200);
  expect((await post('/mpesa/b2c/v3/paymentrequest', without)).status).toBe(400);
});

import { describe, expect, it } from 'vitest';
import { vodacomMpesa } from '../../src/providers/vodacom-mpesa.ts';
import { emulate, encryptedPkcs1, sampleCall, send, tokenOf } from './support.ts';

const SESSION = '/ipg/v2/vodacomTZN/getSession/';
const payment = vodacomMpesa.samples.call.json!;
const reversal = {
  input_TransactionID: '1',
  input_Country: 'TZN',
  input_ServiceProviderCode: '000000',
  input_ThirdPartyConversationID: 'r1',
};

async function start() {
  const { emulator } = await emulate(vodacomMpesa);
  const authorization = `Bearer ${encryptedPkcs1(await tokenOf(emulator))}`;
  const call = (method: string, path: string, json?: object) =>
    send(emulator.apiUrl + path, {
      method,
      headers: { authorization, origin: '*' },
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
  return { emulator, call };
}

describe('the emulator of Vodacom M-Pesa', () => {
  it.each([
    ['another API key', `Bearer ${encryptedPkcs1('other')}`],
    ['the API key itself', 'Bearer emulated-vodacom-mpesa-api-key'],
  ])('refuses a session for %s', async (_, authorization) => {
    const { emulator } = await emulate(vodacomMpesa);
    const response = await send(emulator.apiUrl + SESSION, { headers: { authorization, origin: '*' } });
    expect([response.status, response.json]).toEqual([
      400,
      { output_ResponseCode: 'INS-989', output_ResponseDesc: 'Session Creation Failed' },
    ]);
  });

  it('refuses a session that is not encrypted, and one that it does not know', async () => {
    const { emulator } = await start();
    for (const value of [await tokenOf(emulator), encryptedPkcs1('other')]) {
      const headers = { authorization: `Bearer ${value}` };
      const response = await send(emulator.apiUrl + vodacomMpesa.samples.call.path, { method: 'POST', headers });
      expect([response.status, response.json['output_ResponseCode']]).toEqual([401, 'INS-2']);
    }
    expect((await sampleCall(emulator, await tokenOf(emulator))).status).toBe(201);
  });

  it.each([
    ['POST', '/c2bPayment/singleStage/', payment, 201],
    ['POST', '/c2bPayment/singleStage', payment, 201],
    ['POST', '/b2cPayment/', { ...payment, input_PaymentItemsDesc: 'Salary' }, 201],
    ['POST', '/b2bPayment/', { ...payment, input_PrimaryPartyCode: '1', input_ReceiverPartyCode: '2' }, 201],
    ['PUT', '/reversal/', reversal, 201],
  ])('accepts %s %s', async (method, path, json, status) => {
    const { call } = await start();
    const response = await call(method, `/ipg/v2/vodacomTZN${path}`, json);
    expect([response.status, response.json['output_ResponseCode']]).toEqual([status, 'INS-0']);
    expect(response.json).toHaveProperty('output_ThirdPartyConversationID', json['input_ThirdPartyConversationID']);
  });

  it('knows the status of a transaction', async () => {
    const { call } = await start();
    const query = new URLSearchParams({ ...reversal, input_QueryReference: '1' });
    const response = await call('GET', `/ipg/v2/vodacomTZN/queryTransactionStatus/?${query.toString()}`);
    expect(response.json).toMatchObject({ output_ResponseTransactionStatus: 'Completed' });
  });

  it.each([
    ['without the amount', 'vodacomTZN', { ...payment, input_Amount: '' }, 'INS-20'],
    ['of another market', 'vodacomLES', payment, 'INS-998'],
  ])('refuses a payment %s', async (_, market, json, code) => {
    const { call } = await start();
    const response = await call('POST', `/ipg/v2/${market}/c2bPayment/singleStage/`, json);
    expect([response.status, response.json['output_ResponseCode']]).toEqual([400, code]);
  });
});

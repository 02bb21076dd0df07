import { describe, expect, it } from 'vitest';
import { mpesaNode } from './sdks.ts';
import { asClient, MADE_UP, SHOP, SHOP_LOGIN, startBothWays } from './support.ts';

const CALLBACK = 'https://shop.example/mpesa';
const ACCEPTED = { data: { ResponseCode: '0' } };
const SIMULATION = { ShortCode: '600000', CommandID: 'CustomerPayBillOnline', Amount: 1, Msisdn: '254700000001' };

describe('mpesa-node', () => {
  it('pays and asks for the status with credentials that Safaricom does not know', async () => {
    const { clock, direct, emulator, baseUrl } = await startBothWays('mpesa');
    const mpesa = mpesaNode(baseUrl, MADE_UP);
    const { data: pushed } = await mpesa.lipaNaMpesaOnline('254700000001', 100, CALLBACK, 'INV-1');
    expect(pushed['CheckoutRequestID']).toMatch(/^ws_CO_/);
    clock.shiftMs += 1000;
    const paid = await mpesa.lipaNaMpesaQuery(String(pushed['CheckoutRequestID']));
    expect(paid.data).toMatchObject({ ResultCode: '0', CheckoutRequestID: pushed['CheckoutRequestID'] });
    expect(await mpesa.c2bRegister(CALLBACK, CALLBACK)).toMatchObject(ACCEPTED);
    expect(await mpesa.c2bSimulate('254700000001', 100, 'INV-1')).toMatchObject(ACCEPTED);
    expect(await mpesa.b2c('600000', '254700000001', 100, CALLBACK, CALLBACK)).toMatchObject(ACCEPTED);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, denied: 0, api_calls: 5, refused: 0 });

    await expect(mpesaNode(direct.apiUrl, MADE_UP).c2bRegister(CALLBACK, CALLBACK)).rejects.toMatchObject({
      response: { status: 400, data: { errorCode: '400.008.01' } },
    });
  });

  it('calls on when the token dies after its login; directly that call fails', async () => {
    const { direct, right, emulator, baseUrl } = await startBothWays('mpesa');
    const through = await mpesaNode(baseUrl, MADE_UP).request();
    await through.post('/mpesa/c2b/v1/simulate', SIMULATION);
    emulator.control({ expire_tokens: true });
    expect(await through.post('/mpesa/c2b/v1/simulate', SIMULATION)).toMatchObject(ACCEPTED);
    expect(emulator.stats()).toMatchObject({ exchanges: 2, denied: 0, api_calls: 3, refused: 1 });

    const alone = await mpesaNode(direct.apiUrl, right).request();
    direct.control({ expire_tokens: true });
    await expect(alone.post('/mpesa/c2b/v1/simulate', SIMULATION)).rejects.toMatchObject({
      response: { status: 400, data: { errorCode: '400.003.01' } },
    });
  });

  it('is not in the way of another process; directly the login of one kills the token of the other', async () => {
    const { direct, right, emulator, baseUrl } = await startBothWays('mpesa');
    const calledAfterTheOthersLogin = async (url: string, login: typeof right) => {
      const one = await mpesaNode(url, login).request();
      await mpesaNode(url, login).request();
      return one.post('/mpesa/c2b/v1/simulate', SIMULATION);
    };
    expect(await calledAfterTheOthersLogin(baseUrl, MADE_UP)).toMatchObject(ACCEPTED);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, refused: 0 });
    await expect(calledAfterTheOthersLogin(direct.apiUrl, right)).rejects.toMatchObject({
      response: { status: 400, data: { errorCode: '400.003.01' } },
    });
  });
});

describe('mpesa-node at a gateway with clients', () => {
  const clients = [SHOP];

  it('logs in with the name and the key, and its placeholder is good for the call', async () => {
    const { emulator, baseUrl } = await startBothWays('mpesa', { clients });
    const mpesa = mpesaNode(baseUrl, SHOP_LOGIN);
    expect(await mpesa.lipaNaMpesaOnline('254700000001', 100, CALLBACK, 'INV-1')).toMatchObject(ACCEPTED);
    expect(await mpesa.c2bRegister(CALLBACK, CALLBACK)).toMatchObject(ACCEPTED);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 2 });
  });

  it('is authenticated by the name and the key in the base URL', async () => {
    const { emulator, baseUrl } = await startBothWays('mpesa', { clients });
    const mpesa = mpesaNode(asClient(baseUrl, SHOP), MADE_UP);
    expect(await mpesa.c2bRegister(CALLBACK, CALLBACK)).toMatchObject(ACCEPTED);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 1 });
  });

  it('is refused with any other', async () => {
    const { emulator, baseUrl } = await startBothWays('mpesa', { clients });
    await expect(mpesaNode(baseUrl, MADE_UP).c2bRegister(CALLBACK, CALLBACK)).rejects.toMatchObject({
      response: { status: 401, data: { code: 'client_unauthorized' } },
    });
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });
});

import type { K2 } from 'k2-connect-node';
import { describe, expect, it } from 'vitest';
import { k2ConnectNode } from './sdks.ts';
import { asClient, MADE_UP, SHOP, SHOP_LOGIN, startBothWays } from './support.ts';

const PAYMENT = {
  paymentChannel: 'M-PESA STK Push',
  tillNumber: 'K000000',
  firstName: 'Ada',
  lastName: 'Otieno',
  phoneNumber: '+254700000001',
  currency: 'KES',
  amount: 100,
  callbackUrl: 'https://shop.example/kopokopo',
};

describe('k2-connect-node', () => {
  it('pays and asks for the status with credentials that Kopo Kopo does not know', async () => {
    const { clock, direct, emulator, baseUrl } = await startBothWays('kopokopo');
    const k2 = k2ConnectNode(baseUrl, MADE_UP);
    const accessToken = await login(k2);
    const location = await k2.StkService.initiateIncomingPayment({ ...PAYMENT, accessToken });
    expect(location).toMatch(`${baseUrl}/api/v1/incoming_payments/`);
    clock.shiftMs += 1000;
    const paid = await k2.StkService.getStatus({ location, accessToken });
    expect(paid.data.attributes).toMatchObject({ status: 'Success', event: { resource: { amount: '100' } } });
    const subscription = { eventType: 'buygoods_transaction_received', scope: 'till', scopeReference: '000000' };
    const subscribed = await k2.Webhooks.subscribe({ ...subscription, url: PAYMENT.callbackUrl, accessToken });
    const shown = await k2.Webhooks.getStatus({ location: subscribed, accessToken });
    expect(shown.data.attributes).toMatchObject({ event_type: 'buygoods_transaction_received' });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, denied: 0, api_calls: 4, refused: 0 });

    await expect(k2ConnectNode(direct.apiUrl, MADE_UP).TokenService.getToken()).rejects.toBe('Unauthorized');
  });

  it("asks the provider itself if the route does not rewrite the provider's Location", async () => {
    const { emulator, baseUrl } = await startBothWays('kopokopo', { route: { rewrite_location: false } });
    const k2 = k2ConnectNode(baseUrl, MADE_UP);
    const accessToken = await login(k2);
    const location = await k2.StkService.initiateIncomingPayment({ ...PAYMENT, accessToken });
    expect(location).toMatch(`${emulator.apiUrl}/api/v1/incoming_payments/`);
    await expect(k2.StkService.getStatus({ location, accessToken })).rejects.toBe('Unauthorized');
  });

  it('calls on when the token dies; directly that call fails', async () => {
    const { direct, right, emulator, baseUrl } = await startBothWays('kopokopo');
    const k2 = k2ConnectNode(baseUrl, MADE_UP);
    const accessToken = await login(k2);
    await k2.StkService.initiateIncomingPayment({ ...PAYMENT, accessToken });
    emulator.control({ expire_tokens: true });
    expect(await k2.StkService.initiateIncomingPayment({ ...PAYMENT, accessToken })).toMatch('/incoming_payments/');
    expect(emulator.stats()).toMatchObject({ exchanges: 2, denied: 0, api_calls: 3, refused: 1 });

    const alone = k2ConnectNode(direct.apiUrl, right);
    const payment = { ...PAYMENT, accessToken: await login(alone) };
    await alone.StkService.initiateIncomingPayment(payment);
    direct.control({ expire_tokens: true });
    await expect(alone.StkService.initiateIncomingPayment(payment)).rejects.toBe('Unauthorized');
  });

  it('needs no login: any text is an access token', async () => {
    const { emulator, baseUrl } = await startBothWays('kopokopo');
    const k2 = k2ConnectNode(baseUrl, MADE_UP);
    expect(await k2.StkService.initiateIncomingPayment({ ...PAYMENT, accessToken: 'any' })).toMatch('/incoming_');
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 1 });
  });
});

describe('k2-connect-node at a gateway with clients', () => {
  const clients = [SHOP];

  it('is refused: its login has the name and the key in a form, where no client is looked for', async () => {
    const { emulator, baseUrl } = await startBothWays('kopokopo', { clients });
    await expect(k2ConnectNode(baseUrl, SHOP_LOGIN).TokenService.getToken()).rejects.toBe('Unauthorized');
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });

  it('is authenticated by the name and the key in the base URL', async () => {
    const { emulator, baseUrl } = await startBothWays('kopokopo', { clients });
    const k2 = k2ConnectNode(asClient(baseUrl, SHOP), MADE_UP);
    const accessToken = await login(k2);
    expect(await k2.StkService.initiateIncomingPayment({ ...PAYMENT, accessToken })).toMatch('/incoming_payments/');
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 1 });
  });

  it('is authenticated by the key as its access token', async () => {
    const { emulator, baseUrl } = await startBothWays('kopokopo', { clients });
    const k2 = k2ConnectNode(baseUrl, MADE_UP);
    const payment = { ...PAYMENT, accessToken: SHOP.key };
    expect(await k2.StkService.initiateIncomingPayment(payment)).toMatch('/incoming_payments/');
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 1 });
  });
});

async function login({ TokenService }: K2): Promise<string> {
  return (await TokenService.getToken()).access_token;
}

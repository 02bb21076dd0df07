import type PaypalSdk from '@paypal/checkout-server-sdk';
import { describe, expect, it } from 'vitest';
import { routeToEmulator, startProxy } from '../support/proxy-server.ts';
import { checkoutServerSdk } from './sdks.ts';
import { asClient, type Login, MADE_UP, newProcess, SHOP, SHOP_LOGIN, startBothWays } from './support.ts';

const SDK = '@paypal/checkout-server-sdk';
const ORDER = {
  intent: 'CAPTURE',
  purchase_units: [{ reference_id: 'INV-1', amount: { currency_code: 'USD', value: '10.00' } }],
};

function ordersAt(baseUrl: string, login: Login) {
  const { client, orders } = checkoutServerSdk(baseUrl, login);
  return {
    create: () => client.execute(new orders.OrdersCreateRequest().requestBody(ORDER)),
    show: (id: string) => client.execute(new orders.OrdersGetRequest(id)),
    capture: (id: string) => client.execute(new orders.OrdersCaptureRequest(id).requestBody({})),
  };
}

describe('@paypal/checkout-server-sdk', () => {
  it('orders, captures and asks for the status with credentials that PayPal does not know', async () => {
    const { clock, direct, emulator, baseUrl } = await startBothWays('paypal');
    const orders = ordersAt(baseUrl, MADE_UP);
    const made = await orders.create();
    expect(made).toMatchObject({ statusCode: 201, result: { status: 'CREATED' } });
    const { id } = made.result;
    await expect(orders.capture(id)).rejects.toThrow('ORDER_NOT_APPROVED');
    clock.shiftMs += 1000;
    expect(await orders.capture(id)).toMatchObject({ statusCode: 201, result: { id, status: 'COMPLETED' } });
    expect(await orders.show(id)).toMatchObject({ statusCode: 200, result: { id, status: 'COMPLETED' } });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, denied: 0, api_calls: 4, refused: 0 });

    await expect(ordersAt(direct.apiUrl, MADE_UP).create()).rejects.toMatchObject({ statusCode: 401 });
  });

  it('needs no more than its base URL where the route is /*', async () => {
    const { emulator } = await startBothWays('paypal');
    const { port } = await startProxy({ routes: { '/*': routeToEmulator(emulator) } });
    expect((await ordersAt(`http://127.0.0.1:${port}`, MADE_UP).create()).statusCode).toBe(201);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, denied: 0, api_calls: 1 });
  });

  it('calls on when the token dies, as it does directly: it logs in again by itself', async () => {
    const { direct, right, emulator, baseUrl } = await startBothWays('paypal');
    const orders = ordersAt(baseUrl, MADE_UP);
    await orders.create();
    emulator.control({ expire_tokens: true });
    expect((await orders.create()).statusCode).toBe(201);
    expect(emulator.stats()).toMatchObject({ exchanges: 2, denied: 0, api_calls: 3, refused: 1 });

    const alone = ordersAt(direct.apiUrl, right);
    await alone.create();
    direct.control({ expire_tokens: true });
    expect((await alone.create()).statusCode).toBe(201);
    expect(direct.stats()).toMatchObject({ exchanges: 2, api_calls: 3, refused: 1 });
  });
});

describe('@paypal/checkout-server-sdk at a gateway with clients', () => {
  const clients = [SHOP];

  it('logs in with the name and the key, and its placeholder is good for the calls', async () => {
    const { emulator, baseUrl } = await startBothWays('paypal', { clients });
    const orders = ordersAt(baseUrl, SHOP_LOGIN);
    const { result } = await orders.create();
    expect((await orders.show(result.id)).statusCode).toBe(200);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 2 });
  });

  it('sends nothing of a name and a key in the base URL', async () => {
    const { emulator } = await startBothWays('paypal');
    const { port } = await startProxy({ clients, routes: { '/*': routeToEmulator(emulator) } });
    const { core, orders } = newProcess(SDK)(SDK) as typeof PaypalSdk;
    const url = asClient(`http://127.0.0.1:${port}`, SHOP);
    const client = new core.PayPalHttpClient(new core.PayPalEnvironment(MADE_UP.id, MADE_UP.secret, url, url));
    await expect(client.execute(new orders.OrdersGetRequest('any'))).rejects.toThrow('client_unauthorized');
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });

  it('logs in again by itself when the hour of its placeholder is over', async () => {
    const { clock, emulator, baseUrl } = await startBothWays('paypal', { clients });
    const orders = ordersAt(baseUrl, SHOP_LOGIN);
    await orders.create();
    // The clock of Wakala alone: the SDK still takes its placeholder for good.
    clock.shiftMs += 3600_000;
    expect((await orders.create()).statusCode).toBe(201);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 2 });
  });

  it('is refused with any other', async () => {
    const { emulator, baseUrl } = await startBothWays('paypal', { clients });
    await expect(ordersAt(baseUrl, MADE_UP).create()).rejects.toThrow('client_unauthorized');
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });
});

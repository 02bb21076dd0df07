import { describe, expect, it, vi } from 'vitest';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { copyExample, exampleFolder, isFree, npmRunDev, Program } from './example.ts';
import { UnreliableProvider } from './unreliable-provider.ts';

const ORDER = { phone: '254700000001', amount: 100 };
const PUSH = '/mpesa/stkpush/v1/processrequest';

/** The app without `wakala dev`, with a provider that can fail. */
async function start(env: Record<string, string> = {}) {
  const mpesa = await UnreliableProvider.start('mpesa');
  const { folder, port: portFor } = await copyExample('express', [3000]);
  const port = portFor(3000);
  const program = new Program(process.execPath, ['server.js'], {
    cwd: folder,
    env: { WAKALA_URL: mpesa.wakala, ...env },
  });
  await program.until(/http:\/\//);
  return {
    mpesa,
    pay: async () => await sendJson(port, '/orders/7/pay', ORDER),
    look: () => sendRequest(port, '/orders/7'),
    port,
  };
}

describe('examples/express', { timeout: 60_000 }, () => {
  it('has a script that starts and stops wakala dev and the app', async () => {
    const { folder, port } = await copyExample('express', [3000, 8080, 9901]);
    const dev = npmRunDev(folder);
    await dev.until(/\[app\] http:/);
    await dev.until(/\[wakala\] +Ctrl-C stops it/);
    const asked = await sendJson(port(3000), '/orders/7/pay', ORDER);
    expect([asked.status, asked.json()['state']]).toEqual([202, 'pending']);
    await dev.until(/\[wakala\] .*mpesa called back .*\/callbacks\/mpesa\//);
    const { status, json } = await sendRequest(port(3000), '/orders/7');
    expect([status, json()['state']]).toEqual([200, 'paid']);
    await dev.ctrlC();
    for (const one of [3000, 8080]) await isFree(port(one));
  });

  it('pushes once, however often the button is pressed', async () => {
    const { mpesa, pay } = await start();
    const [first, second] = [await pay(), await pay()];
    expect(second.json()['checkoutRequestId']).toBe(first.json()['checkoutRequestId']);
    expect(mpesa.calls).toEqual([PUSH]);
  });

  it('gets the result of a push with a lost response from the callback', async () => {
    const { mpesa, pay, look } = await start();
    mpesa.losesResponses = true;
    const lost = await pay();
    expect([lost.status, lost.json()['state']]).toEqual([202, 'unknown']);
    await vi.waitFor(async () => expect((await look()).json()['state']).toBe('paid'), 10_000);
    expect(mpesa.calls).toEqual([PUSH]);
  });

  it('queries M-Pesa if the callback is lost', async () => {
    const { mpesa, pay, look } = await start({ MPESA_CALLBACKS: 'https://shop.example/lost' });
    await pay();
    await vi.waitFor(async () => expect((await look()).json()['state']).toBe('paid'), 10_000);
    expect(mpesa.calls).toContain('/mpesa/stkpushquery/v1/query');
  });

  it('refuses a callback to a guessed URL', async () => {
    const { pay, look, port } = await start({ MPESA_CALLBACKS: 'https://shop.example/lost' });
    await pay();
    const made = { Body: { stkCallback: { CheckoutRequestID: 'made-up', ResultCode: 1 } } };
    expect((await sendJson(port, '/callbacks/mpesa/made-up', made)).status).toBe(404);
    expect((await look()).json()['state']).not.toBe('failed');
  });

  it('reports a push that was not sent after three attempts as failed, and accepts a new one', async () => {
    const { mpesa, pay } = await start();
    await mpesa.disconnect();
    const failed = await pay();
    expect([failed.status, failed.json()['state']]).toEqual([502, 'failed']);
    await mpesa.reconnect();
    expect((await pay()).json()['state']).toBe('pending');
  });
});

describe('stateOf', () => {
  it('treats only final results as final', async () => {
    const { stateOf } = (await import(`${exampleFolder('express')}/mpesa.js`)) as {
      stateOf: (code: unknown) => string | undefined;
    };
    expect([0, '0'].map(stateOf)).toEqual(['paid', 'paid']);
    expect([1, '1032', 1037].map(stateOf)).toEqual(['failed', 'failed', 'failed']);
    expect(['4999', undefined, 17].map(stateOf)).toEqual([undefined, undefined, undefined]);
  });
});

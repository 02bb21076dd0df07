import { describe, expect, it, vi } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { exampleFolder, Program } from './example.ts';
import { UnreliableProvider } from './unreliable-provider.ts';

const ORDER = { amount: 100, number: '0780000001' };

async function start() {
  const paypack = await UnreliableProvider.start('paypack');
  const env = { WAKALA_URL: paypack.wakala, PORT: '0' };
  const program = new Program(process.execPath, ['server.js'], { cwd: exampleFolder('node'), env });
  const [, port] = await program.until(/http:\/\/127\.0\.0\.1:(\d+)/);
  const at = '/orders/42/payment';
  return {
    paypack,
    pay: async (order: unknown = ORDER) => await sendJson(Number(port), at, order),
    look: async () => await sendRequest(Number(port), at),
    cashIns: () => paypack.calls.filter((path) => path.endsWith('/transactions/cashin')).length,
  };
}

describe('examples/node', { timeout: 60_000 }, () => {
  it('requests a payment once, however often it is called, and it succeeds', async () => {
    const { pay, look, cashIns } = await start();
    const [first, second] = [await pay(), await pay()];
    expect([first.status, first.json()['state']]).toEqual([202, 'pending']);
    expect(second.json()['ref']).toBe(first.json()['ref']);
    await vi.waitFor(async () => expect((await look()).json()['state']).toBe('successful'), 10_000);
    expect(cashIns()).toBe(1);
  });

  it('finds a payment whose response was lost and does not send it again', async () => {
    const { paypack, pay, look, cashIns } = await start();
    paypack.losesResponses = true;
    const lost = await pay();
    expect([lost.status, lost.json()['state']]).toEqual([202, 'unknown']);
    paypack.losesResponses = false;
    const again = await pay();
    expect(again.json()['ref']).toEqual(expect.any(String));
    await vi.waitFor(async () => expect((await look()).json()['state']).toBe('successful'), 10_000);
    expect(cashIns()).toBe(1);
  });

  it('reports a payment that was not sent after three attempts as failed, and accepts a new one', async () => {
    const { paypack, pay } = await start();
    await paypack.disconnect();
    const failed = await pay();
    expect([failed.status, failed.json()['state']]).toEqual([502, 'failed']);
    expect(failed.json()['reason']).toContain('upstream_unreachable');
    await paypack.reconnect();
    expect((await pay()).json()['state']).toBe('pending');
  });

  it('reports a payment that Paypack refused as failed', async () => {
    const { pay, cashIns } = await start();
    const refused = await pay({ ...ORDER, number: 'nobody' });
    expect([refused.status, refused.json()['reason']]).toEqual([502, 'Paypack: invalid phone number']);
    expect(cashIns()).toBe(1);
  });

  it('responds with 404 to unknown orders', async () => {
    const { look } = await start();
    expect((await look()).status).toBe(404);
  });

  it('distinguishes an unreachable proxy from a lost response', async () => {
    const env = { WAKALA_URL: `http://127.0.0.1:${await freePort()}`, PORT: '0' };
    const program = new Program(process.execPath, ['server.js'], { cwd: exampleFolder('node'), env });
    const [, port] = await program.until(/http:\/\/127\.0\.0\.1:(\d+)/);
    const failed = await sendJson(Number(port), '/orders/1/payment', ORDER);
    expect([failed.status, failed.json()['state']]).toEqual([502, 'failed']);
  });
});

import { describe, expect, it, onTestFinished } from 'vitest';
import { launchChromium } from '../browser/chromium.ts';
import { expectProblem, sendJson, sendRequest } from '../support/proxy-client.ts';
import { hasTool } from '../support/tools.ts';
import { copyExample, isFree, npmRunDev } from './example.ts';

const ORDER = { amount: 100, number: '0780000001' };
const CASH_IN = '/paypack/transactions/cashin';
const HAS_CHROMIUM = hasTool('chromium');

async function start() {
  const { folder, port } = await copyExample('vite', [5173, 8080, 9901]);
  const dev = npmRunDev(folder);
  await dev.until(/\[vite\].*Local:/);
  await dev.until(/\[wakala\] +Ctrl-C stops it/);
  return { dev, port: port(5173), wakalaPort: port(8080) };
}

describe('examples/vite', { timeout: 60_000 }, () => {
  it('has a script that starts and stops wakala dev and Vite', async () => {
    const { dev, port, wakalaPort } = await start();
    expect((await sendRequest(port, '/')).text).toContain('Pay with mobile money');
    const origin = `http://127.0.0.1:${port}`;
    const own = await sendJson(port, CASH_IN, ORDER, { origin });
    expect([own.status, own.header('wakala-token'), own.json()['status']]).toEqual([200, 'fetched', 'pending']);
    await dev.ctrlC();
    for (const one of [port, wakalaPort]) await isFree(one);
  });

  it('allows only payments and only from its own page', async () => {
    const { port } = await start();
    const foreign = await sendJson(port, CASH_IN, ORDER, { origin: 'https://other.example' });
    expectProblem(foreign, { status: 403, code: 'origin_refused' });
    const origin = `http://127.0.0.1:${port}`;
    const cashOut = await sendJson(port, '/paypack/transactions/cashout', ORDER, { origin });
    expectProblem(cashOut, { status: 403, code: 'path_refused' });
  });

  it.runIf(HAS_CHROMIUM)('pays in a browser', async () => {
    const { port } = await start();
    const browser = await launchChromium();
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.getByRole('button', { name: 'Pay' }).click();
    await page.getByText(/^Payment [\w-]+: successful$/).waitFor({ timeout: 15_000 });
    await page.getByLabel('Phone').fill('nobody');
    await page.getByRole('button', { name: 'Pay' }).click();
    await page.getByText('Nothing was taken: invalid phone number. You may try again.').waitFor({ timeout: 15_000 });
  });
});

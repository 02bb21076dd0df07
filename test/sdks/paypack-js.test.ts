import { execFile } from 'node:child_process';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Emulator } from '../../src/emulators/emulator.ts';
import { ROOT } from '../docs/documents.ts';
import { paypackJs } from './sdks.ts';
import { asClient, type Login, MADE_UP, SHOP, SHOP_LOGIN, startBothWays } from './support.ts';

const PAYMENT = { amount: 100, number: '0780000001' };

describe('paypack-js', () => {
  it('pays and asks for the status with credentials that Paypack does not know', async () => {
    const { clock, direct, emulator, baseUrl } = await startBothWays('paypack');
    const { paypack } = paypackJs(baseUrl, MADE_UP);
    const { data: paid } = await paypack.cashin(PAYMENT);
    expect(paid).toMatchObject({ status: 'pending', amount: 100, kind: 'CASHIN', provider: 'mtn' });
    clock.shiftMs += 1000;
    expect((await paypack.transaction(paid.ref)).data).toMatchObject({ ref: paid.ref, status: 'successful' });
    await paypack.cashout(PAYMENT);
    expect((await paypack.transactions({ limit: 1 })).data).toMatchObject({ total: 2, limit: 1, offset: 0 });
    expect((await paypack.events({ limit: 10 })).data.transactions).toHaveLength(3);
    // The SDK sends no `X-Webhook-Mode` with this; the route does.
    expect((await paypack.me()).data).toMatchObject({ mode: 'development' });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, denied: 0, api_calls: 6, refused: 0 });

    await expect(paypackJs(direct.apiUrl, MADE_UP).paypack.me()).rejects.toEqual({
      status: 401,
      message: 'invalid client credentials',
    });
  });

  it('calls on when the token dies; directly that call fails', async () => {
    const { direct, right, emulator, baseUrl } = await startBothWays('paypack');
    const { paypack } = paypackJs(baseUrl, MADE_UP);
    await paypack.cashin(PAYMENT);
    emulator.control({ expire_tokens: true });
    expect((await paypack.cashin(PAYMENT)).data.status).toBe('pending');
    expect(emulator.stats()).toMatchObject({ exchanges: 1, refreshes: 1, denied: 0 });

    const alone = paypackJs(direct.apiUrl, right);
    const refreshed = refreshOf(alone.http);
    await alone.paypack.cashin(PAYMENT);
    direct.control({ expire_tokens: true });
    // It repeats the call before the refresh has its response.
    await expect(alone.paypack.cashin(PAYMENT)).rejects.toThrow('Application secrets required');
    await refreshed;
    expect((await alone.paypack.cashin(PAYMENT)).data.status).toBe('pending');
  });

  it('takes the process down when its refresh is refused, which through Wakala never happens', async () => {
    const { direct, right, emulator, baseUrl } = await startBothWays('paypack');
    await expect(runApp(direct, direct.apiUrl, right)).rejects.toMatchObject({ code: 1 });
    expect(direct.stats().exchanges).toBe(1);
    expect(await runApp(emulator, baseUrl, MADE_UP)).toMatchObject({ stdout: 'called again\n' });
    // Wakala's own refresh was refused too, so it used the credentials.
    expect(emulator.stats()).toMatchObject({ exchanges: 2, denied: 1, refused: 1 });
  });

  it('gets another placeholder for the refresh token of the first', async () => {
    const { emulator, baseUrl } = await startBothWays('paypack');
    const { http, paypack } = paypackJs(baseUrl, MADE_UP);
    const refreshed = refreshOf(http);
    await paypack.me();
    // Refused with the fresh token as well, so the refusal reaches the SDK.
    emulator.control({ refuse_next_calls: 2 });
    expect((await paypack.me()).data).toMatchObject({ id: 'emulated-merchant' });
    await refreshed;
    expect(emulator.stats()).toMatchObject({ exchanges: 1, refreshes: 1, denied: 0, api_calls: 4, refused: 2 });
  });
});

describe('paypack-js at a gateway with clients', () => {
  const clients = [SHOP];

  it('is refused: its login has the name and the key in a JSON body, where no client is looked for', async () => {
    const { emulator, baseUrl } = await startBothWays('paypack', { clients });
    const { paypack } = paypackJs(baseUrl, SHOP_LOGIN);
    await expect(paypack.me()).rejects.toMatchObject({ status: 401, code: 'client_unauthorized' });
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });

  it('is authenticated by the name and the key in the base URL', async () => {
    const { emulator, baseUrl } = await startBothWays('paypack', { clients });
    const { paypack } = paypackJs(asClient(baseUrl, SHOP), MADE_UP);
    expect((await paypack.cashin(PAYMENT)).data.status).toBe('pending');
    expect((await paypack.me()).data).toMatchObject({ id: 'emulated-merchant' });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 2 });
  });

  it('is authenticated by the key in a custom header', async () => {
    const { emulator, baseUrl } = await startBothWays('paypack', { clients });
    const { http, paypack } = paypackJs(baseUrl, MADE_UP);
    http.defaults.headers.common['Proxy-Authorization'] = `Bearer ${SHOP.key}`;
    expect((await paypack.cashin(PAYMENT)).data.status).toBe('pending');
    expect((await paypack.me()).data).toMatchObject({ id: 'emulated-merchant' });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 2 });
  });
});

/** An app in a separate process, which calls, loses all its tokens, and calls again. */
function runApp(provider: Emulator, baseUrl: string, { id, secret }: Login) {
  const app = `
    const http = require('paypack-js/build/http.js');
    http.defaults.baseURL = '${baseUrl}/';
    const Paypack = require('paypack-js').default;
    const paypack = new Paypack({ client_id: '${id}', client_secret: '${secret}' });
    const body = JSON.stringify({ expire_tokens: true, revoke_refresh_tokens: true });
    const headers = { 'content-type': 'application/json' };
    paypack.me()
      .then(() => fetch('${new URL('/_emulator', provider.apiUrl).href}', { method: 'POST', headers, body }))
      .then(() => paypack.me())
      .then(() => console.log('called again'), () => undefined);`;
  return promisify(execFile)(process.execPath, ['-e', app], { cwd: ROOT });
}

/** Resolves when the SDK has processed the response to a refresh, which it does not wait for itself. */
async function refreshOf({ interceptors }: ReturnType<typeof paypackJs>['http']): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  interceptors.response.use((response) => {
    if (response.config.url?.startsWith('auth/refresh/') === true) resolve(undefined);
    return response;
  });
  await promise;
  await nextTurn();
}

import { describe, expect, it } from 'vitest';
import { sampleBody } from '../../src/providers/provider.ts';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { startProxyToEmulator } from '../support/proxy-server.ts';

const C2B = '/mpesa/c2b/v1/registerurl';
const C2B_BODY = {
  ShortCode: '600000',
  ResponseType: 'Completed',
  ConfirmationURL: 'http://127.0.0.1:9/confirm',
  ValidationURL: 'http://127.0.0.1:9/validate',
};

async function warmProxy() {
  const { emulator, proxy } = await startProxyToEmulator('mpesa');
  const { samples } = emulator.provider;
  const [path, json] = [samples.call.path, sampleBody({ samples })];
  const stk = () => sendJson(proxy.port, `/mpesa${path}`, json);
  await stk();
  return { emulator, proxy, stk };
}

describe('a dead M-Pesa token', () => {
  it('is recognized in a 404 with 404.001.03 on STK', async () => {
    const { emulator, stk } = await warmProxy();
    emulator.control({ refuse_next_calls: 1 });
    const response = await stk();
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(emulator.stats()).toMatchObject({ exchanges: 2, refused: 1 });
  });

  it('is recognized in a 400 with 400.003.01 on C2B', async () => {
    const { emulator, proxy } = await warmProxy();
    emulator.control({ expire_tokens: true });
    const response = await sendJson(proxy.port, `/mpesa${C2B}`, C2B_BODY);
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(emulator.stats()).toMatchObject({ exchanges: 2, refused: 1 });
  });

  it('relays the 400 of C2B if the new token is refused as well', async () => {
    const { emulator, proxy } = await warmProxy();
    emulator.control({ refuse_path: '/mpesa/c2b/' });
    const response = await sendJson(proxy.port, `/mpesa${C2B}`, C2B_BODY);
    expect([response.status, response.json()['errorCode']]).toEqual([400, '400.003.01']);
    expect(emulator.stats()).toMatchObject({ exchanges: 2, refused: 2 });
  });
});

describe('a response that does not mean a dead token', () => {
  it('is relayed and refreshes nothing: an ordinary 404', async () => {
    const { emulator, proxy } = await warmProxy();
    const response = await sendRequest(proxy.port, '/mpesa/mpesa/nothing/here');
    expect([response.status, response.json()['errorCode']]).toEqual([404, '404.001.01']);
    expect(response.header('wakala-token')).toBe('cached');
    expect(emulator.stats()).toMatchObject({ exchanges: 1, api_calls: 2, refused: 0 });
  });

  it('is relayed and refreshes nothing: an ordinary 400', async () => {
    const { emulator, proxy } = await warmProxy();
    const response = await sendJson(proxy.port, `/mpesa${C2B}`, { ShortCode: '600000' });
    expect(response.status).toBe(400);
    expect(response.header('wakala-token')).toBe('cached');
    expect(emulator.stats()).toMatchObject({ exchanges: 1, api_calls: 2, refused: 0 });
  });
});

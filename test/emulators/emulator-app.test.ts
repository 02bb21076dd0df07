import { request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { jeel } from '../../src/providers/jeel.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { providers } from '../../src/providers/registry.ts';
import { callApi, emulate, sampleCall, send, tokenOf } from './support.ts';

const c2bDead = {
  requestId: '11728-2929992-1',
  errorCode: '400.003.01',
  errorMessage: 'Invalid Access Token',
};

describe.each(providers)('the API of $name', (provider) => {
  it.each([
    ['without a token', undefined],
    ['with an unknown token', 'made-up'],
  ])('responds to a call %s like the real API to a dead token, byte for byte', async (_case, token) => {
    const { emulator } = await emulate(provider);
    const reply = await sampleCall(emulator, token);
    expect(reply.status).toBe(provider.samples.deadTokenResponse.status);
    expect(reply.text).toBe(JSON.stringify(provider.samples.deadTokenResponse.body));
    expect(reply.headers.get('x-emulated-by')).toBe('wakala');
    expect(emulator.stats()).toMatchObject({ api_calls: 1, refused: 1 });
  });
});

describe('the token check', () => {
  it.each(['/mpesa/c2b/v1/simulate', '/mpesa/c2b/v2/registerurl'])('refuses mpesa %s with 400.003.01', async (path) => {
    const { emulator } = await emulate(mpesa);
    const { status, json } = await callApi(emulator, 'dead', path, {});
    expect({ status, json }).toEqual({ status: 400, json: c2bDead });
  });

  it.each([jpay, mpesa, jeel, paypack])(
    'lets the API of $name respond to an unknown path with 404',
    async (provider) => {
      const { emulator } = await emulate(provider);
      const { status, json } = await callApi(emulator, await tokenOf(emulator), '/no/such/thing');
      expect(status).toBe(404);
      expect(json['errorCode'] ?? '404.001.01').toBe('404.001.01');
      expect(emulator.stats().refused).toBe(0);
    },
  );

  it('responds with 404 outside the base path', async () => {
    const { emulator } = await emulate(jpay);
    const token = await tokenOf(emulator);
    const { origin } = new URL(emulator.apiUrl);
    const reply = await send(`${origin}/payments/payouts`, { headers: { authorization: `Bearer ${token}` } });
    expect(reply.status).toBe(404);
    expect(emulator.stats().api_calls).toBe(0);
  });

  it('refuses a second Authorization header', async () => {
    const { emulator } = await emulate(mpesa);
    const token = await tokenOf(emulator);
    const status = await new Promise((resolve, reject) => {
      const headers = ['Host', '127.0.0.1', 'Authorization', `Bearer ${token}`, 'authorization', 'Bearer other'];
      request(`${emulator.apiUrl}/anything`, { headers, agent: false }, (response) => {
        response.resume();
        resolve([response.statusCode, response.headers['x-emulated-reason']]);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toEqual([404, 'more than one Authorization header']);
  });

  it.each(['Basic abc', 'Bearer', 'Bearer a b', 'Bearer'])('refuses Authorization: %s', async (value) => {
    const { emulator } = await emulate(jpay);
    const reply = await send(`${emulator.apiUrl}/payments/payouts`, { headers: { authorization: value } });
    expect(reply.status).toBe(401);
  });
});

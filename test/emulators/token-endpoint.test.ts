import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { emulatedCredentials } from '../../src/emulators/emulated-provider.ts';
import { jeel } from '../../src/providers/jeel.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { type Exchange, isRequested, type Provider } from '../../src/providers/provider.ts';
import {
  callApi,
  emulate,
  refreshTokens,
  requestToken,
  sampleCall,
  send,
  sendTokenRequest,
  tokenOf,
} from './support.ts';

const four = [jpay, mpesa, jeel, paypack];

function exchangeOf({ token }: Provider): Exchange {
  if (!isRequested(token)) throw new Error('no exchange');
  return token;
}

describe.each(four)('the token endpoint of $name', (provider) => {
  it('issues a token that its API accepts', async () => {
    const { emulator } = await emulate(provider);
    const reply = await sampleCall(emulator, await tokenOf(emulator));
    expect(reply.status).toBe(200);
    expect(reply.headers.get('x-emulated-by')).toBe('wakala');
    expect(emulator.stats()).toMatchObject({ token_requests: 1, exchanges: 1, denied: 0, api_calls: 1, refused: 0 });
  });

  it('responds with the fields and JSON types of the real provider', async () => {
    const { emulator } = await emulate(provider);
    const { json, headers } = await requestToken(emulator);
    const types = (object: object) => Object.entries(object).map(([key, value]) => [key, typeof value]);
    expect(types(json)).toEqual(types(provider.samples.tokenResponse));
    expect(headers.get('content-type')).toBe('application/json');
  });

  it.each(provider.credentials.filter(({ optional }) => optional !== true).map(({ name }) => name))(
    'refuses a wrong %s with the response of the real provider',
    async (name) => {
      const { emulator } = await emulate(provider);
      const { status, json } = await requestToken(emulator, { [name]: 'wrong' });
      expect({ status, body: json }).toEqual(provider.samples.deniedResponse);
      expect(emulator.stats()).toMatchObject({ exchanges: 0, denied: 1, tokens_alive: 0 });
    },
  );

  it('refuses a wrong method', async () => {
    const { emulator } = await emulate(provider);
    const { path } = exchangeOf(provider).request;
    const method = exchangeOf(provider).request.method === 'GET' ? 'POST' : 'GET';
    const reply = await send(emulator.authUrl + path, { method });
    expect(reply.status).toBe(400);
    expect(reply.headers.get('x-emulated-reason')).toContain(`not ${method}`);
  });

  it('issues a token that expires at the end of its lifetime', async () => {
    const { emulator, clock } = await emulate(provider, { lifetimeS: 20 });
    const token = await tokenOf(emulator);
    await clock.advance(19_999);
    expect((await sampleCall(emulator, token)).status).toBe(200);
    await clock.advance(1);
    expect((await sampleCall(emulator, token)).json).toEqual(provider.samples.deadTokenResponse.body);
  });
});

describe('the token endpoint', () => {
  it('accepts credentials that are built from names, examples, and the emulated key', () => {
    const shown = [...emulatedCredentials(mpesa)].map(([name, secret]) => [name, secret.reveal()]);
    expect(shown).toEqual([
      ['consumer_key', 'emulated-mpesa-consumer-key'],
      ['consumer_secret', 'emulated-mpesa-consumer-secret'],
      ['passkey', 'emulated-mpesa-passkey'],
      ['initiator', 'testapi'],
      ['initiator_password', 'emulated-mpesa-initiator-password'],
      ['certificate', EMULATED_PUBLIC_KEY],
    ]);
  });

  it.each([jpay, paypack])('of $name refuses a form', async (provider) => {
    const { emulator } = await emulate(provider);
    const { request } = exchangeOf(provider);
    const reply = await sendTokenRequest(emulator, { ...request, body: { ...request.body!, encoding: 'form' } });
    expect(reply.status).toBe(400);
    expect(reply.headers.get('x-emulated-reason')).toBe('expected content-type application/json');
  });

  it('of jeel accepts multipart and form, but not JSON', async () => {
    const { emulator } = await emulate(jeel);
    const { request } = exchangeOf(jeel);
    const asked = async (encoding: 'multipart' | 'form' | 'json') =>
      (await sendTokenRequest(emulator, { ...request, body: { ...request.body!, encoding } })).status;
    expect([await asked('multipart'), await asked('form'), await asked('json')]).toEqual([200, 200, 400]);
  });

  it('of jeel is only on the token host', async () => {
    const { emulator } = await emulate(jeel);
    expect(new URL(emulator.authUrl).port).not.toBe(new URL(emulator.apiUrl).port);
    const form = new FormData();
    expect((await send(`${emulator.apiUrl}/oauth2/token`, { method: 'POST', body: form })).status).toBe(401);
    expect((await callApi({ ...emulator, apiUrl: emulator.authUrl }, undefined, '/v3/checkout/1')).status).toBe(404);
    expect(emulator.stats().token_requests).toBe(0);
  });

  it('refuses a repeated field, a missing field and a broken body', async () => {
    const { emulator } = await emulate(jeel);
    const { body } = exchangeOf(jeel).request;
    const secret = emulator.credentials.get('client_secret')!.reveal();
    const form = new URLSearchParams({ ...body!.fields, client_id: 'emulated-jeel-client-id', client_secret: secret });
    const reasonFor = async (sent: string, type = 'application/x-www-form-urlencoded') => {
      const reply = await send(`${emulator.authUrl}/oauth2/token`, {
        method: 'POST',
        headers: { 'content-type': type },
        body: sent,
      });
      return [reply.status, reply.headers.get('x-emulated-reason')];
    };
    expect(await reasonFor(form.toString())).toEqual([200, null]);
    expect(await reasonFor(`${form.toString()}&client_id=x`)).toEqual([
      400,
      'expected one body field client_id, a string',
    ]);
    form.set('grant_type', 'password');
    expect(await reasonFor(form.toString())).toEqual([400, 'expected body field grant_type to be client_credentials']);
    form.delete('grant_type');
    expect(await reasonFor(form.toString())).toEqual([400, 'expected one body field grant_type, a string']);
    expect(await reasonFor('x', 'multipart/form-data; boundary=b')).toEqual([
      400,
      'the body is not multipart/form-data',
    ]);
  });

  it('of mpesa refuses a wrong grant type and a request without Basic', async () => {
    const { emulator } = await emulate(mpesa);
    const grant = await sendTokenRequest(emulator, { ...exchangeOf(mpesa).request, query: { grant_type: 'password' } });
    expect(grant.json).toMatchObject({ errorCode: '400.008.02' });
    const noBasic = await send(`${emulator.authUrl}/oauth/v1/generate?grant_type=client_credentials`);
    expect(noBasic.json).toEqual(mpesa.samples.deniedResponse.body);
  });

  it("of mpesa responds to a request without User-Agent with the firewall's page", async () => {
    const { emulator } = await emulate(mpesa);
    const sent = request(`${emulator.authUrl}/oauth/v1/generate?grant_type=client_credentials`, { agent: false }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    expect([response.statusCode, response.headers['content-type']]).toEqual([403, 'text/html']);
  });

  it('of mpesa invalidates the previous token unless singleToken is false', async () => {
    for (const singleToken of [undefined, false]) {
      const { emulator } = await emulate(mpesa, singleToken === undefined ? {} : { singleToken });
      const first = await tokenOf(emulator);
      await tokenOf(emulator);
      expect((await sampleCall(emulator, first)).status).toBe(singleToken === false ? 200 : 404);
    }
  });
});

describe.each([jpay, paypack])('a refresh at $name', (provider) => {
  it('issues two new tokens and invalidates the old refresh token', async () => {
    const { emulator } = await emulate(provider);
    const first = (await requestToken(emulator)).json;
    const second = (await refreshTokens(emulator, String(first['refresh']))).json;
    expect(second['access']).not.toBe(first['access']);
    expect(second['refresh']).not.toBe(first['refresh']);
    expect((await sampleCall(emulator, String(second['access']))).status).toBe(200);
    const again = await refreshTokens(emulator, String(first['refresh']));
    expect({ status: again.status, body: again.json }).toEqual(provider.samples.deniedResponse);
    expect(emulator.stats()).toMatchObject({ exchanges: 1, refreshes: 1, denied: 1, token_requests: 3 });
  });
});

it('paypack refreshes under both paths that its sources name', async () => {
  const { emulator } = await emulate(paypack);
  const { json } = await requestToken(emulator);
  const reply = await sendTokenRequest(
    emulator,
    { ...paypack.refresh!.request, path: '/auth/agents/refresh/{refresh_token}' },
    { refresh_token: String(json['refresh']) },
  );
  expect(reply.status).toBe(200);
});

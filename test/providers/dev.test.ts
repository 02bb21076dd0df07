import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { DevEmulators } from '../../src/commands/dev/dev-emulators.ts';
import { defaultConfig, loadConfig } from '../../src/config/load.ts';
import { valueAt } from '../../src/json.ts';
import { sampleBody } from '../../src/providers/provider.ts';
import { isRequested, type Provider } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { type RunningServer, startServer } from '../../src/server/server.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { shape } from '../emulators/support.ts';
import { sendJson, sendRequest } from '../support/proxy-client.ts';

const CATALOGUE = providers.filter(({ hosts }) => hosts !== undefined);
const CREATED = new Map([
  ['paypal', 201],
  ['kopokopo', 201],
  ['vodacom-mpesa', 201],
]);

/** Every provider in one file, as in `wakala dev`: without credentials and network. */
describe('every provider in one configuration, emulated', () => {
  const emulators = new DevEmulators({ ports: 'free' });
  let server: RunningServer;
  const log: string[] = [];

  beforeAll(async () => {
    const routes = Object.fromEntries(CATALOGUE.map(({ name }) => [`/${name}/*`, { provider: name }]));
    const written = JSON.stringify({ listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', routes });
    const read = { readFile: () => written, env: {}, emulated: true };
    const { config, started } = await emulators.emulate(loadConfig('proxy.config.yaml', read).config);
    emulators.keep(started);
    const format = { level: 'debug', format: 'json', tty: false, colour: false } as const;
    server = await startServer(config, { log: createLog(format, (line) => void log.push(line)) });
  });

  afterAll(async () => {
    await server.drain();
    await emulators.close();
  });

  const emulatorOf = (name: string) => emulators.running.find(({ provider }) => provider.name === name)!;

  function call(name: string, path: string, json?: unknown, headers: Record<string, string> = {}) {
    const { port } = server.address;
    const below = `/${name}${path}`;
    return json === undefined ? sendRequest(port, below, { headers }) : sendJson(port, below, json, headers);
  }

  /** What came before counts, too: only the change is looked at. */
  async function counted<T>({ name }: Provider, act: () => Promise<T>) {
    const before = emulatorOf(name).stats();
    const result = await act();
    const after = emulatorOf(name).stats();
    return {
      result,
      tokenRequests: after.token_requests - before.token_requests,
      apiCalls: after.api_calls - before.api_calls,
    };
  }

  it.each(CATALOGUE)('$name responds to its sample request', async (provider) => {
    const { name, samples } = provider;
    const response = await call(name, samples.call.path, sampleBody({ samples }));
    expect(response.status).toBe(CREATED.get(name) ?? 200);
    expect(response.header('x-emulated-by')).toBe('wakala');
    expect(response.header('wakala-token')).toBe('fetched');
  });

  it.each(CATALOGUE)('$name responds to it again after its token has expired', async ({ name, samples }) => {
    emulatorOf(name).control({ expire_tokens: true });
    const response = await call(name, samples.call.path, sampleBody({ samples }));
    expect([response.status, response.header('wakala-token')]).toEqual([CREATED.get(name) ?? 200, 'replayed']);
  });

  it.each(CATALOGUE.flatMap((provider) => provider.tokenPaths.map((login) => ({ provider, ...login }))))(
    "$provider.name responds to a client's own login, $method $path, in its own shape, with nothing real",
    async ({ provider, method, path }) => {
      const { port } = server.address;
      const where = `/${provider.name}${path.replace('{refresh_token}', 'eyJ.a.b').replace('{product}', 'collection')}`;
      const login = () =>
        sendRequest(port, where, { method, ...(method === 'POST' && { body: '{"client_id":"theirs"}' }) });
      const { result, tokenRequests, apiCalls } = await counted(provider, login);
      expect([result.status, tokenRequests, apiCalls]).toEqual([200, 0, 0]);
      expect(shape(result.json())).toEqual(shape(provider.samples.tokenResponse));
      if (!isRequested(provider.token)) throw new Error('never asked for');
      const placeholder = String(valueAt(result.json(), provider.token.response.accessToken)).replace('Bearer ', '');
      const direct = await fetch(emulatorOf(provider.name).apiUrl + provider.samples.call.path, {
        method: provider.samples.call.method,
        headers: { authorization: `Bearer ${placeholder}` },
      });
      expect(direct.status).toBe(provider.samples.deadTokenResponse.status);
    },
  );

  it('MTN MoMo accepts a payment and returns its status', async () => {
    const id = '5f3c2a10-9d4e-4b1f-8a77-0c1d2e3f4a5b';
    const path = '/collection/v1_0/requesttopay';
    const payer = { partyIdType: 'MSISDN', partyId: '256770000001' };
    const payment = { amount: '100', currency: 'EUR', externalId: 'INV-1001', payer };
    const made = await call('mtn-momo', path, payment, { 'x-reference-id': id });
    expect([made.status, made.text]).toEqual([202, '']);
    expect((await call('mtn-momo', `${path}/${id}`)).json()).toMatchObject({ externalId: 'INV-1001' });
  });

  it('PayPal returns the order that it created', async () => {
    const { samples } = CATALOGUE.find(({ name }) => name === 'paypal')!;
    const order = (await call('paypal', samples.call.path, sampleBody({ samples }))).json();
    const shown = await call('paypal', `${samples.call.path}/${String(order['id'])}`);
    expect(shown.json()).toMatchObject({ id: order['id'], intent: 'CAPTURE' });
  });

  it('Pesapal accepts an order for a registered address', async () => {
    const address = (await call('pesapal', '/api/URLSetup/RegisterIPN', { url: 'https://shop.example/ipn' })).json();
    const order = {
      id: 'INV-1001',
      currency: 'KES',
      amount: 100,
      description: 'Order 1001',
      callback_url: 'https://shop.example/paid',
      notification_id: address['ipn_id'],
    };
    const made = (await call('pesapal', '/api/Transactions/SubmitOrderRequest', order)).json();
    expect(made).toMatchObject({ merchant_reference: 'INV-1001', status: '200' });
  });

  it('Kopo Kopo returns the location of a payment', async () => {
    const { samples } = CATALOGUE.find(({ name }) => name === 'kopokopo')!;
    const location = (await call('kopokopo', samples.call.path, sampleBody({ samples }))).header('location') ?? '';
    const shown = await call('kopokopo', new URL(location).pathname.replace('/kopokopo', ''));
    expect(shown.json()).toMatchObject({ data: { type: 'incoming_payment' } });
  });

  // Last, because rejected credentials are not used again for some time.
  it.each(CATALOGUE.filter(({ token }) => isRequested(token)))(
    '$name rejects wrong credentials, and its response appears only in the log',
    async ({ name, samples }) => {
      emulatorOf(name).control({ expire_tokens: true, token_endpoint: 'denied' });
      const [refused, next] = [
        await call(name, samples.call.path, sampleBody({ samples })),
        await call(name, samples.call.path, sampleBody({ samples })),
      ];
      emulatorOf(name).control({ reset: true });
      // The dead token stays in use while there is no other: the client gets the provider's refusal.
      for (const response of [refused, next]) {
        expect([response.status, response.header('wakala-token')]).toEqual([
          samples.deadTokenResponse.status,
          'not-replayed',
        ]);
      }
      const words = log.map((line) => JSON.parse(line) as Record<string, unknown>);
      const said = words.findLast((line) => line['provider'] === name && line['event'] === 'token_exchange_failed');
      expect(said?.['status']).toBe(samples.deniedResponse.status);
    },
  );

  it('nothing secret was logged', () => {
    const secrets = emulators.running.flatMap(({ provider, credentials }) =>
      provider.credentials.filter(({ secret }) => secret).map(({ name }) => credentials.get(name)!.reveal()),
    );
    expect(secrets.length).toBeGreaterThan(20);
    const text = log.join('');
    expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
  });
});

describe('without a file', () => {
  it('four providers are emulated', () => {
    const { routes } = defaultConfig();
    expect(routes.map(({ provider }) => provider.name)).toEqual(['jpay', 'mpesa', 'jeel', 'paypack']);
  });
});

describe('a route with its own rules, emulated', () => {
  it.each([
    { rsa_sha256: '{body}', key: '{key}' },
    { rsa_pss_sha256: '{body}', key: '{key}' },
    { ecdsa_sha256: '{body}', key: '{key}' },
    { ecdsa_sha512: '{body}', key: '{key}' },
    { ed25519: '{body}', key: '{key}' },
    { rsa_encrypt: '{id}', key: '{key}', padding: 'oaep_sha256' },
    { hmac_sha256: '{body}', key: '{key}', key_encoding: 'hex' },
    { hmac_sha512: '{body}', key: '{key}', key_encoding: 'base64' },
    { aes_256_cbc: '{body}', key: '{key}', iv: '{iv}' },
    { aes_256_cbc: '{body}', key: '{key}', iv: '{iv}', key_encoding: 'base64' },
  ])('gets a key for %j, whatever the file has', async (value) => {
    const emulators = new DevEmulators({ ports: 'free' });
    onTestFinished(() => emulators.close());
    const route = {
      upstream: 'https://api.example.com',
      credentials: { key: '', iv: '', id: '' },
      token: {
        request: { path: '/token', values: { id_value: { text: '{id}' } }, json: { id: '{id_value}' } },
        response: { access_token: 'access_token' },
      },
      sign: [{ calls: ['* /*'], values: { v: value }, headers: { 'X-V': '{v}' } }],
    };
    const written = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', routes: { '/own/*': route } };
    const read = { readFile: () => JSON.stringify(written), env: {}, emulated: true };
    const { config, started } = await emulators.emulate(loadConfig('proxy.config.yaml', read).config);
    emulators.keep(started);
    const format = { level: 'error', format: 'json', tty: false, colour: false } as const;
    const server = await startServer(config, { log: createLog(format, () => undefined) });
    onTestFinished(async () => {
      await server.drain();
    });
    const response = await sendJson(server.address.port, '/own/x', { a: 1 });
    expect([response.status, response.json()['body']]).toEqual([200, { a: 1 }]);
  });
});

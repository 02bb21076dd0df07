import nock from 'nock';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/json.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { jwtShaped } from '../../src/providers/sample-response.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { createFetcher } from '../support/token-exchange.ts';
import { expectNoSecret, refusalOf } from '../support/token-fakes.ts';

type Secrets = Readonly<Record<string, string>>;

/** What a provider's documentation says about an exchange, written independently of the provider's definition. */
interface Documented {
  readonly name: string;
  readonly host: string;
  readonly path: string | ((secrets: Secrets) => string);
  readonly headers?: (secrets: Secrets) => Record<string, string>;
  readonly basic?: readonly [user: string, password: string];
  readonly type?: string;
  /** The body as the server parses it. Undefined if there must be none. */
  readonly body?: (secrets: Secrets) => Record<string, string>;
  readonly response: JsonObject;
  readonly token: string;
  readonly lifetimeS: number;
  readonly source: 'expires_in' | 'expires_at' | 'jwt' | 'default';
}

const START_MS = new ManualClock().now();
const JSON_TYPE = 'application/json';
const FORM = 'application/x-www-form-urlencoded';
const GRANT = { grant_type: 'client_credentials' };
const iso = (seconds: number) => new Date(START_MS + seconds * 1000).toISOString();
const JWT = jwtShaped({ exp: START_MS / 1000 + 3000 });

const client = (secrets: Secrets) => ({
  client_id: secrets['client_id']!,
  client_secret: secrets['client_secret']!,
  ...GRANT,
});
const standard = (token: string, expires_in: number | string) => ({
  access_token: token,
  token_type: 'Bearer',
  expires_in,
});

const EXCHANGES: readonly Documented[] = [
  {
    name: 'mtn-momo',
    host: 'https://sandbox.momodeveloper.mtn.com',
    path: (secrets) => `/${encodeURIComponent(secrets['product']!)}/token/`,
    headers: (secrets) => ({ 'ocp-apim-subscription-key': secrets['subscription_key']!, 'content-length': '0' }),
    basic: ['api_user', 'api_key'],
    response: { access_token: 'momo-1', token_type: 'access_token', expires_in: 3600 },
    token: 'momo-1',
    lifetimeS: 3600,
    source: 'expires_in',
  },
  {
    name: 'airtel',
    host: 'https://openapiuat.airtel.africa',
    path: '/auth/oauth2/token',
    type: JSON_TYPE,
    body: client,
    response: standard('airtel-1', '180'),
    token: 'airtel-1',
    lifetimeS: 180,
    source: 'expires_in',
  },
  {
    name: 'pesapal',
    host: 'https://cybqa.pesapal.com',
    path: '/pesapalv3/api/Auth/RequestToken',
    headers: () => ({ accept: JSON_TYPE }),
    type: JSON_TYPE,
    body: (secrets) => ({ consumer_key: secrets['consumer_key']!, consumer_secret: secrets['consumer_secret']! }),
    response: { token: 'pesapal-1', expiryDate: iso(300).replace('.000Z', '.0001234Z'), error: null, status: '200' },
    token: 'pesapal-1',
    lifetimeS: 300,
    source: 'expires_at',
  },
  {
    name: 'flutterwave',
    host: 'https://idp.flutterwave.com',
    path: '/realms/flutterwave/protocol/openid-connect/token',
    type: FORM,
    body: client,
    response: { ...standard('flutterwave-1', 600), refresh_expires_in: 0 },
    token: 'flutterwave-1',
    lifetimeS: 600,
    source: 'expires_in',
  },
  {
    name: 'paypal',
    host: 'https://api-m.sandbox.paypal.com',
    path: '/v1/oauth2/token',
    basic: ['client_id', 'client_secret'],
    type: FORM,
    body: () => GRANT,
    response: standard('paypal-1', 32_400),
    token: 'paypal-1',
    lifetimeS: 32_400,
    source: 'expires_in',
  },
  {
    name: 'jenga',
    host: 'https://uat.finserve.africa',
    path: '/authentication/api/v3/authenticate/merchant',
    headers: (secrets) => ({ 'api-key': secrets['api_key']! }),
    type: JSON_TYPE,
    body: (secrets) => ({ merchantCode: secrets['merchant_code']!, consumerSecret: secrets['consumer_secret']! }),
    response: {
      accessToken: 'jenga-1',
      refreshToken: 'r-1',
      expiresIn: iso(900),
      issuedAt: iso(0),
      tokenType: 'Bearer',
    },
    token: 'jenga-1',
    lifetimeS: 900,
    source: 'expires_at',
  },
  ...(['kcb-buni', 'coop-bank'] as const).map((name): Documented => ({
    name,
    host: name === 'kcb-buni' ? 'https://uat.buni.kcbgroup.com' : 'https://openapi.co-opbank.co.ke',
    path: '/token',
    basic: ['consumer_key', 'consumer_secret'],
    type: FORM,
    body: () => GRANT,
    response: standard('bank-1', 3599),
    token: 'bank-1',
    lifetimeS: 3599,
    source: 'expires_in',
  })),
  {
    name: 'kopokopo',
    host: 'https://sandbox.kopokopo.com',
    path: '/oauth/token',
    headers: () => ({ 'user-agent': 'wakala' }),
    type: FORM,
    body: client,
    response: standard('kopokopo-1', 3600),
    token: 'kopokopo-1',
    lifetimeS: 3600,
    source: 'expires_in',
  },
  {
    name: 'tingg',
    host: 'https://api-approval.tingg.africa',
    path: '/v1/oauth/token/request',
    headers: (secrets) => ({ apikey: secrets['api_key']! }),
    type: JSON_TYPE,
    body: client,
    response: standard('tingg-1', 3600),
    token: 'tingg-1',
    lifetimeS: 3600,
    source: 'expires_in',
  },
  {
    name: 'orange-money',
    host: 'https://api.orange.com',
    path: '/oauth/v3/token',
    basic: ['client_id', 'client_secret'],
    type: FORM,
    body: () => GRANT,
    response: standard('orange-1', 7_776_000),
    token: 'orange-1',
    lifetimeS: 7_776_000,
    source: 'expires_in',
  },
  {
    name: 'azampay',
    host: 'https://authenticator-sandbox.azampay.co.tz',
    path: '/AppRegistration/GenerateToken',
    type: JSON_TYPE,
    body: (secrets) => ({
      appName: secrets['app_name']!,
      clientId: secrets['client_id']!,
      clientSecret: secrets['client_secret']!,
    }),
    response: { data: { accessToken: 'azampay-1', expire: iso(21_600) }, success: true, statusCode: 200 },
    token: 'azampay-1',
    lifetimeS: 21_600,
    source: 'expires_at',
  },
  {
    name: 'clickpesa',
    host: 'https://api.clickpesa.com',
    path: '/third-parties/generate-token',
    headers: (secrets) => ({
      'client-id': secrets['client_id']!,
      'api-key': secrets['api_key']!,
      'content-length': '0',
    }),
    response: { success: true, token: `Bearer ${JWT}` },
    token: JWT,
    lifetimeS: 3000,
    source: 'jwt',
  },
];

beforeAll(() => {
  nock.disableNetConnect();
});

afterEach(() => {
  nock.cleanAll();
});

afterAll(() => {
  nock.enableNetConnect();
  nock.restore();
});

function named(name: string): Provider {
  const provider = providerNamed(name);
  if (provider === undefined) throw new Error(`no provider is named ${name}`);
  return provider;
}

/** The documented request at the real host. Any other request fails. */
function endpoint({ host, path, headers, basic, type, body }: Documented, secrets: Secrets) {
  const where = typeof path === 'string' ? path : path(secrets);
  const asked = nock(host, { badheaders: ['transfer-encoding', ...(type === undefined ? ['content-type'] : [])] });
  const sent = asked.post(where, body?.(secrets) ?? ((empty: unknown) => empty === ''));
  for (const [name, value] of Object.entries(headers?.(secrets) ?? {})) sent.matchHeader(name, value);
  if (type !== undefined) sent.matchHeader('content-type', type);
  if (basic !== undefined) sent.basicAuth({ user: secrets[basic[0]]!, pass: secrets[basic[1]]! });
  return sent;
}

describe.each(EXCHANGES)('the exchange of $name', (documented) => {
  const provider = named(documented.name);

  it('sends the documented request, and reads the token and its lifetime', async () => {
    const { fetcher, clock, log, secrets } = createFetcher(provider);
    const scope = endpoint(documented, secrets).reply(200, documented.response);
    const token = await fetcher.fetch(undefined);
    expect(token.accessToken.reveal()).toBe(documented.token);
    expect(token.lifetimeSource).toBe(documented.source);
    expect(Math.round((token.expiresAtMs - clock.now()) / 1000)).toBe(documented.lifetimeS);
    expect(token.refreshToken).toBeUndefined();
    expect(scope.isDone()).toBe(true);
    expect(log.lines).toEqual([]);
  });

  it('recognizes refused credentials, and shows none of them', async () => {
    const { fetcher, log, secrets } = createFetcher(provider);
    const { status, body } = provider.samples.deniedResponse;
    endpoint(documented, secrets).reply(status, { ...body, echo: Object.values(secrets) });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_denied');
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { provider: provider.name, status } }]);
    const hidden = provider.credentials.flatMap(({ name, secret }) => (secret ? [secrets[name]!] : []));
    expectNoSecret([refusal, log.lines], ...hidden);
  });

  it('does not report a failure of the provider as refused credentials', async () => {
    const { fetcher, secrets } = createFetcher(provider);
    endpoint(documented, secrets).reply(500, { error: 'internal_error' });
    expect((await refusalOf(fetcher.fetch(undefined))).code).toBe('token_unavailable');
  });

  it('uses the default lifetime if the response has none', async () => {
    const { fetcher, clock, secrets } = createFetcher(provider);
    const token = 'opaque-1';
    const response = { token, access_token: token, accessToken: token, data: { accessToken: token } };
    endpoint(documented, secrets).reply(200, response);
    const got = await fetcher.fetch(undefined);
    expect(got.lifetimeSource).toBe('default');
    expect(got.expiresAtMs - clock.now()).toBe(provider.defaultLifetimeS * 1000);
  });
});

describe('an exchange with peculiarities', () => {
  it('ClickPesa: a token that is not a JWT lives for an hour', async () => {
    const { fetcher, clock } = createFetcher(named('clickpesa'));
    nock('https://api.clickpesa.com').post('/third-parties/generate-token').reply(200, { token: 'Bearer opaque-1' });
    const token = await fetcher.fetch(undefined);
    expect([token.accessToken.reveal(), token.expiresAtMs - clock.now()]).toEqual(['opaque-1', 3_600_000]);
  });

  it('Pesapal: another error in a 200 does not mean refused credentials', async () => {
    const { fetcher, log } = createFetcher(named('pesapal'));
    nock('https://cybqa.pesapal.com')
      .post('/pesapalv3/api/Auth/RequestToken')
      .reply(200, { token: null, error: { code: 'api_error', message: 'try later' }, status: '500' });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect([refusal.code, log.events]).toEqual(['token_unavailable', ['token_exchange_failed']]);
  });

  it('Pesapal: an unknown key means refused credentials', async () => {
    const { fetcher } = createFetcher(named('pesapal'));
    nock('https://cybqa.pesapal.com')
      .post('/pesapalv3/api/Auth/RequestToken')
      .reply(200, { token: null, error: { code: 'consumer_key_unknown', message: '' }, status: '500' });
    expect((await refusalOf(fetcher.fetch(undefined))).code).toBe('token_denied');
  });

  it('MTN MoMo: a wrong subscription key means refused credentials', async () => {
    const { fetcher } = createFetcher(named('mtn-momo'));
    nock('https://sandbox.momodeveloper.mtn.com')
      .post(/token/)
      .reply(401, { statusCode: 401, message: 'Access denied due to invalid subscription key.' });
    expect((await refusalOf(fetcher.fetch(undefined))).code).toBe('token_denied');
  });

  it('KCB: production has another host and path for tokens', async () => {
    const auth = named('kcb-buni').hosts?.production.auth;
    const { fetcher } = createFetcher(named('kcb-buni'), { authServer: auth! });
    const scope = nock('https://accounts.buni.kcbgroup.com')
      .post('/oauth2/token', { grant_type: 'client_credentials' })
      .reply(200, standard('bank-1', 3600));
    expect((await fetcher.fetch(undefined)).accessToken.reveal()).toBe('bank-1');
    expect(scope.isDone()).toBe(true);
  });
});

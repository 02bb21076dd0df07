import { Readable } from 'node:stream';
import nock from 'nock';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { jeel } from '../../src/providers/jeel.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { jwtShaped } from '../../src/providers/sample-response.ts';
import { Secret } from '../../src/secret.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { createFetcher } from '../support/token-exchange.ts';
import { expectNoSecret, refusalOf } from '../support/token-fakes.ts';

const START_S = new ManualClock().now() / 1000;
const PAYPACK = 'https://payments.paypack.rw';
const PAYPACK_TOKEN = { access: 'a-fresh', refresh: 'r-2', expires: START_S + 900 };
const REFRESH_TOKEN = 'r/1?a=%b#c';
const REFRESH_PATH = `/api/auth/refresh/${encodeURIComponent(REFRESH_TOKEN)}`;

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

const paypackLogin = () => nock(PAYPACK).post('/api/auth/agents/authorize');
const paypackRefresh = () => nock(PAYPACK).get(REFRESH_PATH);

describe('the exchange', () => {
  it('of M-Pesa returns the token, with a lifetime from a string', async () => {
    const { fetcher, clock, log, secrets } = createFetcher(mpesa);
    const scope = nock('https://sandbox.safaricom.co.ke', { badheaders: ['content-type', 'transfer-encoding'] })
      .get('/oauth/v1/generate')
      .query({ grant_type: 'client_credentials' })
      .basicAuth({ user: secrets['consumer_key']!, pass: secrets['consumer_secret']! })
      .matchHeader('user-agent', 'wakala')
      .reply(200, { access_token: 'm-1', expires_in: '3599' });
    const token = await fetcher.fetch(undefined);
    expect(token.accessToken.reveal()).toBe('m-1');
    expect(token).toMatchObject({ expiresAtMs: clock.now() + 3_599_000, lifetimeSource: 'expires_in' });
    expect(token.refreshToken).toBeUndefined();
    expect(scope.isDone()).toBe(true);
    expect(log.lines).toEqual([]);
  });

  it('of JPay returns the token, with a lifetime from the JWT', async () => {
    const { fetcher, clock, secrets } = createFetcher(jpay);
    const access = jwtShaped({ exp: START_S + 900 });
    nock('https://sandbox.api.jpay.africa')
      .post('/api/v1/auth/app/token', secrets)
      .matchHeader('content-type', 'application/json')
      .reply(200, { access, refresh: 'r-1', merchant_id: 1, app_code: 2, products: [] });
    const token = await fetcher.fetch(undefined);
    expect(token.accessToken.reveal()).toBe(access);
    expect(token.refreshToken?.reveal()).toBe('r-1');
    expect(token).toMatchObject({ expiresAtMs: clock.now() + 900_000, lifetimeSource: 'jwt' });
  });

  it('of JPay uses the refresh token and keeps the new one', async () => {
    const { fetcher } = createFetcher(jpay);
    const scope = nock('https://sandbox.api.jpay.africa')
      .post('/api/v1/auth/refresh', { refresh: 'r-1' })
      .reply(200, { access: 'j-2', refresh: 'r-2' });
    const token = await fetcher.fetch(new Secret('r-1'));
    expect(token.refreshToken?.reveal()).toBe('r-2');
    expect(token).toMatchObject({ lifetimeSource: 'default' });
    expect(scope.isDone()).toBe(true);
  });

  it('of Jeel sends a multipart request to another host', async () => {
    const { fetcher, clock, secrets } = createFetcher(jeel);
    nock('https://auth.sandbox.jeel.co')
      .post('/oauth2/token', (body: string) =>
        [secrets['client_id']!, secrets['client_secret']!, 'client_credentials'].every((value) => body.includes(value)),
      )
      .matchHeader('content-type', /^multipart\/form-data; boundary=/)
      .reply(200, { access_token: 'j-1', token_type: 'Bearer', expires_in: 1991 });
    const token = await fetcher.fetch(undefined);
    expect(token.accessToken.reveal()).toBe('j-1');
    expect(token.expiresAtMs).toBe(clock.now() + 1_991_000);
  });

  it('of Paypack returns the token, with a lifetime from a timestamp', async () => {
    const { fetcher, clock } = createFetcher(paypack);
    paypackLogin().reply(200, { ...PAYPACK_TOKEN, expires: String(START_S + 900) });
    const token = await fetcher.fetch(undefined);
    expect(token.accessToken.reveal()).toBe('a-fresh');
    expect(token).toMatchObject({ expiresAtMs: clock.now() + 900_000, lifetimeSource: 'expires_at' });
  });

  it("compares a timestamp with the server's clock", async () => {
    const { fetcher, clock } = createFetcher(paypack);
    const skewS = 3600;
    const date = new Date((START_S + skewS) * 1000).toUTCString();
    paypackLogin().reply(200, { ...PAYPACK_TOKEN, expires: START_S + skewS + 900 }, { date });
    expect((await fetcher.fetch(undefined)).expiresAtMs).toBe(clock.now() + 900_000);
  });

  it('ignores a refresh token if the provider has no refresh', async () => {
    const { fetcher } = createFetcher(mpesa);
    const scope = nock('https://sandbox.safaricom.co.ke')
      .get(/^\/oauth/)
      .reply(200, { access_token: 'm-1' });
    expect((await fetcher.fetch(new Secret('r-1'))).accessToken.reveal()).toBe('m-1');
    expect(scope.isDone()).toBe(true);
  });
});

describe('a refresh', () => {
  it('sends the refresh token in the path, and no credentials', async () => {
    const { fetcher, log } = createFetcher(paypack);
    const login = paypackLogin().reply(500);
    paypackRefresh().reply(200, PAYPACK_TOKEN);
    const token = await fetcher.fetch(new Secret(REFRESH_TOKEN));
    expect(token.refreshToken?.reveal()).toBe('r-2');
    expect(login.isDone()).toBe(false);
    expect(log.lines).toEqual([]);
  });

  it.each<[string, number, string]>([
    ['400', 400, '{"message":"bad"}'],
    ['401', 401, '{"status":401,"message":"expired"}'],
    ['403', 403, ''],
    ['404', 404, 'not found'],
    ['422', 422, '{}'],
    ['500', 500, '{}'],
    ['503', 503, '<html>down</html>'],
    ['a redirect', 302, ''],
    ['garbage', 200, '<html>hello</html>'],
    ['an empty 204', 204, ''],
    ['no token', 200, '{"message":"ok"}'],
  ])('with the response %s falls back to the credentials, once', async (_, status, body) => {
    const { fetcher } = createFetcher(paypack);
    const refresh = paypackRefresh().reply(status, body);
    const login = paypackLogin().reply(200, PAYPACK_TOKEN);
    expect((await fetcher.fetch(new Secret(REFRESH_TOKEN))).accessToken.reveal()).toBe('a-fresh');
    expect(refresh.isDone()).toBe(true);
    expect(login.isDone()).toBe(true);
  });

  it('whose connection breaks falls back to the credentials', async () => {
    const { fetcher } = createFetcher(paypack);
    paypackRefresh().replyWithError(Object.assign(new Error('broke off'), { code: 'ECONNRESET' }));
    paypackLogin().reply(200, PAYPACK_TOKEN);
    expect((await fetcher.fetch(new Secret(REFRESH_TOKEN))).accessToken.reveal()).toBe('a-fresh');
  });

  it.each([429, 500, 503])(
    'with the response %d and Retry-After does not fall back to the credentials',
    async (status) => {
      const { fetcher } = createFetcher(paypack);
      paypackRefresh().reply(status, '{}', { 'retry-after': '17' });
      const login = paypackLogin().reply(200, PAYPACK_TOKEN);
      const refusal = await refusalOf(fetcher.fetch(new Secret(REFRESH_TOKEN)));
      expect(refusal).toMatchObject({ code: 'token_unavailable', retryAfterS: 17 });
      expect(login.isDone()).toBe(false);
    },
  );

  it('keeps the refresh token if the response has no new one (RFC 6749 section 6)', async () => {
    const { fetcher } = createFetcher(paypack);
    const login = paypackLogin().reply(500);
    paypackRefresh()
      .times(3)
      .reply(200, { access: 'a-2', expires: START_S + 900 });
    let refreshToken: Secret | undefined = new Secret(REFRESH_TOKEN);
    for (let n = 0; n < 3; n++) {
      const token = await fetcher.fetch(refreshToken);
      refreshToken = token.refreshToken;
      expect(refreshToken?.reveal()).toBe(REFRESH_TOKEN);
    }
    expect(login.isDone()).toBe(false);
  });

  it('sends a refused refresh token once, until a login returns it again', async () => {
    const { fetcher } = createFetcher(paypack);
    const refreshToken = new Secret(REFRESH_TOKEN);
    paypackRefresh().reply(401, '{}');
    paypackLogin().times(2).reply(500);
    await refusalOf(fetcher.fetch(refreshToken));
    await refusalOf(fetcher.fetch(refreshToken));
    paypackLogin().reply(200, { ...PAYPACK_TOKEN, refresh: REFRESH_TOKEN });
    expect((await fetcher.fetch(refreshToken)).refreshToken?.reveal()).toBe(REFRESH_TOKEN);
    const refresh = paypackRefresh().reply(200, PAYPACK_TOKEN);
    await fetcher.fetch(refreshToken);
    expect(refresh.isDone()).toBe(true);
  });

  it('sends the refresh token again after a Retry-After', async () => {
    const { fetcher } = createFetcher(paypack);
    paypackRefresh().reply(429, '{}', { 'retry-after': '1' });
    await refusalOf(fetcher.fetch(new Secret(REFRESH_TOKEN)));
    paypackRefresh().reply(200, PAYPACK_TOKEN);
    expect((await fetcher.fetch(new Secret(REFRESH_TOKEN))).refreshToken?.reveal()).toBe('r-2');
  });

  it('fails with the failure of the credentials if both fail', async () => {
    const { fetcher } = createFetcher(paypack);
    paypackRefresh().reply(500);
    paypackLogin().reply(401, { status: 401, message: 'invalid client credentials' });
    expect((await refusalOf(fetcher.fetch(new Secret(REFRESH_TOKEN)))).code).toBe('token_denied');
  });
});

describe('a token that has expired already by its response', () => {
  it('is used for the default lifetime, with one warning that names field and value', async () => {
    const { fetcher, clock, log } = createFetcher(paypack);
    const expired = { ...PAYPACK_TOKEN, expires: START_S - 60 };
    paypackLogin().times(2).reply(200, expired);
    paypackRefresh().reply(200, expired);
    const tokens = [
      await fetcher.fetch(undefined),
      await fetcher.fetch(new Secret(REFRESH_TOKEN)),
      await fetcher.fetch(undefined),
    ];
    const lifetimeS = paypack.defaultLifetimeS;
    for (const token of tokens) {
      expect(token).toMatchObject({
        expiresAtMs: clock.now() + lifetimeS * 1000,
        lifetimeSource: 'default_expired',
        expiredField: { field: 'expires', value: String(START_S - 60) },
      });
    }
    const fields = { provider: 'paypack', field: 'expires', value: String(START_S - 60), lifetime_s: lifetimeS };
    expect(log.lines).toEqual([{ level: 'warn', event: 'token_lifetime_ignored', fields }]);
    expectNoSecret(log.lines, 'a-fresh', 'r-2');
  });
});

describe('a token endpoint', () => {
  const login = () => nock('https://sandbox.safaricom.co.ke').get(/^\/oauth/);

  it.each([301, 302, 303, 307, 308])('that redirects with %d is not followed', async (status) => {
    const { fetcher } = createFetcher(mpesa);
    login().reply(status, '', { location: 'https://elsewhere.example/token' });
    const target = nock('https://elsewhere.example').get('/token').reply(200, { access_token: 'stolen' });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_unavailable');
    expect(refusal.message).toContain(`HTTP ${status}`);
    expect(target.isDone()).toBe(false);
  });

  it('that responds with 204 sent no token', async () => {
    const { fetcher } = createFetcher(mpesa);
    login().reply(204);
    expect((await refusalOf(fetcher.fetch(undefined))).message).toContain('204 with an empty body');
  });

  it('that sends 100 MB is read up to 64 KiB', async () => {
    let pulledBytes = 0;
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const endless = () =>
      new Readable({
        read() {
          pulledBytes += chunk.length;
          this.push(pulledBytes > 100e6 ? null : chunk);
        },
      });
    const { fetcher } = createFetcher(mpesa);
    login().reply(200, endless);
    expect((await refusalOf(fetcher.fetch(undefined))).message).toContain('RESPONSE_TOO_LONG');
    expect(pulledBytes).toBeLessThan(1e6);
  });

  it('may send header names in any case', async () => {
    const { fetcher } = createFetcher(mpesa);
    login().reply(429, '', { 'RETRY-AFTER': '5' });
    expect((await refusalOf(fetcher.fetch(undefined))).retryAfterS).toBe(5);
  });

  it('that repeats a header: the first one counts', async () => {
    const { fetcher } = createFetcher(mpesa);
    login().reply(429, '', ['Retry-After', '5', 'Retry-After', '9', 'Set-Cookie', 'a', 'Set-Cookie', 'b']);
    expect((await refusalOf(fetcher.fetch(undefined))).code).toBe('token_unavailable');
  });

  it('that refuses the credentials is quoted in the log and not in the error', async () => {
    const { fetcher, log } = createFetcher(mpesa);
    login().reply(400, { errorCode: '400.008.01', errorMessage: 'Invalid Authentication passed' });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_denied');
    expectNoSecret(refusal, '400.008.01', 'Invalid Authentication passed');
    expect(log.lines).toEqual([
      {
        level: 'warn',
        event: 'token_exchange_failed',
        fields: {
          provider: 'mpesa',
          token_host: 'sandbox.safaricom.co.ke',
          status: 400,
          error: refusal.message,
          provider_said: '{"errorCode":"400.008.01","errorMessage":"Invalid Authentication passed"}',
          hint: expect.stringContaining('Check `consumer_key` and `consumer_secret`') as unknown,
        },
      },
    ]);
  });

  it('whose 200 has no usable token is not quoted, since it may contain one under another name', async () => {
    const { fetcher, log } = createFetcher(mpesa);
    login().reply(200, { accessToken: 'm-under-another-name' });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(log.events).toEqual(['token_exchange_failed']);
    expectNoSecret([refusal, log.lines], 'm-under-another-name');
  });
});

describe('nothing secret', () => {
  it.each([400, 401, 403, 404, 500, 503])(
    'is in the log or the error when M-Pesa echoes it with %d',
    async (status) => {
      const { fetcher, log, secrets } = createFetcher(mpesa);
      const hidden = mpesa.credentials.flatMap(({ name, secret }) => (secret ? (secrets[name] ?? []) : []));
      nock('https://sandbox.safaricom.co.ke')
        .get(/^\/oauth/)
        .reply(status, (request: Request) => {
          const basic = request.headers.get('authorization');
          return `you sent ${[basic, basic?.split(' ')[1], ...hidden].join(', ')}`;
        });
      const refusal = await refusalOf(fetcher.fetch(undefined));
      expect(log.lines[0]?.fields['provider_said']).toBe(
        `you sent Basic [redacted], [redacted]${', [redacted]'.repeat(hidden.length)}`,
      );
      expectNoSecret([refusal, log.lines], ...hidden, hidden.slice(0, 2).join(':'));
    },
  );

  it.each([jpay, paypack, jeel])('is in the log or the error when $name echoes the login', async (provider) => {
    const { fetcher, log, secrets } = createFetcher(provider);
    nock(/sandbox|paypack/)
      .post(/./)
      .reply(401, async (request: Request) => `you sent ${await request.text()}`);
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_denied');
    expect(log.lines[0]?.fields['provider_said']).toMatch(/^you sent /);
    expectNoSecret([refusal, log.lines], ...Object.values(secrets));
  });

  it.each([400, 404, 500])(
    'is in the log or the error when a failed refresh echoes its URL with %d',
    async (status) => {
      const { fetcher, log, secrets } = createFetcher(paypack);
      paypackRefresh().reply(status, (request: Request) => `no route ${request.url} for ${REFRESH_TOKEN}`);
      paypackLogin().reply(500, async (request: Request) => `you sent ${await request.text()}`);
      const refusal = await refusalOf(fetcher.fetch(new Secret(REFRESH_TOKEN)));
      expect(log.events).toEqual(['token_refresh_failed', 'token_reauthorizing', 'token_exchange_failed']);
      expect(log.lines[0]?.fields['provider_said']).toMatch(/^no route .* for \[redacted\]$/);
      expectNoSecret([refusal, log.lines], REFRESH_TOKEN, ...Object.values(secrets));
    },
  );

  it('is in the log when the connection of a refresh breaks, though the network error has the URL', async () => {
    const { fetcher, log } = createFetcher(paypack);
    const broken = new Error(`connect failed for ${PAYPACK}${REFRESH_PATH}`);
    paypackRefresh().replyWithError(Object.assign(broken, { code: 'EHOSTUNREACH' }));
    paypackLogin().reply(200, PAYPACK_TOKEN);
    await fetcher.fetch(new Secret(REFRESH_TOKEN));
    expect(log.lines.map(({ fields }) => fields['error'])).toEqual([
      expect.stringContaining('EHOSTUNREACH'),
      undefined,
    ]);
    expectNoSecret(log.lines, REFRESH_TOKEN);
  });

  it('is in the log of a refresh that works', async () => {
    const { fetcher, log, secrets } = createFetcher(paypack);
    paypackRefresh().reply(200, PAYPACK_TOKEN);
    const token = await fetcher.fetch(new Secret(REFRESH_TOKEN));
    expectNoSecret([token, log.lines], REFRESH_TOKEN, 'a-fresh', 'r-2', ...Object.values(secrets));
  });
});

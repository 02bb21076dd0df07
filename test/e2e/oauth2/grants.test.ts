import { decodeJwt } from 'jose';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/secret.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { expectNoSecret } from '../../support/token-fakes.ts';
import { pairFor, pemOf } from './keys.ts';
import { mockServer, oidcProvider, scriptedServer, scriptedTokenServer, SECRET } from './servers.ts';
import { createFetcher, fieldOf } from './token-fetcher.ts';

describe('a token request', () => {
  it('has scope, audience and each resource as configured', async () => {
    const { endpoint, arrived } = await scriptedTokenServer();
    const { fetcher } = createFetcher({
      token_endpoint: endpoint,
      scope: 'payments:write refunds',
      audience: 'https://api.bank.example/v1?x=1&y=2',
      resource: ['https://api.bank.example/a', 'urn:bank:b'],
    });
    await fetcher.fetch(undefined);
    expect(arrived[0]?.form).toEqual([
      ['grant_type', 'client_credentials'],
      ['scope', 'payments:write refunds'],
      ['audience', 'https://api.bank.example/v1?x=1&y=2'],
      ['resource', 'https://api.bank.example/a'],
      ['resource', 'urn:bank:b'],
    ]);
    expect(arrived[0]?.headers['content-type']).toBe('application/x-www-form-urlencoded');
  });

  it('can have one resource and nothing else', async () => {
    const { endpoint, arrived } = await scriptedTokenServer();
    await createFetcher({ token_endpoint: endpoint, resource: 'https://api.bank.example' }).fetcher.fetch(undefined);
    expect(arrived[0]?.form).toEqual([
      ['grant_type', 'client_credentials'],
      ['resource', 'https://api.bank.example'],
    ]);
  });

  it('has parameters for which a server issues a token', async () => {
    const { issuer } = await oidcProvider({ client_secret: SECRET });
    const resource = 'https://api.bank.example/v1';
    const token = await createFetcher({ issuer, scope: 'payments', resource }).fetcher.fetch(undefined);
    expect(decodeJwt(token.accessToken.reveal())).toMatchObject({ scope: 'payments', aud: resource });
    const without = await createFetcher({ issuer, resource }).fetcher.fetch(undefined);
    expect(decodeJwt(without.accessToken.reveal())).not.toHaveProperty('scope');
  });

  it('goes to a token endpoint with a query', async () => {
    const { endpoint, arrived } = await scriptedTokenServer();
    await createFetcher({ token_endpoint: `${endpoint}?policy=b2c_1` }).fetcher.fetch(undefined);
    expect(arrived[0]?.path).toBe('/token?policy=b2c_1');
  });

  it('can be changed through `token`: query, headers, fields of the response', async () => {
    const { origin, arrived } = await scriptedServer(() => ({ json: { data: { t: 'token-x' } } }));
    const { fetcher } = createFetcher(
      { token_endpoint: `${origin}/token` },
      {
        token: {
          request: { query: { v: '2' }, headers: { 'x-tenant': 'a' } },
          response: { access_token: 'data.t' },
          default_lifetime: '20s',
        },
      },
    );
    const token = await fetcher.fetch(undefined);
    expect([token.accessToken.reveal(), token.expiresAtMs - token.issuedAtMs]).toEqual(['token-x', 20_000]);
    expect(arrived[0]).toMatchObject({ path: '/token?v=2', headers: { 'x-tenant': 'a' } });
  });
});

describe('a refresh token', () => {
  it('issued with a token gets the next one, as the same client', async () => {
    const { server, issuer } = await mockServer();
    server.service.on('beforeResponse', (response: { readonly body: object }) => {
      Object.assign(response.body, { refresh_token: 'refresh-1' });
    });
    const { fetcher, sent, stats } = createFetcher({ issuer, scope: 'payments', client_auth: 'client_secret_post' });
    const first = await fetcher.fetch(undefined);
    expect(first.refreshToken?.reveal()).toBe('refresh-1');
    const second = await fetcher.fetch(first.refreshToken, first);
    expect(second.accessToken.reveal()).not.toBe('');
    expect(stats.counts.refresh.ok).toBe(1);
    expect(fieldOf(sent.at(-1), 'grant_type')).toBe('refresh_token');
    expect(fieldOf(sent.at(-1), 'refresh_token')).toBe('refresh-1');
    expect(fieldOf(sent.at(-1), 'client_secret')).toBe(SECRET);
    expect(fieldOf(sent.at(-1), 'scope')).toBe('');
  });

  it('is sent with a new assertion for the same resources', async () => {
    const { endpoint, arrived } = await scriptedTokenServer();
    const key = pemOf(pairFor('EdDSA'));
    const { fetcher } = createFetcher({
      token_endpoint: endpoint,
      client_auth: 'private_key_jwt',
      key,
      resource: 'https://api.bank.example',
    });
    await fetcher.fetch(undefined);
    await fetcher.fetch(new Secret('refresh-1'));
    const [first, second] = arrived.map(({ form }) => Object.fromEntries(form));
    expect(second).toMatchObject({ grant_type: 'refresh_token', resource: 'https://api.bank.example' });
    expect(second?.['client_assertion']).not.toBe(first?.['client_assertion']);
  });

  it('that is refused is followed by a client credentials request', async () => {
    const { origin, arrived } = await scriptedServer(({ form }) =>
      Object.fromEntries(form)['grant_type'] === 'refresh_token'
        ? { status: 400, json: { error: 'invalid_grant', error_description: 'refresh-1 is gone' } }
        : { json: { access_token: 'fresh', expires_in: 60 } },
    );
    const { fetcher, log } = createFetcher({ token_endpoint: `${origin}/token` });
    expect((await fetcher.fetch(new Secret('refresh-1'))).accessToken.reveal()).toBe('fresh');
    expect(arrived).toHaveLength(2);
    expectNoSecret(log.lines, 'refresh-1', SECRET);
  });

  it('in the configuration replaces the client credentials', async () => {
    const { endpoint, arrived } = await scriptedTokenServer((n) => ({ refresh_token: `next-${n}` }));
    const { fetcher, log } = createFetcher({
      token_endpoint: endpoint,
      refresh_token: 'given-made-up',
      scope: 'payments',
    });
    const first = await fetcher.fetch(undefined);
    await fetcher.fetch(first.refreshToken, first);
    expect(arrived.map(({ form }) => form)).toEqual([
      [
        ['grant_type', 'refresh_token'],
        ['refresh_token', 'given-made-up'],
        ['scope', 'payments'],
      ],
      [
        ['grant_type', 'refresh_token'],
        ['refresh_token', 'next-1'],
      ],
    ]);
    expectNoSecret(log.lines, 'given-made-up', 'next-1');
  });
});

describe('a refresh token that replaced the one in the configuration', () => {
  const given = (statusOf: (refreshToken: string) => number) =>
    scriptedServer(({ form }) => {
      const { refresh_token: refreshToken = '' } = Object.fromEntries(form);
      const status = statusOf(refreshToken);
      return { status, json: status === 200 ? { access_token: 't', refresh_token: 'next-2' } : {} };
    });
  const sentTo = ({ arrived }: Awaited<ReturnType<typeof given>>) =>
    arrived.map(({ form }) => Object.fromEntries(form)['refresh_token']);

  it('is sent again after an error, and the one in the configuration is not', async () => {
    const server = await given(() => 503);
    const { fetcher } = createFetcher({ token_endpoint: `${server.origin}/token`, refresh_token: 'given' });
    for (let n = 0; n < 2; n++) {
      await expect(fetcher.fetch(new Secret('next-1'))).rejects.toMatchObject({ code: 'token_unavailable' });
    }
    expect(sentTo(server)).toEqual(['next-1', 'next-1']);
  });

  it('is followed by the one in the configuration if it is refused, with a warning', async () => {
    const server = await given((refreshToken) => (refreshToken === 'given' ? 200 : 400));
    const { fetcher, log } = createFetcher({ token_endpoint: `${server.origin}/token`, refresh_token: 'given' });
    expect((await fetcher.fetch(new Secret('next-1'))).refreshToken?.reveal()).toBe('next-2');
    expect(sentTo(server)).toEqual(['next-1', 'given']);
    expect(log.lines).toMatchObject([
      { level: 'info', event: 'token_refresh_failed' },
      { level: 'warn', event: 'refresh_token_refused' },
    ]);
    expectNoSecret(log.lines, 'next-1', 'next-2');
  });
});

describe('an assertion', () => {
  const ahead = 3_600_000;

  it('uses the clock of the server once that is known', async () => {
    const serverMs = new ManualClock().now() + ahead;
    const dated = { headers: { date: new Date(serverMs).toUTCString() } };
    const { origin, arrived } = await scriptedServer(({ path }, issuer) =>
      path === '/token'
        ? { ...dated, json: { access_token: 't', expires_in: 60 } }
        : { ...dated, json: { issuer, token_endpoint: `${issuer}/token` } },
    );
    const key = pemOf(pairFor('ES256'));
    const { fetcher } = createFetcher({ issuer: origin, client_auth: 'private_key_jwt', key }, {}, new ManualClock());
    await fetcher.fetch(undefined);
    const assertion = Object.fromEntries(arrived.at(-1)?.form ?? [])['client_assertion'] ?? '';
    expect(decodeJwt(assertion)).toMatchObject({ iat: serverMs / 1000, exp: serverMs / 1000 + 60, aud: origin });
  });

  it.each([
    [{}, 'token_endpoint'],
    [{ assertion_audience: 'https://login.bank.example' }, 'https://login.bank.example'],
  ])('with %j has the audience %s', async (more, audience) => {
    const { endpoint, arrived } = await scriptedTokenServer();
    const key = pemOf(pairFor('ES256'));
    await createFetcher({ token_endpoint: endpoint, client_auth: 'private_key_jwt', key, ...more }).fetcher.fetch(
      undefined,
    );
    const assertion = Object.fromEntries(arrived[0]?.form ?? [])['client_assertion'] ?? '';
    expect(decodeJwt(assertion).aud).toBe(audience === 'token_endpoint' ? endpoint : audience);
  });
});

import { describe, expect, it } from 'vitest';
import type { ConnectOptions } from '../../src/http/client/connect-options.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { isRequested, NO_TOKEN, type OAuth2, type Provider } from '../../src/providers/provider.ts';
import type { DerivedValues } from '../../src/providers/sign-rule.ts';
import { fixedToken } from '../../src/providers/static.ts';
import { Secret } from '../../src/secret.ts';
import type { TokenTransport } from '../../src/tokens/exchange.ts';
import type { TokenRequest } from '../../src/tokens/token-request.ts';
import { type TokenCredential, TokenSources } from '../../src/tokens/token-sources.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { callOf, expectNoSecret, LogLines } from '../support/token-fakes.ts';

const KEY = 'ck-made-up-1';
const SECRET = 'cs-made-up-1';

function credentials(values: Readonly<Record<string, string>>): TokenCredential['credentials'] {
  return new Map(Object.entries(values).map(([name, value]) => [name, new Secret(value)]));
}

function use(over: Partial<TokenCredential> = {}): TokenCredential {
  return {
    provider: mpesa,
    authServer: 'https://sandbox.safaricom.co.ke',
    credentials: credentials({ consumer_key: KEY, consumer_secret: SECRET }),
    tokenTimeoutMs: 15_000,
    ...over,
  };
}

function sources() {
  const clock = new ManualClock();
  const log = new LogLines();
  const requests: TokenRequest[] = [];
  const transport: TokenTransport = async (request) => {
    requests.push(request);
    return {
      status: 200,
      headers: {},
      body: JSON.stringify({ access_token: `t-${requests.length}`, expires_in: 100 }),
    };
  };
  return { clock, log, requests, sources: new TokenSources({ clock, log, random: () => 0, transport }) };
}

const exchange = isRequested(mpesa.token) ? mpesa.token : undefined;

/** A route whose token request has these `values`. */
function withValues(values: DerivedValues, more: Readonly<Record<string, string>> = {}): TokenCredential {
  const token = { ...exchange!, request: { ...exchange!.request, values } };
  const known = { consumer_key: KEY, consumer_secret: SECRET, ...more };
  return use({ provider: { ...mpesa, token }, credentials: credentials(known) });
}

describe('routes with one credential', () => {
  it('share one token source', () => {
    const { sources: all } = sources();
    expect(all.for(use())).toBe(all.for(use()));
  });

  it('share it whatever the order of their credentials is', () => {
    const { sources: all } = sources();
    const turned = credentials({ consumer_secret: SECRET, consumer_key: KEY });
    expect(all.for(use({ credentials: turned }))).toBe(all.for(use()));
  });

  it('share it if their providers are equal copies', () => {
    const { sources: all } = sources();
    expect(all.for(use({ provider: structuredClone(mpesa) }))).toBe(all.for(use()));
  });

  it.each<[string, Partial<TokenCredential>]>([
    [
      'a credential that the token request does not use',
      { credentials: credentials({ consumer_key: KEY, consumer_secret: SECRET, subscription_key: 'other' }) },
    ],
    ['what a dead token looks like', { provider: { ...mpesa, deadToken: [{ status: 418 }] } }],
    ['the headers of their API calls', { provider: { ...mpesa, headers: [{ name: 'a', value: 'b', mode: 'set' }] } }],
    ['the hosts of their APIs', { provider: { ...mpesa, hosts: jpay.hosts! } }],
  ])('share it even if they differ in %s', (_, other) => {
    const { sources: all } = sources();
    expect(all.for(use(other))).toBe(all.for(use()));
  });

  it('fetch one token for all their requests', async () => {
    const { sources: all, requests } = sources();
    await Promise.all(Array.from({ length: 50 }, () => all.for(use()).token()));
    expect(requests).toHaveLength(1);
  });

  it.each<[string, Partial<TokenCredential>]>([
    ['a value of a credential', { credentials: credentials({ consumer_key: KEY, consumer_secret: 'cs-made-up-2' }) }],
    ['which field has which value', { credentials: credentials({ consumer_key: SECRET, consumer_secret: KEY }) }],
    ['the auth server', { authServer: 'https://api.safaricom.co.ke' }],
    ['the name of the provider', { provider: { ...mpesa, name: 'mpesa-2' } }],
    [
      'the token request',
      { provider: { ...mpesa, token: { ...exchange!, request: { ...exchange!.request, method: 'POST' } } } },
    ],
    ['where the token is', { provider: { ...mpesa, token: { ...exchange!, response: { accessToken: 'token' } } } }],
    ['the refresh', { provider: { ...mpesa, refresh: jpay.refresh! } }],
    ['the default lifetime', { provider: { ...mpesa, defaultLifetimeS: 60 } }],
    ['what refuses the credentials', { provider: { ...mpesa, deniedToken: [{ status: 500 }] } }],
    [
      'the headers that come with the token',
      { provider: { ...mpesa, token: { ...exchange!, response: { ...exchange!.response, headers: { 'x-a': 'a' } } } } },
    ],
  ])('are two if they differ in %s', (_, other) => {
    const { sources: all } = sources();
    expect(all.for(use(other))).not.toBe(all.for(use()));
  });

  it.each<[string, (shop: string) => TokenCredential]>([
    ['a function of `values`', (shop) => withValues({ s: { hmac_sha256: shop, key: '{consumer_secret}' } })],
    ['a credential that `values` use only if it is there', (shop) => withValues({ s: { text: '{shop?}' } }, { shop })],
  ])('are two if they differ in %s', (_, route) => {
    const { sources: all } = sources();
    expect(all.for(route('1'))).toBe(all.for(route('1')));
    expect(all.for(route('1'))).not.toBe(all.for(route('2')));
  });

  it('use the default lifetime of their provider', async () => {
    const provider: Provider = { ...mpesa, token: { ...exchange!, response: { accessToken: 'access_token' } } };
    const { sources: all, clock } = sources();
    const long = await all.for(use({ provider: { ...provider, defaultLifetimeS: 3000 } })).token();
    const short = await all.for(use({ provider: { ...provider, defaultLifetimeS: 60 } })).token();
    expect(long.expiresAtMs - clock.now()).toBe(3_000_000);
    expect(short.expiresAtMs - clock.now()).toBe(60_000);
  });
});

describe('a route without token', () => {
  it('requests none, and has none to show', async () => {
    const { sources: all, requests } = sources();
    const source = all.for(use({ provider: { ...mpesa, token: NO_TOKEN } }));
    expect([source.current()?.accessToken.reveal(), (await source.token()).accessToken.reveal()]).toEqual(['', '']);
    expect([await source.renew(), source.status().token]).toEqual([undefined, undefined]);
    expect(requests).toEqual([]);
    all.retain(new Map());
  });
});

describe('routes of `provider: oauth2`', () => {
  const OAUTH2 = { clientAuth: 'private_key_jwt', issuer: 'https://login.example' } as const;
  const ASSERTION = { clientId: '{client_id}', key: '{client_key}', algorithm: 'ES256' } as const;
  const route = (more: Partial<OAuth2> = {}, fields: Record<string, string> = {}, key = 'key-made-up-1') => {
    const request = {
      method: 'POST',
      path: '/oauth2/token',
      body: { encoding: 'form', fields: { grant_type: 'client_credentials', ...fields } },
      oauth2: { ...OAUTH2, assertion: ASSERTION, ...more },
    } as const;
    const provider: Provider = { ...mpesa, name: 'oauth2', token: { request, response: exchange!.response } };
    return use({ provider, credentials: credentials({ client_id: 'c', client_key: key, value_1: 'v' }) });
  };

  it('share a token if everything is the same', () => {
    const { sources: all } = sources();
    expect(all.for(route())).toBe(all.for(route()));
  });

  it.each<[string, TokenCredential]>([
    ['the issuer', route({ issuer: 'https://login.example/' })],
    ['the client authentication', route({ clientAuth: 'client_secret_post' })],
    ['the resources', route({ resources: ['https://a.example'] })],
    ['the scope', route({}, { scope: 'payments' })],
    ['the audience', route({}, { audience: 'https://a.example' })],
    ['the key', route({}, {}, 'key-made-up-2')],
    ['the name of the key', route({ assertion: { ...ASSERTION, keyId: 'k-2' } })],
    ['the algorithm', route({ assertion: { ...ASSERTION, algorithm: 'EdDSA' } })],
    ['the audience of the assertion', route({ assertion: { ...ASSERTION, audience: 'https://b.example' } })],
    ['the client certificate', { ...route(), tokenConnection: { tls: { cert: 'c-2', key: new Secret('k-2') } } }],
  ])('have two tokens if they differ in %s', (_, other) => {
    const { sources: all } = sources();
    expect(all.for(other)).not.toBe(all.for(route()));
  });
});

describe('another way to the token endpoint', () => {
  const route = (port: number, tls: ConnectOptions['tls'] = {}): TokenCredential => {
    const proxy = { isTls: false, host: 'proxy', port, source: 'egress_proxy' };
    return { ...use(), tokenConnection: { egress: { https: proxy }, tls } };
  };

  it('keeps the token, and is used for the next one', async () => {
    const { sources: all, clock, requests } = sources();
    const before = all.for(route(1));
    const token = await before.token();
    const after = all.for(route(2, { ca: ['ca'] }));
    all.retain(new Map([[after, 15_000]]));
    expect(after.current()).toBe(token);
    expect(requests).toHaveLength(1);
    await clock.advance(token.refreshAtMs - clock.now());
    expect(requests.map(({ connection }) => connection?.egress?.https?.port)).toEqual([1, 2]);
  });

  it('passes its tokens on to the other ways in use, whose tokens it may have killed', async () => {
    const { sources: all, clock, requests } = sources();
    const [one, two] = [all.for(route(1)), all.for(route(2))];
    const bound = all.for(route(2, { cert: 'c-1', key: new Secret('k-1') }));
    const first = await one.token();
    expect(two.current()).toBe(first);
    await clock.advance(1000);
    const second = await two.reject(first, callOf('POST', '/x'));
    expect(second).not.toBe(first);
    expect([one.current(), bound.current()]).toEqual([second, undefined]);
    expect(requests.map(({ connection }) => connection?.egress?.https?.port)).toEqual([1, 2]);
  });

  it('needs another token for another server at its address', async () => {
    const { sources: all } = sources();
    await all.for(route(1)).token();
    const other = route(1);
    const tokenConnection = { ...other.tokenConnection, tokenHostHeader: 'b.example' };
    expect(all.for({ ...other, tokenConnection }).current()).toBeUndefined();
  });

  it('needs another token for another client certificate, to which the token may be bound', async () => {
    const { sources: all } = sources();
    await all.for(route(1, { cert: 'c-1', key: new Secret('k-1') })).token();
    expect(all.for(route(1, { cert: 'c-2', key: new Secret('k-2') })).current()).toBeUndefined();
    expect(all.for(route(2, { cert: 'c-1', key: new Secret('k-1') })).current()).toBeDefined();
  });
});

describe('a source for a fixed key', () => {
  const fixed = (token: string) =>
    use({ provider: fixedToken, authServer: 'https://api.example', credentials: credentials({ token }) });

  it('returns the key for ever, without a request', async () => {
    const { sources: all, clock, requests } = sources();
    const source = all.for(fixed('sk-made-up'));
    expect(source.current()?.accessToken.reveal()).toBe('sk-made-up');
    await clock.advance(400 * 86_400_000);
    expect(await source.token()).toBe(source.current());
    expect(source.current()).toMatchObject({ expiresAtMs: Infinity, lifetimeSource: 'fixed' });
    expect(requests).toHaveLength(0);
    expect(clock.timers).toBe(0);
  });

  it('has no other key after a refusal', async () => {
    const { sources: all } = sources();
    const source = all.for(fixed('sk-made-up'));
    const token = await source.token();
    source.accepted(token, callOf('GET', '/x'));
    source.refusedAgain(token, callOf('GET', '/x'));
    expect(await source.reject(token, callOf('GET', '/x'))).toBeUndefined();
    source.close();
    expect(source.current()).toBe(token);
  });

  it('is another for another key', () => {
    const { sources: all } = sources();
    expect(all.for(fixed('sk-1'))).not.toBe(all.for(fixed('sk-2')));
    expect(all.for(fixed('sk-1'))).toBe(all.for(fixed('sk-1')));
  });
});

describe('all token sources', () => {
  it('show no secret when they are printed', async () => {
    const { sources: all, log } = sources();
    await all.for(use()).token();
    all.for(use({ provider: fixedToken, credentials: credentials({ token: 'sk-made-up' }) }));
    expectNoSecret(all, KEY, SECRET, 'sk-made-up', 't-1');
    expectNoSecret(log.lines, KEY, SECRET, 'sk-made-up', 't-1');
  });

  it('are shared and stay open, however many credentials a configuration has', () => {
    const { sources: all } = sources();
    const fixed = (n: number) => use({ provider: fixedToken, credentials: credentials({ token: `sk-${n}` }) });
    const first = all.for(fixed(0));
    for (let n = 1; n <= 10_000; n++) all.for(fixed(n));
    expect(all.for(fixed(0))).toBe(first);
  });

  it('that a new configuration does not use stop refreshing, and the others continue', async () => {
    const { sources: all, clock, requests } = sources();
    const kept = all.for(use());
    const dropped = all.for(use({ authServer: 'https://api.safaricom.co.ke' }));
    for (const each of [kept, dropped]) {
      await each.token();
      each.current();
    }
    all.retain(new Map([[kept, 15_000]]));
    expect(clock.timers).toBe(1);
    await clock.advance(80_000);
    expect(requests.map(({ url }) => new URL(url).host)).toEqual([
      'sandbox.safaricom.co.ke',
      'api.safaricom.co.ke',
      'sandbox.safaricom.co.ke',
    ]);
    expect(all.for(use())).toBe(kept);
    expect(all.for(use({ authServer: 'https://api.safaricom.co.ke' }))).not.toBe(dropped);
  });

  it('give an exchange the longest time of their routes, also after a change of the configuration', async () => {
    const { sources: all, clock } = sources();
    const source = all.for(use({ tokenTimeoutMs: 20_000 }));
    expect(all.for(use({ tokenTimeoutMs: 40_000 }))).toBe(source);
    expect(all.for(use({ tokenTimeoutMs: 30_000 }))).toBe(source);
    await source.renew();
    expect(clock.delaysMs[0]).toBe(40_000);
    all.retain(new Map([[source, 30_000]]));
    await source.renew();
    expect(clock.delaysMs.filter((delayMs) => delayMs === 30_000)).toHaveLength(1);
  });

  it('stop refreshing when they are closed', async () => {
    const { sources: all, clock, requests } = sources();
    const other = use({ authServer: 'https://api.safaricom.co.ke' });
    for (const each of [use(), other]) {
      await all.for(each).token();
      all.for(each).current();
    }
    expect(clock.timers).toBe(2);
    all.close();
    expect(clock.timers).toBe(0);
    await clock.advance(100_000);
    expect(requests).toHaveLength(2);
  });
});

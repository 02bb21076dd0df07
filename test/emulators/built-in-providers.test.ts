import { describe, expect, it } from 'vitest';
import { valueAt } from '../../src/json.ts';
import { type Exchange, isRequested, type Provider } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { fill, placeholdersIn } from '../../src/providers/template.ts';
import { callApi, emulate, requestToken, routeHeaders, sampleCall, send, shape, tokenOf } from './support.ts';

/** The providers with hosts and a token endpoint. */
const withTokenEndpoint = providers.flatMap((provider): [string, { provider: Provider; token: Exchange }][] =>
  !isRequested(provider.token) || provider.hosts === undefined
    ? []
    : [[provider.name, { provider, token: provider.token }]],
);
/** The status of a created payment, if it is not 200. */
const CREATED = new Map([
  ['paypal', 201],
  ['kopokopo', 201],
  ['vodacom-mpesa', 201],
]);

describe.each(withTokenEndpoint)('the emulator of %s', (name, { provider, token }) => {
  const inRequest = Object.values(token.request.body?.fields ?? {})
    .map(String)
    .concat(token.request.basic ?? [], Object.values(token.request.headers ?? {}))
    .flatMap(placeholdersIn);

  it('issues a token that its API accepts, in a response with the fields of the real provider', async () => {
    const { emulator, clock } = await emulate(provider);
    const { status, json } = await requestToken(emulator);
    expect(status).toBe(200);
    expect(shape(json)).toEqual(shape(provider.samples.tokenResponse));
    const given = String(valueAt(json, token.response.accessToken)).replace('Bearer ', '');
    expect((await sampleCall(emulator, given)).status).toBe(CREATED.get(name) ?? 200);
    const { expiresAt } = token.response;
    const time = expiresAt === undefined ? undefined : valueAt(json, expiresAt);
    if (typeof time === 'string') {
      expect(Date.parse(time) - clock.now()).toBe(provider.samples.accessLifetimeS * 1000);
    }
  });

  it.each(inRequest)('refuses a wrong %s with the response of the real provider', async (field) => {
    const { emulator } = await emulate(provider);
    const { status, json } = await requestToken(emulator, { [field]: 'wrong' });
    expect({ status, body: json }).toEqual(provider.samples.deniedResponse);
    expect(emulator.stats()).toMatchObject({ exchanges: 0, denied: 1, tokens_alive: 0 });
  });

  it('refuses a token at the end of its lifetime', async () => {
    const { emulator, clock } = await emulate(provider);
    const given = (await tokenOf(emulator)).replace('Bearer ', '');
    await clock.advance(provider.samples.accessLifetimeS * 1000 - 1);
    expect((await sampleCall(emulator, given)).status).toBeLessThan(300);
    await clock.advance(1);
    const { status, json } = await sampleCall(emulator, given);
    expect({ status, body: json }).toEqual(provider.samples.deadTokenResponse);
  });
});

describe('the read-only call', () => {
  const withCall = withTokenEndpoint.filter(([, { provider }]) => provider.readOnlyCall !== undefined);

  it.each(withCall)('of %s is accepted by its emulator, with a token', async (_, { provider }) => {
    const { emulator } = await emulate(provider);
    const path = fill(provider.readOnlyCall!.path, (name) => emulator.credentials.get(name)?.reveal());
    const call = (token: string) => callApi(emulator, token, path, undefined, routeHeaders(emulator));
    expect((await call((await tokenOf(emulator)).replace('Bearer ', ''))).status).toBe(200);
    expect((await call('another')).json).toEqual(provider.samples.deadTokenResponse.body);
  });
});

describe('a separate token host', () => {
  it.each(withTokenEndpoint.filter(([, { provider }]) => provider.hosts?.sandbox.auth !== undefined))(
    'is the only host that issues tokens of %s',
    async (_, { provider, token }) => {
      const { emulator } = await emulate(provider);
      expect(new URL(emulator.authUrl).port).not.toBe(new URL(emulator.apiUrl).port);
      await send(emulator.apiUrl + token.request.path, { method: 'POST' });
      expect(emulator.stats().token_requests).toBe(0);
    },
  );
});

describe('a custom token header', () => {
  const base = providers.find(({ name }) => name === 'coop-bank')!;

  it.each([
    ['X-Auth-Token', '', (token: string) => token],
    ['X-Auth-Token', 'Token', (token: string) => `Token ${token}`],
    ['Authorization', 'GenieKey', (token: string) => `geniekey ${token}`],
  ])('%s with the scheme %j carries the token', async (name, scheme, value) => {
    const { emulator } = await emulate({ ...base, tokenHeader: { name, scheme } });
    const token = await tokenOf(emulator);
    const statusWith = async (headers: Record<string, string>) =>
      (await send(`${emulator.apiUrl}/x`, { headers })).status;
    expect(await statusWith({ [name]: value(token) })).toBe(200);
    expect(await statusWith({ [name]: value('other') })).toBe(401);
    expect(await statusWith({ [name]: `${value(token)} more` })).toBe(401);
    expect(await statusWith({ authorization: `Bearer ${token}` })).toBe(401);
  });
});

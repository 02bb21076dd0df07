import { describe, expect, it } from 'vitest';
import { valueAt } from '../../src/json.ts';
import { type Exchange, isFixed, type Provider } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { placeholdersIn } from '../../src/providers/template.ts';
import { ask, emulate, exchange, sampleCall, tokenOf } from './support.ts';

/** Those with hosts of their own whose token is asked for. */
const asked = providers.flatMap((provider): [string, { provider: Provider; token: Exchange }][] =>
  isFixed(provider.token) || provider.hosts === undefined ? [] : [[provider.name, { provider, token: provider.token }]],
);
/** What a payment that is made gets, where it is not 200. */
const CREATED = new Map([
  ['paypal', 201],
  ['kopokopo', 201],
]);

/** What each value is, all the way down. */
function shape(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.entries(value).map(([key, below]) => [key, shape(below)]);
}

describe.each(asked)('an emulator of %s', (name, { provider, token }) => {
  const inRequest = Object.values(token.request.body?.fields ?? {})
    .concat(token.request.basic ?? [], Object.values(token.request.headers ?? {}))
    .flatMap(placeholdersIn);

  it('gives a token that its API takes, in an answer of its own shape', async () => {
    const { emulator, clock } = await emulate(provider);
    const { status, json } = await exchange(emulator);
    expect(status).toBe(200);
    expect(shape(json)).toEqual(shape(provider.samples.tokenAnswer));
    const given = String(valueAt(json, token.response.accessToken)).replace('Bearer ', '');
    expect((await sampleCall(emulator, given)).status).toBe(CREATED.get(name) ?? 200);
    const { expiresAt } = token.response;
    const time = expiresAt === undefined ? undefined : valueAt(json, expiresAt);
    if (typeof time === 'string') {
      expect(Date.parse(time) - clock.now()).toBe(provider.samples.accessLifetimeS * 1000);
    }
  });

  it.each(inRequest)('refuses a wrong %s in its own words', async (field) => {
    const { emulator } = await emulate(provider);
    const { status, json } = await exchange(emulator, { [field]: 'wrong' });
    expect({ status, body: json }).toEqual(provider.samples.deniedAnswer);
    expect(emulator.stats()).toMatchObject({ exchanges: 0, denied: 1, tokens_alive: 0 });
  });

  it('refuses a token from the end of its lifetime on', async () => {
    const { emulator, clock } = await emulate(provider);
    const given = (await tokenOf(emulator)).replace('Bearer ', '');
    clock.advance(provider.samples.accessLifetimeS * 1000 - 1);
    expect((await sampleCall(emulator, given)).status).toBeLessThan(300);
    clock.advance(1);
    const { status, json } = await sampleCall(emulator, given);
    expect({ status, body: json }).toEqual(provider.samples.deadAnswer);
  });
});

describe('a token host of its own', () => {
  it.each(asked.filter(([, { provider }]) => provider.hosts?.sandbox.auth !== undefined))(
    'is the only one that gives out tokens of %s',
    async (_, { provider, token }) => {
      const { emulator } = await emulate(provider);
      expect(new URL(emulator.authUrl).port).not.toBe(new URL(emulator.apiUrl).port);
      await ask(emulator.apiUrl + token.request.path, { method: 'POST' });
      expect(emulator.stats().token_requests).toBe(0);
    },
  );
});

describe('a header in place of Authorization', () => {
  const base = providers.find(({ name }) => name === 'coop-bank')!;

  it.each([
    ['X-Auth-Token', '', (token: string) => token],
    ['X-Auth-Token', 'Token', (token: string) => `Token ${token}`],
    ['Authorization', 'GenieKey', (token: string) => `geniekey ${token}`],
  ])('%s with the scheme %j is where the token is looked for', async (name, scheme, value) => {
    const { emulator } = await emulate({ ...base, tokenHeader: { name, scheme } });
    const token = await tokenOf(emulator);
    const statusWith = async (headers: Record<string, string>) =>
      (await ask(`${emulator.apiUrl}/x`, { headers })).status;
    expect(await statusWith({ [name]: value(token) })).toBe(200);
    expect(await statusWith({ [name]: value('other') })).toBe(401);
    expect(await statusWith({ [name]: `${value(token)} more` })).toBe(401);
    expect(await statusWith({ authorization: `Bearer ${token}` })).toBe(401);
  });
});

import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../src/config/load.ts';
import { providers } from '../../src/providers/registry.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { startProxy } from '../support/proxy-server.ts';
import { RawUpstream, reply, TOKEN_PATH } from '../support/upstream-raw.ts';

const MOMO = { api_user: 'u', api_key: 'k', subscription_key: 's' };

function examine(route: object, environment = 'sandbox') {
  const text = JSON.stringify({ environment, routes: { '/x/*': route } });
  const { config, problems, warnings } = validateConfig('proxy.config.yaml', { readFile: () => text, env: {} });
  const values = [...(config?.routes[0]?.credentials ?? [])].map(([name, secret]) => [name, secret.reveal()]);
  return {
    values: Object.fromEntries(values) as Record<string, string>,
    problems: problems.map(({ message }) => message),
    warnings,
  };
}

describe('a credential with a default', () => {
  it.each([
    ['left out', {}],
    ['empty', { product: '', target_environment: '' }],
  ])('that is %s has the default', (_, more) => {
    const { values, problems, warnings } = examine({ provider: 'mtn-momo', credentials: { ...MOMO, ...more } });
    expect([problems, warnings]).toEqual([[], []]);
    expect(values).toEqual({ ...MOMO, product: 'collection', target_environment: 'sandbox' });
  });

  it('is the value of the user, if set', () => {
    const credentials = { ...MOMO, product: 'remittance', target_environment: 'mtnghana' };
    expect(examine({ provider: 'mtn-momo', credentials }).values).toEqual(credentials);
  });

  it.each([
    ['of all', { provider: 'mtn-momo', credentials: MOMO }, 'production'],
    ['of the route', { provider: 'mtn-momo', environment: 'production', credentials: MOMO }, 'sandbox'],
  ])('is required if it has no default for the environment %s', (_, route, environment) => {
    const { problems } = examine(route, environment);
    expect(problems).toEqual([
      expect.stringMatching(/^routes\.\/x\/\*\.credentials: `target_environment` is missing/) as string,
    ]);
  });

  it('is a known key, unlike a misspelled one', () => {
    const { problems } = examine({ provider: 'mtn-momo', credentials: { ...MOMO, produkt: 'collection' } });
    expect(problems).toEqual([expect.stringContaining('did you mean `product`?') as string]);
  });
});

describe('a credential in a header', () => {
  it.each([
    ['mtn-momo', 'subscription_key'],
    ['mtn-momo', 'target_environment'],
    ['airtel', 'country'],
    ['tingg', 'api_key'],
    ['jenga', 'api_key'],
    ['clickpesa', 'client_id'],
    ['static', 'token'],
  ])('of %s, `%s`, must be a valid header value', (name, field) => {
    const provider = providers.find((one) => one.name === name)!;
    const required = provider.credentials.filter(({ optional }) => optional !== true);
    const credentials = Object.fromEntries(required.map((one) => [one.name, 'x']));
    const upstream = provider.hosts === undefined ? { upstream: 'https://api.example.com' } : {};
    const route = (value: string) => ({ provider: name, ...upstream, credentials: { ...credentials, [field]: value } });
    expect(examine(route('fit')).problems).toEqual([]);
    expect(examine(route('two\nlines')).problems).toEqual([
      `routes./x/*.credentials.${field}: contains a character that a header cannot carry, such as a line break; remove it`,
    ]);
  });

  it('may contain anything in a body', () => {
    const credentials = { client_id: 'ü', client_secret: '\u4e2d', country: 'KE', currency: 'KES' };
    expect(examine({ provider: 'airtel', credentials }).problems).toEqual([]);
  });
});

describe('headers of a provider on API requests', () => {
  /** What the upstream gets of these headers, with and without the client's own. */
  async function sent(provider: string, credentials: Record<string, string>, headers: Record<string, string>) {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const token = { request: { path: TOKEN_PATH } };
    const route = { provider, upstream: upstream.origin, auth_server: upstream.origin, credentials, token };
    const { port, logText } = await startProxy({ routes: { '/x/*': route } });
    for (const own of [{}, headers]) expect((await sendRequest(port, '/x/pay', { headers: own })).status).toBe(200);
    expect(logText()).not.toContain('s-e-c-r-e-t');
    const got = Object.keys(headers).map((name) => upstream.requests.map((request) => request.values(name)));
    return got.map((values) => values.map((value) => value.join(' and ')));
  }

  it.each<[string, Record<string, string>, Record<string, string>, string[][]]>([
    [
      'mtn-momo',
      { ...MOMO, subscription_key: 's-e-c-r-e-t' },
      { 'ocp-apim-subscription-key': 'theirs', 'x-target-environment': 'theirs' },
      [
        ['s-e-c-r-e-t', 's-e-c-r-e-t'],
        ['sandbox', 'sandbox'],
      ],
    ],
    [
      'airtel',
      { client_id: 'i', client_secret: 's', country: 'KE', currency: 'KES' },
      { 'x-country': 'UG', 'x-currency': 'UGX' },
      [
        ['KE', 'UG'],
        ['KES', 'UGX'],
      ],
    ],
    [
      'tingg',
      { client_id: 'i', client_secret: 's', api_key: 's-e-c-r-e-t' },
      { apikey: 'theirs' },
      [['s-e-c-r-e-t', 's-e-c-r-e-t']],
    ],
  ])('are set by %s', async (provider, credentials, headers, expected) => {
    expect(await sent(provider, credentials, headers)).toEqual(expected);
  });
});

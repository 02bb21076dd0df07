import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { hasValues, valueAt } from '../../src/json.ts';
import {
  credentialDefault,
  type Exchange,
  isRequested,
  type Provider,
  type ResponseRule,
} from '../../src/providers/provider.ts';
import { providerNamed, providers } from '../../src/providers/registry.ts';
import { placeholdersIn } from '../../src/providers/template.ts';
import { readToken } from '../../src/tokens/token-response.ts';

interface WithExchange {
  readonly provider: Provider;
  readonly token: Exchange;
}

const withExchange: [string, WithExchange][] = providers.flatMap((provider): [string, WithExchange][] =>
  isRequested(provider.token) ? [[provider.name, { provider, token: provider.token }]] : [],
);

const CATALOGUE = [
  'mtn-momo',
  'airtel',
  'pesapal',
  'flutterwave',
  'paypal',
  'jenga',
  'kcb-buni',
  'coop-bank',
  'kopokopo',
  'tingg',
  'orange-money',
  'azampay',
  'clickpesa',
];

/** Their expired tokens are told from other 401 responses by the body. */
const SIGNED = ['vodacom-mpesa', 'snap-bi'];

/** Whether one of the rules matches this response. */
function isRuled(rules: readonly ResponseRule[], { status, body }: { status: number; body: unknown }): boolean {
  return rules.some((rule) => rule.status === status && hasValues(body, rule.body ?? {}));
}

function headersOf({ headers }: Provider): string[] {
  return headers.flatMap(({ value }) => (typeof value === 'string' ? [value] : Object.values(value)));
}

function textsOf({ path, query, headers, basic, body }: Exchange['request']): string[] {
  return [
    path,
    ...[query, headers, body?.fields].flatMap((fields) => Object.values(fields ?? {}).map(String)),
    ...(basic ?? []),
  ];
}

/** What is computed for each token request and call, without the rules of optional credentials. */
function computedTextsOf({ tokenHeader, sign = [] }: Provider, { values = {} }: Exchange['request']): string[] {
  const rules = sign.filter(({ when }) => when === undefined);
  const computed = [values, { value: tokenHeader?.value ?? {} }, ...rules.map((rule) => rule.values ?? {})];
  return computed.flatMap((each) => Object.values(each).flatMap((value) => Object.values(value).map(String)));
}

/** Computed values, and what calls have. */
const COMPUTED = new Set([
  'access_token',
  'at',
  'body_minified',
  'digest',
  'encrypted_key',
  'method',
  'signature',
  'target',
]);

describe('the built-in providers', () => {
  it('have unique names', () => {
    const names = ['jpay', 'mpesa', 'jeel', 'paypack', 'static', 'oauth2', ...CATALOGUE, ...SIGNED];
    expect(providers.map(({ name }) => name)).toEqual(names);
  });

  it.each(providers.map((provider) => [provider.name, provider] as const))(
    'are found by name: %s',
    (name, provider) => {
      expect(providerNamed(name)).toBe(provider);
    },
  );

  it.each(['', 'MPESA', 'm-pesa', '__proto__', 'toString'])('are not found as %j', (name) => {
    expect(providerNamed(name)).toBeUndefined();
  });

  it.each(providers.map((provider) => [provider.name, provider] as const))(
    'have sources and traps: %s',
    (_, { title, sources, traps, credentials }) => {
      for (const text of [title, ...sources, ...traps]) expect(text).not.toBe('');
      expect(sources.length * traps.length).toBeGreaterThan(0);
      expect(credentials.length).toBeGreaterThan(0);
      expect(new Set(credentials.map(({ name }) => name)).size).toBe(credentials.length);
      for (const { description } of credentials) expect(description).not.toBe('');
      // A default or an example would be shown.
      for (const field of credentials.filter(({ secret }) => secret)) {
        expect([field.default, field.example]).toEqual([undefined, undefined]);
      }
    },
  );
});

describe.each(withExchange)('%s', (_, { provider, token }) => {
  it('has https base URLs without a trailing slash', () => {
    for (const { api, auth = api } of Object.values(provider.hosts ?? {})) {
      for (const url of [api, auth]) {
        expect(url).toMatch(/^https:\/\/[a-z0-9.-]+(\/[a-z0-9/]*[a-z0-9])?$/);
      }
    }
    if (['oauth2', 'snap-bi'].includes(provider.name)) expect(provider.hosts).toBeUndefined();
    else expect(Object.keys(provider.hosts ?? {}).sort()).toEqual(['production', 'sandbox']);
  });

  it('uses each of its credentials that are not optional, and no others, for tokens, headers and signatures', () => {
    const texts = [...textsOf(token.request), ...headersOf(provider), ...computedTextsOf(provider, token.request)];
    const used = new Set(texts.flatMap(placeholdersIn).filter((name) => !COMPUTED.has(name)));
    const needed = provider.credentials.filter(({ optional }) => optional !== true);
    expect([...used].sort()).toEqual(needed.map(({ name }) => name).sort());
  });

  it('uses each optional credential in its rules, and none that it does not have', () => {
    const optional = provider.credentials.filter((field) => field.optional === true);
    const rules = provider.sign ?? [];
    const when = rules.flatMap((rule) => rule.when ?? []);
    expect(optional.map(({ name }) => name)).toEqual(expect.arrayContaining(when));
    const text = JSON.stringify(rules);
    for (const { name } of optional) expect(when.includes(name) || text.includes(`{${name}}`)).toBe(true);
  });

  it('uses a refresh token from its token response', () => {
    if (provider.refresh === undefined) {
      expect(token.response.refreshToken).toBeUndefined();
      return;
    }
    expect(textsOf(provider.refresh.request).flatMap(placeholdersIn)).toEqual(['refresh_token']);
    expect(token.response.refreshToken).toBeDefined();
    expect(provider.refresh.response.refreshToken).toBeDefined();
  });

  it('has a read-only call that needs no secret and is documented', () => {
    const { path, source } = provider.readOnlyCall ?? { path: '/none', source: 'none' };
    expect(path).toMatch(/^\/[^/]/);
    expect(source).not.toBe('');
    const shown = provider.credentials.filter(({ secret }) => !secret).map(({ name }) => name);
    expect(shown).toEqual(expect.arrayContaining(placeholdersIn(path)));
  });

  it('has its token endpoints in its token paths', () => {
    for (const { method, path } of [token.request, ...(provider.refresh ? [provider.refresh.request] : [])]) {
      expect(provider.tokenPaths).toContainEqual({ method, path });
      // The guard compares without a slash at the end.
      expect(provider.tokenPaths).toContainEqual({ method, path: path.replace(/\/$/, '') });
    }
  });

  it('has a sample response with each field that is read', () => {
    const { accessToken, expiresIn, expiresAt, refreshToken } = token.response;
    for (const path of [accessToken, expiresIn, expiresAt, refreshToken].filter((path) => path !== undefined)) {
      expect(valueAt(provider.samples.tokenResponse, path)).toBeDefined();
    }
  });

  it('recognises wrong credentials in its sample', () => {
    const { status, body } = provider.samples.deniedResponse;
    const response = { status, headers: {}, body: JSON.stringify(body) };
    const read = () => readToken(response, token.response, 60, 0, provider.deniedToken);
    expect(read).toThrow(ProxyError);
    expect(read).toThrow(expect.objectContaining({ code: 'token_denied' }) as Error);
  });

  it('has a rule for wrong credentials only if the status does not say it', () => {
    const denied = provider.samples.deniedResponse;
    const isPlain = [400, 401, 403, 422].includes(denied.status);
    expect(isRuled(provider.deniedToken ?? [], denied)).toBe(!isPlain);
    for (const { status, body } of provider.deniedToken ?? []) {
      if (status < 400 || status >= 500) expect(Object.keys(body ?? {})).not.toEqual([]);
    }
  });

  it('does not mistake a successful response for wrong credentials', () => {
    const good = { status: 200, body: provider.samples.tokenResponse };
    expect(isRuled(provider.deniedToken ?? [], good)).toBe(false);
  });

  it('recognises an expired token in its sample', () => {
    expect(isRuled(provider.deadToken, provider.samples.deadTokenResponse)).toBe(true);
  });

  it('does not mistake a 2xx for an expired token', () => {
    for (const { status } of provider.deadToken) expect(status).toBeGreaterThanOrEqual(400);
  });

  it('has a default lifetime of minutes to hours', () => {
    expect(provider.defaultLifetimeS).toBeGreaterThanOrEqual(300);
    expect(provider.defaultLifetimeS).toBeLessThanOrEqual(86_400);
  });
});

describe('facts about each provider', () => {
  it('Vodacom M-Pesa: a failed payment, 401 with INS-6, is not an expired session', () => {
    const { deadToken } = providerNamed('vodacom-mpesa')!;
    const response = (code: string) => ({ status: 401, body: { output_ResponseCode: code } });
    expect(['INS-2', 'INS-6'].map((code) => isRuled(deadToken, response(code)))).toEqual([true, false]);
  });

  it('SNAP: a wrong signature, 401xx00, is not an expired token, 401xx01', () => {
    const { deadToken } = providerNamed('snap-bi')!;
    const response = (responseMessage: string) => ({ status: 401, body: { responseMessage } });
    const messages = ['Invalid Token (B2B)', 'Invalid token (B2B)', 'Unauthorized. [Signature]'];
    expect(messages.map((message) => isRuled(deadToken, response(message)))).toEqual([true, true, false]);
  });

  it('M-Pesa: an expired token gets 401, 404 with 404.001.03 or 400 with 400.003.01', () => {
    expect(providerNamed('mpesa')?.deadToken).toEqual([
      { status: 401 },
      { status: 404, body: { errorCode: '404.001.03' } },
      { status: 400, body: { errorCode: '400.003.01' } },
    ]);
  });

  it.each(['jpay', 'jeel', 'paypack'])('%s: an expired token gets 401 with any body', (name) => {
    expect(providerNamed(name)?.deadToken).toEqual([{ status: 401 }]);
  });

  it('Jeel: the token host is not the API host', () => {
    expect(providerNamed('jeel')?.hosts).toEqual({
      sandbox: { api: 'https://api.sandbox.jeel.co', auth: 'https://auth.sandbox.jeel.co' },
      production: { api: 'https://api.jeel.co', auth: 'https://auth.jeel.co' },
    });
  });

  it('Jenga: each rule needs the private key, sets `Signature` alone, and has calls of no other rule', () => {
    const { sign = [] } = providerNamed('jenga')!;
    for (const { when, headers, json, form, query } of sign) {
      expect([when, headers, json, form, query]).toEqual([
        'private_key',
        { Signature: '{signature}' },
        undefined,
        undefined,
        undefined,
      ]);
    }
    const calls = sign.flatMap((rule) => rule.calls);
    expect(new Set(calls).size).toBe(calls.length);
    // Clients contradict each other on what is signed.
    expect(calls.filter((call) => call.includes('identity'))).toEqual([]);
  });

  it('Airtel: the PIN is added before the body is signed', () => {
    const { sign = [] } = providerNamed('airtel')!;
    expect(sign.map(({ when, json, headers }) => [when, ...Object.keys({ ...json, ...headers })])).toEqual([
      ['pin', 'pin'],
      ['message_signing', 'x-signature', 'x-key'],
    ]);
  });

  it('Paypack: one base URL, and a header for the environment unless the client sends it', () => {
    const paypack = providerNamed('paypack')!;
    expect(paypack.hosts?.sandbox).toEqual(paypack.hosts?.production);
    expect(paypack.headers).toEqual([
      { name: 'X-Webhook-Mode', value: { sandbox: 'development', production: 'production' }, mode: 'default' },
    ]);
  });

  it('Flutterwave, AzamPay and KCB: the token host is not the API host', () => {
    const auth = ['flutterwave', 'azampay', 'kcb-buni'].map((name) => providerNamed(name)?.hosts);
    expect(auth.map((hosts) => [hosts?.sandbox.auth, hosts?.production.auth])).toEqual([
      ['https://idp.flutterwave.com', 'https://idp.flutterwave.com'],
      ['https://authenticator-sandbox.azampay.co.tz', 'https://authenticator.azampay.co.tz'],
      [undefined, 'https://accounts.buni.kcbgroup.com/oauth2'],
    ]);
  });

  it.each(['coop-bank', 'orange-money', 'clickpesa'])(
    '%s: one host for both environments, and a trap says so',
    (name) => {
      const { hosts, traps } = providerNamed(name)!;
      expect(hosts?.sandbox).toEqual(hosts?.production);
      expect(traps.join('\n')).toContain('Both environments use one host');
    },
  );

  it.each(CATALOGUE)('%s: an expired token gets 401 with any body', (name) => {
    expect(providerNamed(name)?.deadToken).toEqual([{ status: 401 }]);
  });

  it.each([
    ['mtn-momo', [{ status: 500, body: { error: 'login_failed' } }]],
    ['azampay', [{ status: 423 }]],
    [
      'pesapal',
      ['invalid_consumer_key_or_secret_provided', 'consumer_key_unknown'].map((code) => ({
        status: 200,
        body: { 'error.code': code },
      })),
    ],
  ])('%s: wrong credentials get a special response', (name, rules) => {
    expect(providerNamed(name)?.deniedToken).toEqual(rules);
  });

  it.each([
    ['mtn-momo', ['Ocp-Apim-Subscription-Key', 'set'], ['X-Target-Environment', 'set']],
    ['airtel', ['X-Country', 'default'], ['X-Currency', 'default']],
    ['tingg', ['apikey', 'set']],
    ['vodacom-mpesa', ['Origin', 'set']],
    ['snap-bi', ['X-PARTNER-ID', 'default'], ['CHANNEL-ID', 'default']],
  ])('%s: sets headers on each API request', (name, ...headers) => {
    expect(providerNamed(name)?.headers.map((rule) => [rule.name, rule.mode])).toEqual(headers);
  });

  it('MTN MoMo: the product is collection by default, and production needs a country', () => {
    const fields = new Map(providerNamed('mtn-momo')?.credentials.map((field) => [field.name, field]));
    const defaults = (['sandbox', 'production'] as const).map((environment) =>
      ['product', 'target_environment', 'api_key'].map((name) => credentialDefault(fields.get(name)!, environment)),
    );
    expect(defaults).toEqual([
      ['collection', 'sandbox', undefined],
      ['collection', undefined, undefined],
    ]);
  });

  it.each([
    ['airtel', 300],
    ['pesapal', 300],
    ['flutterwave', 600],
    ['jenga', 900],
    ['jpay', 900],
    ['paypack', 900],
    ['mpesa', 3599],
    ['jeel', 1800],
    ['vodacom-mpesa', 3000],
    ['snap-bi', 900],
  ])('%s: a token without a lifetime lives %d s', (name, seconds) => {
    expect(providerNamed(name)?.defaultLifetimeS).toBe(seconds);
  });
});

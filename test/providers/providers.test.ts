import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { valueAt } from '../../src/json.ts';
import { type Exchange, isFixed, type Provider } from '../../src/providers/provider.ts';
import { providerNamed, providers } from '../../src/providers/registry.ts';
import { placeholdersIn } from '../../src/providers/template.ts';
import { readToken } from '../../src/tokens/answer.ts';

interface Asked {
  readonly provider: Provider;
  readonly token: Exchange;
}

const asked: [string, Asked][] = providers.flatMap((provider): [string, Asked][] =>
  isFixed(provider.token) ? [] : [[provider.name, { provider, token: provider.token }]],
);

function textsOf({ path, query, headers, basic, body }: Exchange['request']): string[] {
  return [path, ...[query, headers, body?.fields].flatMap((fields) => Object.values(fields ?? {})), ...(basic ?? [])];
}

describe('the built-in providers', () => {
  it('are the four and the fixed key, each under one name', () => {
    expect(providers.map(({ name }) => name)).toEqual(['jpay', 'mpesa', 'jeel', 'paypack', 'static']);
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
    'say where the facts about %s come from, and what to trip over',
    (_, { title, sources, traps, credentials }) => {
      for (const text of [title, ...sources, ...traps]) expect(text).not.toBe('');
      expect(sources.length * traps.length).toBeGreaterThan(0);
      expect(credentials.length).toBeGreaterThan(0);
      expect(new Set(credentials.map(({ name }) => name)).size).toBe(credentials.length);
      for (const { description } of credentials) expect(description).not.toBe('');
    },
  );
});

describe.each(asked)('%s', (_, { provider, token }) => {
  it('is reached by https, at base URLs without a trailing slash', () => {
    for (const { api, auth = api } of Object.values(provider.hosts ?? {})) {
      for (const url of [api, auth]) {
        expect(url).toMatch(/^https:\/\/[a-z0-9.]+(\/[a-z0-9/]*[a-z0-9])?$/);
      }
    }
    expect(Object.keys(provider.hosts ?? {}).sort()).toEqual(['production', 'sandbox']);
  });

  it('asks with credentials that it has, and uses every one of them', () => {
    const used = new Set(textsOf(token.request).flatMap(placeholdersIn));
    expect([...used].sort()).toEqual(provider.credentials.map(({ name }) => name).sort());
  });

  it('refreshes with a refresh token, and gets one with its token', () => {
    if (provider.refresh === undefined) {
      expect(token.response.refreshToken).toBeUndefined();
      return;
    }
    expect(textsOf(provider.refresh.request).flatMap(placeholdersIn)).toEqual(['refresh_token']);
    expect(token.response.refreshToken).toBeDefined();
    expect(provider.refresh.response.refreshToken).toBeDefined();
  });

  it('keeps clients away from its own token endpoints', () => {
    for (const { method, path } of [token.request, ...(provider.refresh ? [provider.refresh.request] : [])]) {
      expect(provider.tokenPaths).toContainEqual({ method, path });
    }
  });

  it('has a sample answer with a place for each field that is read', () => {
    for (const path of Object.values(token.response) as string[]) {
      expect(valueAt(provider.samples.tokenAnswer, path)).toBeDefined();
    }
  });

  it('tells wrong credentials from trouble by its own sample', () => {
    const { status, body } = provider.samples.deniedAnswer;
    const read = () => readToken({ status, headers: {}, body: JSON.stringify(body) }, token.response, 60, 0);
    expect(read).toThrow(ProxyError);
    expect(read).toThrow(expect.objectContaining({ code: 'token_denied' }) as Error);
  });

  it('knows a dead token by its own sample', () => {
    const { status, body } = provider.samples.deadAnswer;
    const dead = provider.deadToken.some(
      (rule) =>
        rule.status === status &&
        Object.entries(rule.body ?? {}).every(([path, value]) => valueAt(body, path) === value),
    );
    expect(dead).toBe(true);
  });

  it('takes no 2xx for a dead token', () => {
    for (const { status } of provider.deadToken) expect(status).toBeGreaterThanOrEqual(400);
  });

  it('has a default lifetime of minutes to hours', () => {
    expect(provider.defaultLifetimeS).toBeGreaterThanOrEqual(300);
    expect(provider.defaultLifetimeS).toBeLessThanOrEqual(86_400);
  });
});

describe('what is known of each provider', () => {
  it('M-Pesa: a dead token is 401, 404 with 404.001.03 or 400 with 400.003.01', () => {
    expect(providerNamed('mpesa')?.deadToken).toEqual([
      { status: 401 },
      { status: 404, body: { errorCode: '404.001.03' } },
      { status: 400, body: { errorCode: '400.003.01' } },
    ]);
  });

  it.each(['jpay', 'jeel', 'paypack'])('%s: a dead token is 401, whatever the body', (name) => {
    expect(providerNamed(name)?.deadToken).toEqual([{ status: 401 }]);
  });

  it('Jeel: the token host is not the API host', () => {
    expect(providerNamed('jeel')?.hosts).toEqual({
      sandbox: { api: 'https://api.sandbox.jeel.co', auth: 'https://auth.sandbox.jeel.co' },
      production: { api: 'https://api.jeel.co', auth: 'https://auth.jeel.co' },
    });
  });

  it('Paypack: one base URL, and a header that tells the environments apart unless the client sends it', () => {
    const paypack = providerNamed('paypack')!;
    expect(paypack.hosts?.sandbox).toEqual(paypack.hosts?.production);
    expect(paypack.headers).toEqual([
      { name: 'X-Webhook-Mode', value: { sandbox: 'development', production: 'production' }, mode: 'default' },
    ]);
  });

  it.each([
    ['jpay', 900],
    ['paypack', 900],
    ['mpesa', 3599],
    ['jeel', 1800],
  ])('%s: a token that says nothing lives %d s', (name, seconds) => {
    expect(providerNamed(name)?.defaultLifetimeS).toBe(seconds);
  });
});

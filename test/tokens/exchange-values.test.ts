import { constants, createPublicKey, privateDecrypt, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EMULATED_PRIVATE_KEY } from '../../src/emulators/emulated-keys.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import type { Exchange, Provider } from '../../src/providers/provider.ts';
import type { DerivedValues } from '../../src/providers/sign-rule.ts';
import { Secret } from '../../src/secret.ts';
import { ProviderTokenFetcher, type TokenTransport } from '../../src/tokens/exchange.ts';
import { ExchangeStats } from '../../src/tokens/exchange-stats.ts';
import type { TokenRequest } from '../../src/tokens/token-request.ts';
import type { TokenResponse } from '../../src/tokens/token-response.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { expectNoSecret, LogLines, refusalOf } from '../support/token-fakes.ts';

const CREDENTIALS = { client_id: 'emulated-client', secret: 'value-secret-1', private_key: EMULATED_PRIVATE_KEY };

const RESPONSE = { accessToken: 'token', refreshToken: 'refresh', expiresIn: 'expires_in' };

/** A token request with these values, all of which are sent as fields of the body. */
function exchangeWith(values: DerivedValues): Exchange {
  const fields = Object.fromEntries(Object.keys(values).map((name) => [name, `{${name}}`]));
  const request = { method: 'POST', path: '/token', values, body: { encoding: 'json', fields } } as const;
  return { request, response: RESPONSE };
}

type Respond = (fields: Readonly<Record<string, string>>, request: number) => Partial<TokenResponse>;

const issue: Respond = (_, number) => ({ body: JSON.stringify({ token: `t-${number}`, refresh: `r-${number}` }) });

function fetcherOf(token: Exchange, { refresh, respond = issue, credentials = {} }: Setup = {}) {
  const clock = new ManualClock(Date.parse('2026-01-01T12:00:00.123Z'));
  const log = new LogLines();
  const sent: Record<string, string>[] = [];
  const transport: TokenTransport = async ({ body }: TokenRequest) => {
    const fields = JSON.parse(Buffer.from(body ?? []).toString()) as Record<string, string>;
    sent.push(fields);
    return { status: 200, headers: {}, body: '', ...respond(fields, sent.length) };
  };
  const all = { ...CREDENTIALS, ...credentials };
  const fields = Object.keys(all).map((name) => ({ name, description: '', secret: name !== 'client_id' }));
  const provider: Provider = { ...mpesa, name: 'acme', credentials: fields, token, ...(refresh && { refresh }) };
  const fetcher = new ProviderTokenFetcher({
    provider,
    token,
    authServer: 'https://login.acme.example',
    credentials: new Map(Object.entries(all).map(([name, value]) => [name, new Secret(value)])),
    transport,
    clock,
    log,
    stats: new ExchangeStats(),
    tokenTimeoutMs: 15_000,
  });
  return { fetcher, clock, log, sent };
}

interface Setup {
  readonly refresh?: Exchange;
  readonly respond?: Respond;
  readonly credentials?: Readonly<Record<string, string>>;
}

const SIGNED: DerivedValues = {
  at: { now: 'iso8601', zone: '+07:00' },
  signature: { rsa_sha256: '{client_id}|{at}', key: '{private_key}' },
};

function isSignatureOf(text: string, signature = ''): boolean {
  return verify('sha256', Buffer.from(text), createPublicKey(EMULATED_PRIVATE_KEY), Buffer.from(signature, 'base64'));
}

describe('values of a token request', () => {
  it('are computed from credentials and earlier values', async () => {
    const { fetcher, sent } = fetcherOf(exchangeWith(SIGNED));
    await fetcher.fetch(undefined);
    expect(sent[0]?.['at']).toBe('2026-01-01T19:00:00+07:00');
    expect(isSignatureOf('emulated-client|2026-01-01T19:00:00+07:00', sent[0]?.['signature'])).toBe(true);
  });

  it('have the time of the token endpoint, as soon as it is known', async () => {
    const headers = { date: 'Thu, 01 Jan 2026 13:00:00 GMT' };
    const respond: Respond = (fields, number) => ({ ...issue(fields, number), headers });
    const { fetcher, sent } = fetcherOf(exchangeWith({ at: { now: 'iso8601' } }), { respond });
    await fetcher.fetch(undefined);
    await fetcher.fetch(undefined);
    expect(sent.map(({ at }) => at)).toEqual(['2026-01-01T12:00:00Z', '2026-01-01T13:00:00Z']);
  });

  it('are new for each request', async () => {
    const { fetcher, sent } = fetcherOf(exchangeWith({ id: { uuid: 'v4' }, nonce: { random: 16 } }));
    await fetcher.fetch(undefined);
    await fetcher.fetch(undefined);
    expect(new Set(sent.flatMap(({ id, nonce }) => [id, nonce])).size).toBe(4);
  });

  it('keep characters outside ASCII', async () => {
    const { fetcher, sent } = fetcherOf(exchangeWith({ v: { text: '{name}: {secret}' } }), {
      credentials: { name: 'Zoë €' },
    });
    await fetcher.fetch(undefined);
    expect(sent[0]).toEqual({ v: 'Zoë €: value-secret-1' });
  });

  it('of a refresh have the newest refresh token, also if the credential is one', async () => {
    const refresh = exchangeWith({ seal: { text: '{client_id} {refresh_token}' } });
    const { fetcher, sent } = fetcherOf(exchangeWith(SIGNED), { refresh, credentials: { refresh_token: 'r-0' } });
    await fetcher.fetch(new Secret('r-1'));
    await fetcher.fetch(new Secret('r-2'));
    expect(sent).toEqual([{ seal: 'emulated-client r-1' }, { seal: 'emulated-client r-2' }]);
  });

  it('are not logged if the provider repeats them, but times are', async () => {
    const respond: Respond = (fields) => ({ status: 401, body: JSON.stringify({ said: fields }) });
    const values = { ...SIGNED, password: { text: '{secret}{at}', encoding: 'base64' } } as const;
    const { fetcher, log, sent } = fetcherOf(exchangeWith(values), { respond });
    await refusalOf(fetcher.fetch(undefined));
    const { password = '', signature = '' } = sent[0]!;
    // What the provider said is cut.
    expectNoSecret(log.lines, password, signature.slice(0, 40), 'value-secret-1');
    expect(log.lines[0]?.fields['provider_said']).toContain('2026-01-01T19:00:00+07:00');
  });

  it('that cannot be computed are a clear failure before anything is sent', async () => {
    const publicKey = createPublicKey(EMULATED_PRIVATE_KEY).export({ type: 'spki', format: 'pem' }).toString();
    const values = { sealed: { rsa_encrypt: '{secret}', key: '{public_key}', padding: 'pkcs1' } } as const;
    const short = fetcherOf(exchangeWith(values), { credentials: { public_key: publicKey } });
    await short.fetcher.fetch(undefined);
    const sealed = { key: EMULATED_PRIVATE_KEY, padding: constants.RSA_NO_PADDING };
    const opened = privateDecrypt(sealed, Buffer.from(short.sent[0]!['sealed']!, 'base64'));
    expect(opened.toString('latin1')).toMatch(/\0value-secret-1$/);

    const secret = 'value-secret-'.repeat(40);
    const long = fetcherOf(exchangeWith(values), { credentials: { public_key: publicKey, secret } });
    const refused = await refusalOf(long.fetcher.fetch(undefined));
    expect(refused).toMatchObject({
      code: 'token_unavailable',
      outcome: 'not_sent',
      reason: { kind: 'value_impossible' },
    });
    expect(long.sent).toEqual([]);
    expect(long.log.lines).toHaveLength(1);
    const { hint, error } = long.log.lines[0]!.fields;
    expect(error).toMatch(/^The token request failed: The text to encrypt is longer than .*[^.]\.$/);
    expect(hint).toContain('`secret` and `public_key`');
    expectNoSecret([refused, long.log.lines], secret);
  });
});

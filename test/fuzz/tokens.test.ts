import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { isRequested } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import type { Token } from '../../src/tokens/token.ts';
import { readToken, type TokenResponse } from '../../src/tokens/token-response.ts';
import { printed } from '../support/token-fakes.ts';
import { type Chance, fuzz } from './random.ts';

const NOW = Date.UTC(2026, 0, 1, 9);
const CANARY = 'canary-token-0123456789';
const KNOWN = new Map(
  providers.flatMap(({ token }) =>
    isRequested(token) ? [[JSON.stringify(token.response), token.response] as const] : [],
  ),
);
const RESPONSES = [
  ...KNOWN.values(),
  { accessToken: 'data.token', expiresIn: 'data.ttl', expiresAt: 'data.until', refreshToken: 'data.refresh' },
  { accessToken: '__proto__.token', expiresIn: 'constructor.name' },
  { accessToken: 'list.0.token', expiresAt: 'list.0.until' },
];
type Input = { readonly tokenResponse: TokenResponse; readonly response: (typeof RESPONSES)[number] };

const jwt = (claims: unknown) =>
  ['{}', JSON.stringify(claims), 'x'].map((part) => Buffer.from(part).toString('base64url'));
const TOKENS = [
  ...[
    CANARY,
    `Bearer ${CANARY}`,
    `bearer  ${CANARY} `,
    `${CANARY}\r\nx: y`,
    `${CANARY} x`,
    `${CANARY}\u0000`,
    `é${CANARY}`,
  ],
  ...['', ' ', 'Bearer', 'Bearer ', '.', '..', '...', `${CANARY}.e30.`, `${CANARY}.bnVsbA.`, CANARY.repeat(500)],
];
const JWTS = [
  ...[
    { exp: NOW / 1000 + 900 },
    { exp: 0 },
    { exp: -1e300 },
    { exp: '9e9' },
    { exp: 1e400 },
    { exp: {} },
    null,
    [],
    7,
  ].map((claims) => `${jwt(claims).join('.')}${CANARY}`),
];
const TIMES = [
  ...[0, -0, 1, 0.5, 1e-9, 5e-324, -1, 3599, 1e9, 1e11, 1e12, 1e17, 1e300, 1.7e308, NOW, NOW / 1000, NOW + 900_000],
  ...['', '0', '3599', ' 60 ', '1e3', '0x10', '+60', '-60', '1_000', '99999999999999999999', 'soon', 'Infinity', 'NaN'],
  ...['2026-01-01T10:00:00Z', '2026-01-01T10:00:00', '2026-13-45', '2026', 'Thu, 01 Jan 2026 10:00:00 GMT', '١٢٣'],
  ...[null, true, false, {}, [], [60], { seconds: 60 }],
];
const STATUSES = [0, 100, 199, 201, 204, 299, 300, 302, 400, 401, 403, 404, 422, 429, 500, 503, 600];
const OTHERS: readonly unknown[] = [
  ...TOKENS,
  ...TIMES,
  7,
  { token: CANARY },
  [{ token: CANARY, until: NOW + 900_000 }],
];
const DATES = ['Thu, 01 Jan 2026 09:00:00 GMT', 'Thu, 01 Jan 1970 00:00:00 GMT', '0', 'x', '', '275760-09-13', '9e99'];
const PIECES = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\\',
  '\\u0000',
  '\\ud800',
  '\0',
  '\ufeff',
  '1e999',
  'null',
  '\n',
  CANARY,
];

function randomInput(chance: Chance): Input {
  const response = chance.pick(RESPONSES);
  const root: Record<string, unknown> = {};
  const token: unknown = chance.oneIn(12) ? chance.pick(OTHERS) : chance.pick(chance.oneIn(3) ? JWTS : TOKENS);
  put(root, response.accessToken, token);
  for (const path of (Object.values(response) as string[]).slice(1)) {
    if (chance.oneIn(3)) put(root, path, chance.oneIn(8) ? chance.pick(OTHERS) : chance.pick(TIMES));
  }
  const value: unknown = chance.oneIn(20) ? chance.pick(OTHERS) : root;
  const json = JSON.stringify(value);
  const body = chance.oneIn(5) ? chance.mutate(json, PIECES) : chance.oneIn(40) ? `<html>${json}` : json;
  const headers = {
    ...(chance.oneIn(2) && { date: chance.pick(DATES) }),
    ...(chance.oneIn(3) && { 'retry-after': chance.pick([...DATES, '5', '-5', '1e9', '99999999999', '0.5']) }),
    ...(chance.oneIn(3) && { 'content-type': chance.pick(['text/html', 'application/json', 'x']) }),
  };
  return { response, tokenResponse: { status: chance.oneIn(4) ? chance.pick(STATUSES) : 200, headers, body } };
}

function put(root: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split('.');
  let at = root;
  for (const key of keys.slice(0, -1)) {
    const below = Object.hasOwn(at, key) ? (at[key] as Record<string, unknown>) : {};
    Object.defineProperty(at, key, { value: below, enumerable: true, configurable: true, writable: true });
    at = below;
  }
  Object.defineProperty(at, keys.at(-1) ?? '', { value, enumerable: true, configurable: true, writable: true });
}

function read({ tokenResponse: given, response }: Input): Token | ProxyError {
  try {
    return readToken(given, response, 300, NOW);
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
}

function check(input: Input): void {
  const outcome = read(input);
  if (outcome instanceof ProxyError) {
    if (outcome.code !== 'token_denied' && outcome.code !== 'token_unavailable')
      throw new Error(`code ${outcome.code}`);
    const { retryAfterS = 1 } = outcome;
    if (!(Number.isInteger(retryAfterS) && retryAfterS >= 1 && retryAfterS <= 3600)) throw new Error('Retry-After');
    if (printed(outcome).includes(CANARY)) throw new Error(`the error contains the token: ${outcome.message}`);
    return;
  }
  const value = outcome.accessToken.reveal();
  if (!/^[!-~]{1,8192}$/.test(value)) throw new Error('the token does not fit into a header');
  const lifetimeMs = outcome.expiresAtMs - outcome.issuedAtMs;
  if (!(lifetimeMs > 0 && Number.isFinite(lifetimeMs))) throw new Error(`the lifetime is ${lifetimeMs} ms`);
  if (!(outcome.refreshAtMs >= outcome.issuedAtMs && outcome.refreshAtMs <= outcome.expiresAtMs)) {
    throw new Error('the refresh time is outside the lifetime');
  }
  if (printed(outcome).includes(CANARY)) throw new Error('the token can be printed');
  if (input.tokenResponse.status < 200 || input.tokenResponse.status > 299)
    throw new Error('a token was read from an error response');
}

describe('a token response', () => {
  it('results in a valid token or in an error without the token', async () => {
    await fuzz({ name: 'token responses', count: 40_000, make: randomInput, check });
  });

  it('results in every kind of token and error', async () => {
    const seen = new Map<string, number>();
    const count = (key: string) => void seen.set(key, (seen.get(key) ?? 0) + 1);
    await fuzz({
      name: 'kinds of token responses',
      count: 2000,
      make: randomInput,
      check: (input) => {
        const outcome = read(input);
        count(outcome instanceof ProxyError ? outcome.code : outcome.lifetimeSource);
      },
    });
    const kinds = [
      'default',
      'default_expired',
      'expires_at',
      'expires_in',
      'jwt',
      'token_denied',
      'token_unavailable',
    ];
    expect([...seen.keys()].sort()).toEqual(kinds);
    expect(Math.min(...seen.values())).toBeGreaterThan(10);
  });
});

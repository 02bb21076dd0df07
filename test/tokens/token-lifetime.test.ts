import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { JsonObject, JsonValue } from '../../src/json.ts';
import type { ExchangeResponse } from '../../src/providers/provider.ts';
import { jwtShaped } from '../../src/providers/sample-response.ts';
import { tokenLifetime } from '../../src/tokens/token-response.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 9);
const NOW_S = NOW_MS / 1000;
const DEFAULT_S = 777;
const YEAR_MS = 366 * 86_400_000;
const HOUR_MS = 3_600_000;
const BOTH: ExchangeResponse = { accessToken: 'token', expiresIn: 'in', expiresAt: 'at' };

interface Case {
  readonly in?: JsonValue;
  readonly at?: JsonValue;
  readonly token?: string;
  readonly serverNowMs?: number;
}

function lifetime({ token = 'opaque', serverNowMs, ...body }: Case, response = BOTH) {
  return tokenLifetime(body, response, token, DEFAULT_S, { nowMs: NOW_MS, serverNowMs });
}

const jwt = (payload: JsonObject) => jwtShaped(payload);

/** The lifetime of a token whose response says in `field` that it has expired. */
const defaultFor = (field: string, value: string) => ({
  lifetimeMs: DEFAULT_S * 1000,
  source: 'default_expired',
  expired: { field, value },
});

describe('a relative lifetime', () => {
  it.each<[JsonValue, number]>([
    [3599, 3_599_000],
    ['3599', 3_599_000],
    [' 3599 ', 3_599_000],
    [0.5, 500],
    ['1.25', 1250],
    [20, 20_000],
  ])('is read from %j', (value, lifetimeMs) => {
    expect(lifetime({ in: value })).toEqual({ lifetimeMs, source: 'expires_in' });
  });

  it.each<JsonValue>([0, '0', -1, '-1', -0.001, '-3599', 0.0005])('of %j is replaced by the default', (value) => {
    expect(lifetime({ in: value })).toEqual(defaultFor('in', String(value)));
  });

  it.each<JsonValue>(['', 'soon', 'never', '3599s', '0x10', '1e3', 'NaN', 'Infinity', null, true, [60], { s: 60 }])(
    'of %j is ignored',
    (value) => {
      expect(lifetime({ in: value })).toEqual({ lifetimeMs: DEFAULT_S * 1000, source: 'default' });
    },
  );

  it('is at most a year', () => {
    expect(lifetime({ in: YEAR_MS / 1000 - 1 }).lifetimeMs).toBe(YEAR_MS - 1000);
    expect(lifetime({ in: YEAR_MS / 1000 }).lifetimeMs).toBe(YEAR_MS);
    expect(lifetime({ in: YEAR_MS / 1000 + 1 }).lifetimeMs).toBe(YEAR_MS);
    expect(lifetime({ in: 1e308 }).lifetimeMs).toBe(YEAR_MS);
    expect(lifetime({ in: '9'.repeat(400) }).lifetimeMs).toBe(YEAR_MS);
  });

  it.each([-HOUR_MS, HOUR_MS])("does not depend on a server's clock that is off by %d ms", (skewMs) => {
    expect(lifetime({ in: 60, serverNowMs: NOW_MS + skewMs }).lifetimeMs).toBe(60_000);
  });

  it('takes precedence over an absolute expiry and over the JWT', () => {
    const body = { in: 60, at: NOW_S + 120, token: jwt({ exp: NOW_S + 180 }) };
    expect(lifetime(body)).toEqual({ lifetimeMs: 60_000, source: 'expires_in' });
  });

  it('is not read if the exchange names no field', () => {
    expect(lifetime({ in: 60 }, { accessToken: 'token' }).source).toBe('default');
  });

  it('is read at a dotted path', () => {
    const response = { accessToken: 'token', expiresIn: 'data.token.ttl' };
    const body = { data: { token: { ttl: 90 } } };
    expect(tokenLifetime(body, response, 'opaque', DEFAULT_S, { nowMs: NOW_MS, serverNowMs: undefined })).toEqual({
      lifetimeMs: 90_000,
      source: 'expires_in',
    });
  });
});

describe('an absolute expiry', () => {
  it.each<[JsonValue, number]>([
    [NOW_S + 900, 900_000],
    [String(NOW_S + 900), 900_000],
    [NOW_S + 0.5, 500],
    [NOW_MS + 900_000, 900_000],
    [String(NOW_MS + 900_000), 900_000],
    ['2026-01-01T09:15:00Z', 900_000],
    ['2026-01-01T09:15:00', 900_000],
    ['2026-01-01 09:15:00', 900_000],
    ['2026-01-01T09:15:00.1234567Z', 900_123],
    ['2026-01-01T09:15:00.1234567', 900_123],
    ['2026-01-01T12:15:00+03:00', 900_000],
    ['2026-01-01T12:15:00+0300', 900_000],
    ['2026-01-01T04:15:00-05:00', 900_000],
    ['2026-01-02', 15 * HOUR_MS],
    ['Thu, 01 Jan 2026 09:15:00 GMT', 900_000],
  ])('is read from %j', (value, lifetimeMs) => {
    expect(lifetime({ at: value })).toEqual({ lifetimeMs, source: 'expires_at' });
  });

  it.each(['Africa/Nairobi', 'America/Sao_Paulo'])('without a time zone is in UTC, though this runs in %s', (zone) => {
    vi.stubEnv('TZ', zone);
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(new Date(2026, 0, 1).getTime()).not.toBe(Date.UTC(2026, 0, 1));
    expect(lifetime({ at: '2026-01-01T09:15:00.1234567' }).lifetimeMs).toBe(900_123);
    expect(lifetime({ at: '2026-01-01 09:15:00' }).lifetimeMs).toBe(900_000);
  });

  it('is in seconds up to the year 5138, and in milliseconds above', () => {
    expect(lifetime({ at: 1e11 - 1 }).lifetimeMs).toBe(YEAR_MS);
    expect(lifetime({ at: 1e11 })).toEqual(defaultFor('at', '100000000000'));
  });

  it.each<JsonValue>([
    NOW_S,
    NOW_S - 1,
    NOW_MS,
    0,
    -1,
    3600,
    '2026-01-01T09:00:00Z',
    '2025-12-31T23:59:59.9999999',
    '0001-01-01T00:00:00',
  ])('of %j, which is past, is replaced by the default', (value) => {
    expect(lifetime({ at: value })).toEqual(defaultFor('at', String(value)));
  });

  it('that is past is shown up to 40 characters', () => {
    const at = `Thu, 01 Jan 2026 08:00:00 GMT (${'x'.repeat(100)})Z`;
    expect(lifetime({ at }).expired?.value).toBe(at.slice(0, 40));
  });

  it('in one millisecond is still in the future', () => {
    expect(lifetime({ at: NOW_MS + 1 }).lifetimeMs).toBe(1);
  });

  it.each<JsonValue>(['', 'tomorrow', '2026-13-45T99:00:00Z', null, false, {}, []])('of %j is ignored', (value) => {
    expect(lifetime({ at: value }).source).toBe('default');
  });

  it.each([-HOUR_MS, HOUR_MS])("is relative to the server's clock, which differs by %d ms", (skewMs) => {
    const at = new Date(NOW_MS + skewMs + 300_000).toISOString();
    expect(lifetime({ at, serverNowMs: NOW_MS + skewMs }).lifetimeMs).toBe(300_000);
    expect(lifetime({ at: (NOW_MS + skewMs) / 1000 + 300, serverNowMs: NOW_MS + skewMs }).lifetimeMs).toBe(300_000);
  });

  it('is relative to our clock if the server sends no time', () => {
    expect(lifetime({ at: NOW_S + 300 }).lifetimeMs).toBe(300_000);
  });

  it('is used if the relative one is invalid', () => {
    expect(lifetime({ in: 'soon', at: NOW_S + 60, token: jwt({ exp: NOW_S + 180 }) }).source).toBe('expires_at');
  });
});

describe('the expiry of a JWT', () => {
  it.each<[JsonValue, number]>([
    [NOW_S + 900, 900_000],
    [NOW_S + 900.5, 900_500],
    [String(NOW_S + 900), 900_000],
  ])('is read from an exp of %j', (exp, lifetimeMs) => {
    expect(lifetime({ token: jwt({ exp }) })).toEqual({ lifetimeMs, source: 'jwt' });
  });

  it.each([-HOUR_MS, HOUR_MS])("is relative to the server's clock, which differs by %d ms", (skewMs) => {
    const token = jwt({ exp: (NOW_MS + skewMs) / 1000 + 900 });
    expect(lifetime({ token, serverNowMs: NOW_MS + skewMs }).lifetimeMs).toBe(900_000);
  });

  it('in the past is replaced by the default', () => {
    expect(lifetime({ token: jwt({ exp: NOW_S }) })).toEqual(defaultFor('exp', String(NOW_S)));
  });

  it('is used if both fields say that the token has expired', () => {
    expect(lifetime({ in: 0, at: NOW_S - 1, token: jwt({ exp: NOW_S + 9 }) })).toEqual({
      lifetimeMs: 9000,
      source: 'jwt',
      expired: { field: 'in', value: '0' },
    });
  });

  it('is used if both fields are invalid', () => {
    expect(lifetime({ in: null, at: 'x', token: jwt({ exp: NOW_S + 9 }) })).toEqual({
      lifetimeMs: 9000,
      source: 'jwt',
    });
  });

  it('is read if the payload is not ASCII', () => {
    const token = jwtShaped({ name: 'Müller 支付', exp: NOW_S + 60 });
    expect(lifetime({ token }).lifetimeMs).toBe(60_000);
  });

  it.each([
    ['a JWT without exp', jwt({})],
    ['a JWT whose exp is no time', jwt({ exp: 'soon' })],
    ['an opaque token', 'c9SQxWWhmdVRlyh0zh8gZDTkubVF'],
    ['an opaque token with dots', 'abc.def.ghi'],
    ['a token whose middle is no object', `a.${Buffer.from('1').toString('base64url')}.c`],
    ['a token whose middle is null', `a.${Buffer.from('null').toString('base64url')}.c`],
    ['an encrypted JWT', 'eyJhbGciOiJSU0EifQ.Y2lwaGVy.aXY.Y3Q.dGFn'],
    ['dots alone', '...'],
  ])('is missing in %s, so the default is used', (_, token) => {
    expect(lifetime({ token })).toEqual({ lifetimeMs: DEFAULT_S * 1000, source: 'default' });
  });
});

import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/json.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { paypack } from '../../src/providers/paypack.ts';
import { type ExchangeResponse, isRequested, type Provider } from '../../src/providers/provider.ts';
import { jwtShaped, sampleTokenResponse } from '../../src/providers/sample-response.ts';

const nowMs = Date.UTC(2026, 0, 1, 9);
const values = { accessToken: 'access-1', refreshToken: 'refresh-1', lifetimeS: 120, nowMs };

function responseOf(provider: Provider, over: Partial<typeof values> = {}) {
  if (!isRequested(provider.token)) throw new Error('no exchange');
  return sampleTokenResponse(provider, provider.token.response, { ...values, ...over });
}

function withSample(sample: JsonObject, response: ExchangeResponse) {
  return sampleTokenResponse({ ...mpesa, samples: { ...mpesa.samples, tokenResponse: sample } }, response, values);
}

describe('token response', () => {
  it('keeps a lifetime in a string a string', () => {
    expect(responseOf(mpesa)).toEqual({ access_token: 'access-1', expires_in: '120' });
  });

  it('keeps an absolute expiry in epoch seconds', () => {
    expect(responseOf(paypack)).toEqual({ access: 'access-1', refresh: 'refresh-1', expires: nowMs / 1000 + 120 });
  });

  it('keeps the other fields of the sample', () => {
    expect(responseOf(jpay)).toEqual({
      access: 'access-1',
      refresh: 'refresh-1',
      merchant_id: 4021,
      app_code: 7310,
      products: ['collections', 'payouts'],
    });
  });

  it('keeps the lifetime of the sample if it is infinite', () => {
    expect(responseOf(mpesa, { lifetimeS: Infinity })).toMatchObject({ expires_in: '3599' });
  });

  it.each([
    ['2024-01-01T00:00:00.1234567Z', '2026-01-01T09:02:00.0000000Z'],
    ['2024-01-01T00:00:00Z', '2026-01-01T09:02:00Z'],
    ['2024-01-01T00:00:00.123', '2026-01-01T09:02:00.000'],
    [1_700_000_000_000, nowMs + 120_000],
    ['1700000000', String(nowMs / 1000 + 120)],
  ])('formats a point in time like %s', (sample, expected) => {
    expect(withSample({ token: '', at: sample }, { accessToken: 'token', expiresAt: 'at' })).toMatchObject({
      at: expected,
    });
  });

  it('fills nested paths, and keeps the "Bearer " of the sample', () => {
    const sample = { data: { token: 'Bearer x', kind: 'app' } };
    expect(withSample(sample, { accessToken: 'data.token' })).toEqual({
      data: { token: 'Bearer access-1', kind: 'app' },
    });
  });

  it('has three parts, the second is the payload', () => {
    const parts = jwtShaped({ iss: 'someone', exp: 5 }).split('.');
    expect(parts).toHaveLength(3);
    expect(JSON.parse(Buffer.from(parts[1]!, 'base64url').toString())).toEqual({ iss: 'someone', exp: 5 });
  });
});

import { type JsonObject, type JsonValue, valueAt, withValueAt } from '../json.ts';
import type { ExchangeResponse, Provider } from './provider.ts';

/** The values of an emulated token response. */
interface SampleTokenValues {
  readonly accessToken: string;
  /** Undefined if the response has none. */
  readonly refreshToken: string | undefined;
  /** Infinity keeps the lifetime fields of the sample. */
  readonly lifetimeS: number;
  readonly nowMs: number;
}

/** Epoch values from this one on are milliseconds, smaller ones are seconds. */
const FIRST_EPOCH_MS = 1e11;

/**
 * The token response of the provider (`samples.tokenResponse`) with these values. Every field keeps the JSON type of the
 * sample: a lifetime in a string stays a string, a point in time stays epoch seconds, milliseconds or ISO 8601.
 */
export function sampleTokenResponse(
  provider: Provider,
  response: ExchangeResponse,
  values: SampleTokenValues,
): JsonObject {
  const sample = provider.samples.tokenResponse;
  let result = withValueAt(sample, response.accessToken, likeToken(sample, response.accessToken, values.accessToken));
  if (response.refreshToken !== undefined && values.refreshToken !== undefined) {
    result = withValueAt(result, response.refreshToken, likeToken(sample, response.refreshToken, values.refreshToken));
  }
  if (!Number.isFinite(values.lifetimeS)) return result;
  if (response.expiresIn !== undefined) {
    const asString = typeof valueAt(sample, response.expiresIn) === 'string';
    result = withValueAt(result, response.expiresIn, asString ? String(values.lifetimeS) : values.lifetimeS);
  }
  if (response.expiresAt !== undefined) {
    const expiresAtMs = values.nowMs + values.lifetimeS * 1000;
    result = withValueAt(result, response.expiresAt, likeTime(valueAt(sample, response.expiresAt), expiresAtMs));
  }
  return result;
}

/** A sample token response in the format of the provider. */
export function encodedSample(
  sample: JsonObject,
  { format, accessToken }: ExchangeResponse,
): { readonly contentType: string; readonly body: string } {
  switch (format) {
    case 'text':
      return { contentType: 'text/plain; charset=utf-8', body: String(valueAt(sample, accessToken)) };
    case 'form': {
      const fields = Object.entries(sample).map(([name, value]): [string, string] => [
        name,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]);
      return { contentType: 'application/x-www-form-urlencoded', body: new URLSearchParams(fields).toString() };
    }
    default:
      return { contentType: 'application/json', body: JSON.stringify(sample) };
  }
}

/** Keeps the "Bearer " that some providers put before the token. */
function likeToken(sample: JsonObject, path: string, token: string): string {
  const value = valueAt(sample, path);
  return typeof value === 'string' && value.startsWith('Bearer ') ? `Bearer ${token}` : token;
}

function likeTime(sample: unknown, timeMs: number): JsonValue {
  if (typeof sample === 'string' && sample !== '' && !/^\d+$/.test(sample)) return likeIso(sample, timeMs);
  const epoch = Number(sample ?? 0) >= FIRST_EPOCH_MS ? Math.floor(timeMs) : Math.floor(timeMs / 1000);
  return typeof sample === 'string' ? String(epoch) : epoch;
}

/** ISO 8601 in UTC, with as many fractional digits as the sample, and a `Z` if the sample has one. */
function likeIso(sample: string, timeMs: number): string {
  const [seconds = '', milliseconds = ''] = new Date(timeMs).toISOString().replace('Z', '').split('.');
  const digits = /\.(\d+)/.exec(sample)?.[1]?.length ?? 0;
  const fraction = digits === 0 ? '' : `.${milliseconds.padEnd(digits, '0').slice(0, digits)}`;
  return `${seconds}${fraction}${/z$/i.test(sample) ? 'Z' : ''}`;
}

/**
 * A token in the form of a JWT (RFC 7519) without a valid signature: a client that decodes it can read `iss` and `exp`,
 * and one that verifies it rejects it.
 */
export function jwtShaped(payload: JsonObject): string {
  const part = (value: JsonObject) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none', typ: 'JWT' })}.${part(payload)}.${Buffer.from('not signed').toString('base64url')}`;
}

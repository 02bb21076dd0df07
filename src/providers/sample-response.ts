import { type JsonObject, type JsonValue, valueAt, withValueAt } from '../json.ts';
import type { ExchangeResponse, Provider } from './provider.ts';

/** What a made-up token answer is to say. */
interface SampleTokenValues {
  readonly accessToken: string;
  /** Undefined where none is given out. */
  readonly refreshToken: string | undefined;
  /** Infinity leaves the lifetime fields as the sample has them. */
  readonly lifetimeS: number;
  readonly nowMs: number;
}

/** Epoch values from here on are milliseconds, not seconds. */
const FIRST_EPOCH_MS = 1e11;

/**
 * The provider's own token answer (`samples.tokenAnswer`) with these values in it. Every field keeps the JSON type
 * that the sample has: a lifetime in a string stays a string, a point in time stays epoch seconds, milliseconds or ISO.
 */
export function sampleTokenResponse(
  provider: Provider,
  response: ExchangeResponse,
  values: SampleTokenValues,
): JsonObject {
  const sample = provider.samples.tokenAnswer;
  let answer = withValueAt(sample, response.accessToken, likeToken(sample, response.accessToken, values.accessToken));
  if (response.refreshToken !== undefined && values.refreshToken !== undefined) {
    answer = withValueAt(answer, response.refreshToken, likeToken(sample, response.refreshToken, values.refreshToken));
  }
  if (!Number.isFinite(values.lifetimeS)) return answer;
  if (response.expiresIn !== undefined) {
    const asString = typeof valueAt(sample, response.expiresIn) === 'string';
    answer = withValueAt(answer, response.expiresIn, asString ? String(values.lifetimeS) : values.lifetimeS);
  }
  if (response.expiresAt !== undefined) {
    const expiresAtMs = values.nowMs + values.lifetimeS * 1000;
    answer = withValueAt(answer, response.expiresAt, likeTime(valueAt(sample, response.expiresAt), expiresAtMs));
  }
  return answer;
}

/** Some providers put "Bearer " in front of the token itself. */
function likeToken(sample: JsonObject, path: string, token: string): string {
  const value = valueAt(sample, path);
  return typeof value === 'string' && value.startsWith('Bearer ') ? `Bearer ${token}` : token;
}

function likeTime(sample: unknown, timeMs: number): JsonValue {
  if (typeof sample === 'string' && sample !== '' && !/^\d+$/.test(sample)) return likeIso(sample, timeMs);
  const epoch = Number(sample ?? 0) >= FIRST_EPOCH_MS ? Math.floor(timeMs) : Math.floor(timeMs / 1000);
  return typeof sample === 'string' ? String(epoch) : epoch;
}

/** ISO 8601 in UTC with as many fractional digits as the sample has, and with its `Z` or without. */
function likeIso(sample: string, timeMs: number): string {
  const [seconds = '', milliseconds = ''] = new Date(timeMs).toISOString().replace('Z', '').split('.');
  const digits = /\.(\d+)/.exec(sample)?.[1]?.length ?? 0;
  const fraction = digits === 0 ? '' : `.${milliseconds.padEnd(digits, '0').slice(0, digits)}`;
  return `${seconds}${fraction}${/z$/i.test(sample) ? 'Z' : ''}`;
}

/**
 * A token with the three parts of a JWT (RFC 7519) and nobody's signature: whoever decodes it can read `iss` and
 * `exp`, whoever verifies it will refuse it.
 */
export function jwtShaped(payload: JsonObject): string {
  const part = (value: JsonObject) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none', typ: 'JWT' })}.${part(payload)}.${Buffer.from('not signed').toString('base64url')}`;
}

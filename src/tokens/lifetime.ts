import { valueAt } from '../json.ts';
import type { ExchangeResponse } from '../providers/provider.ts';
import type { Lifetime } from './token.ts';

/** A token that lives longer than this is asked for anew all the same. */
const MAX_LIFETIME_MS = 366 * 86_400_000;

/** Above this a number of seconds would lie in the year 5138, so it means milliseconds. */
const EPOCH_SECONDS_LIMIT = 1e11;

/** The moments a lifetime is measured from. Epoch milliseconds. */
export interface ResponseTime {
  readonly nowMs: number;
  /** The token endpoint's own clock, from its `Date` header: an absolute expiry counts from that. */
  readonly serverNowMs: number | undefined;
}

/**
 * How long an access token lives: a relative field, else an absolute one, else the JWT's `exp`, else the
 * provider's default. A field that is there but no time at all is passed over.
 * @throws RangeError if the first that speaks says that the token is dead already
 */
export function lifetimeOf(
  answer: unknown,
  response: ExchangeResponse,
  accessToken: string,
  defaultLifetimeS: number,
  time: ResponseTime,
): Lifetime {
  const from = time.serverNowMs ?? time.nowMs;
  const relativeS = numberOf(response.expiresIn === undefined ? undefined : valueAt(answer, response.expiresIn));
  if (relativeS !== undefined) return alive(relativeS * 1000, 'expires_in');
  const absoluteMs = momentOf(response.expiresAt === undefined ? undefined : valueAt(answer, response.expiresAt));
  if (absoluteMs !== undefined) return alive(absoluteMs - from, 'expires_at');
  const jwtMs = jwtExpiryMs(accessToken);
  if (jwtMs !== undefined) return alive(jwtMs - from, 'jwt');
  return alive(defaultLifetimeS * 1000, 'default');
}

function alive(lifetimeMs: number, source: Lifetime['source']): Lifetime {
  if (Math.floor(lifetimeMs) < 1)
    throw new RangeError(`the token endpoint gave a token that has expired already (${source})`);
  return { lifetimeMs: Math.min(lifetimeMs, MAX_LIFETIME_MS), source };
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string' || !/^\s*-?\d+(\.\d+)?\s*$/.test(value)) return undefined;
  return Number(value);
}

function momentOf(value: unknown): number | undefined {
  const number = numberOf(value);
  if (number !== undefined) return number < EPOCH_SECONDS_LIMIT ? number * 1000 : number;
  if (typeof value !== 'string') return undefined;
  const parsed = Date.parse(/(Z|[+-]\d\d:?\d\d|GMT|UTC)\s*$/i.test(value) ? value : `${value}Z`);
  return Number.isNaN(parsed) ? undefined : parsed;
}

/** The `exp` claim (RFC 7519 4.1.4) of a JWT, in milliseconds; undefined if it is none or has none. */
function jwtExpiryMs(token: string): number | undefined {
  const payload = token.split('.')[1];
  if (payload === undefined) return undefined;
  try {
    const exp = numberOf(valueAt(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')), 'exp'));
    return exp === undefined ? undefined : exp * 1000;
  } catch {
    return undefined;
  }
}

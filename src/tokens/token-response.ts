import { ProxyError, type Reason, type TokenRule } from '../errors.ts';
import { valueAt } from '../json.ts';
import type { DeadTokenRule, ExchangeResponse } from '../providers/provider.ts';
import { Redaction } from '../redaction.ts';
import { Secret } from '../secret.ts';
import { type Lifetime, makeToken, type ResponseHeader, type Token } from './token.ts';

/** A token that lives longer than this is asked for anew all the same. */
const MAX_LIFETIME_MS = 366 * 86_400_000;

/** Above this a number of seconds would lie in the year 5138, so it means milliseconds. */
const EPOCH_SECONDS_LIMIT = 1e11;

/** The moments a lifetime is measured from. Epoch milliseconds. */
interface ResponseTime {
  readonly nowMs: number;
  /** The token endpoint's own clock, from its `Date` header: an absolute expiry counts from that. */
  readonly serverNowMs: number | undefined;
}

/**
 * How long an access token lives: a relative field, else an absolute one, else the JWT's `exp`, else the
 * provider's default. A field that is there but no time at all is passed over.
 * @throws RangeError if the first that speaks says that the token is dead already
 */
export function tokenLifetime(
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

/** What a token endpoint said. Holds a token: never log its body without `wordsOf`. */
export interface TokenResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** Statuses with which a token endpoint says that the credentials are wrong (RFC 6749 5.2, and the providers). */
const DENIED = new Set([400, 401, 403, 422]);

/** Longest `Retry-After` that is believed. */
export const MAX_RETRY_AFTER_S = 3600;

/** What may stand in an Authorization header (RFC 9110 5.5), and no space, so that nothing can follow the token. */
const HEADER_SAFE = /^[\x21-\x7e]{1,8192}$/;

/** The same, where spaces within do no harm. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?$/;

/**
 * Judges a token endpoint's answer. `denied` are the provider's own ways to refuse the credentials.
 * @throws ProxyError `token_denied` if it refused the credentials, `token_unavailable` if it gave no token
 */
export function readToken(
  answer: TokenResponse,
  response: ExchangeResponse,
  defaultLifetimeS: number,
  nowMs: number,
  denied: readonly DeadTokenRule[] = [],
): Token {
  if (isDenied(answer, denied)) throw denial(answer, nowMs);
  if (answer.status < 200 || answer.status > 299) throw refusal(answer, nowMs);
  const json = parse(answer);
  const accessToken = bearer(valueAt(json, response.accessToken));
  if (accessToken === undefined) {
    throw tokenUnavailable(
      `HTTP ${answer.status} without a token at \`${response.accessToken}\``,
      noToken('field_missing', answer),
    );
  }
  if (!HEADER_SAFE.test(accessToken))
    throw tokenUnavailable(
      'the token is longer than 8 KiB or has characters that no header can carry',
      noToken('not_sendable', answer),
    );
  const refresh = response.refreshToken === undefined ? undefined : valueAt(json, response.refreshToken);
  try {
    const lifetime = tokenLifetime(json, response, accessToken, defaultLifetimeS, {
      nowMs,
      serverNowMs: serverTimeMs(answer),
    });
    const refreshToken = typeof refresh === 'string' && refresh !== '' ? refresh : undefined;
    return makeToken(accessToken, refreshToken, lifetime, nowMs, answerHeaders(json, response));
  } catch (cause) {
    throw tokenUnavailable('the token has expired already', { kind: 'token_expired_at_once' }, { cause });
  }
}

function refusal(answer: TokenResponse, nowMs: number): ProxyError {
  if (DENIED.has(answer.status) && !isHtml(answer)) return denial(answer, nowMs);
  const { status } = answer;
  const wait = { retryAfterS: retryAfterS(answer, nowMs) };
  if (isHtml(answer)) return tokenUnavailable(`HTTP ${status} with a web page`, { kind: 'html_page', status }, wait);
  return tokenUnavailable(`HTTP ${status}`, { kind: 'http_status', status }, wait);
}

function denial(answer: TokenResponse, nowMs: number): ProxyError {
  return new ProxyError(
    'token_denied',
    'The provider refused the credentials of this route. The log of Wakala has what it said, and `wakala doctor` ' +
      'shows which credentials they are and what to do.',
    { reason: { kind: 'credentials_refused', status: answer.status }, retryAfterS: retryAfterS(answer, nowMs) },
  );
}

function noToken(rule: TokenRule, { status }: TokenResponse): Reason {
  return { kind: 'no_usable_token', rule, status };
}

/** A page is a firewall's: it says nothing of credentials, whatever its status. */
function isDenied(answer: TokenResponse, rules: readonly DeadTokenRule[]): boolean {
  const here = rules.filter(({ status }) => status === answer.status);
  if (here.length === 0 || isHtml(answer)) return false;
  const json = parseJsonBody(answer);
  return here.some(({ body = {} }) => Object.entries(body).every(([path, value]) => valueAt(json, path) === value));
}

/** The headers that the answer gives; one that it has no sendable value for is left out. */
function answerHeaders(json: unknown, { headers = {} }: ExchangeResponse): ResponseHeader[] {
  return Object.entries(headers).flatMap(([name, path]): ResponseHeader[] => {
    const value = valueAt(json, path);
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return [];
    return HEADER_VALUE.test(String(value)) ? [[name, new Secret(String(value))]] : [];
  });
}

function isHtml(answer: TokenResponse): boolean {
  return /^\s*</.test(answer.body) || (answer.headers['content-type'] ?? '').startsWith('text/html');
}

/** Undefined for a body that is no JSON: the parser's own message quotes the text, and with it perhaps a token. */
export function parseJsonBody({ body }: TokenResponse): unknown {
  try {
    return JSON.parse(body.replace(/^\uFEFF/, ''));
  } catch {
    return undefined;
  }
}

function parse(answer: TokenResponse): unknown {
  const json = parseJsonBody(answer);
  if (json !== undefined) return json;
  const { status, body } = answer;
  if (body === '') throw tokenUnavailable(`HTTP ${status} with an empty body`, noToken('empty_body', answer));
  if (isHtml(answer)) throw tokenUnavailable(`HTTP ${status} with a web page`, { kind: 'html_page', status });
  throw tokenUnavailable(`HTTP ${status} with a body that is not JSON`, noToken('not_json', answer));
}

/** The bare token: some providers send it with "Bearer " in front. */
function bearer(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const bare = value.replace(/^bearer\s+/i, '').trim();
  return bare === '' ? undefined : bare;
}

/** The token endpoint's own time, in epoch milliseconds; undefined if it did not say. */
export function serverTimeMs(answer: TokenResponse): number | undefined {
  const date = dateOf(answer.headers['date'] ?? '');
  return Number.isNaN(date) ? undefined : date;
}

/** An HTTP date (RFC 9110 5.6.7); NaN for what is none, though `Date.parse` might make something of it. */
function dateOf(value: string): number {
  return /^[A-Za-z]{3,9},? .*\d\d:\d\d:\d\d.*$/.test(value.trim()) ? Date.parse(value) : NaN;
}

/** `Retry-After` (RFC 9110 10.2.3): seconds or an HTTP date. */
export function retryAfterS(answer: TokenResponse, nowMs: number): number | undefined {
  const value = answer.headers['retry-after']?.trim();
  if (value === undefined || value === '') return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (dateOf(value) - (serverTimeMs(answer) ?? nowMs)) / 1000;
  return seconds > 0 ? Math.min(Math.ceil(seconds), MAX_RETRY_AFTER_S) : undefined;
}

export function tokenUnavailable(
  what: string,
  reason: Reason,
  more: { readonly cause?: unknown; readonly retryAfterS?: number | undefined } = {},
): ProxyError {
  const detail = `The token request failed: ${what}.`;
  return new ProxyError('token_unavailable', detail, { ...more, reason });
}

/** Providers cut what they quote: so much of the beginning of a secret counts as the secret. Characters. */
const MIN_QUOTED = 32;

/** A provider's words for the log: one short line, with every secret that was sent cut out of it. */
export function redactedBody(answer: TokenResponse, secrets: readonly string[]): string {
  return new Redaction(secrets, 1, MIN_QUOTED)
    .redact(answer.body)
    .replace(/[\x00-\x1f\x7f]+/g, ' ')
    .slice(0, 300);
}

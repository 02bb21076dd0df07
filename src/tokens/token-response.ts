import {
  CERTIFICATE_PROBLEMS,
  type CertificateProblem,
  type ContentProblem,
  describeContentProblem,
  ProxyError,
  type Reason,
  type TokenRule,
} from '../errors.ts';
import { hasValues, valueAt, withValueAt } from '../json.ts';
import type { ExchangeResponse, ResponseRule } from '../providers/provider.ts';
import { Redaction } from '../redaction.ts';
import { Secret } from '../secret.ts';
import { type ExpiredField, type Lifetime, makeToken, type ResponseHeader, type Token } from './token.ts';

/** A token that lives longer is replaced after this time all the same. */
const MAX_LIFETIME_MS = 366 * 86_400_000;

/** A larger number of seconds would be in the year 5138, so it is a number of milliseconds. */
const MAX_EPOCH_SECONDS = 1e11;

/** Longest part of a value that is shown, in characters. */
const MAX_SHOWN_VALUE = 40;

/** Epoch milliseconds. */
interface ResponseTime {
  readonly nowMs: number;
  /** The token endpoint's clock, from its `Date` header. An absolute expiry is relative to it. */
  readonly serverNowMs: number | undefined;
}

/**
 * How long an access token lives: from a relative field, an absolute field, the `exp` of a JWT, or the provider's
 * default, in this order. A field whose value is not a time is ignored, and so is a field by which the token has already
 * expired: the token was issued just now, so the field or a clock is wrong.
 */
export function tokenLifetime(
  json: unknown,
  fields: ExchangeResponse,
  accessToken: string,
  defaultLifetimeS: number,
  time: ResponseTime,
): Lifetime {
  const nowMs = time.serverNowMs ?? time.nowMs;
  const { expiresIn, expiresAt } = fields;
  const relative = expiresIn === undefined ? undefined : valueAt(json, expiresIn);
  const absolute = expiresAt === undefined ? undefined : valueAt(json, expiresAt);
  const exp = jwtExpiry(accessToken);
  const relativeS = numberOf(relative);
  const absoluteMs = timestampMs(absolute);
  const expS = numberOf(exp);
  const candidates = [
    { source: 'expires_in', field: expiresIn, value: relative, lifetimeMs: relativeS && relativeS * 1000 },
    { source: 'expires_at', field: expiresAt, value: absolute, lifetimeMs: absoluteMs && absoluteMs - nowMs },
    { source: 'jwt', field: 'exp', value: exp, lifetimeMs: expS && expS * 1000 - nowMs },
  ] as const;
  let expired: ExpiredField | undefined;
  for (const { source, field = '', value, lifetimeMs } of candidates) {
    if (lifetimeMs === undefined) continue;
    if (lifetimeMs >= 1) return lifetime(lifetimeMs, source, expired);
    expired ??= { field, value: String(value).slice(0, MAX_SHOWN_VALUE) };
  }
  return lifetime(defaultLifetimeS * 1000, expired === undefined ? 'default' : 'default_expired', expired);
}

function lifetime(lifetimeMs: number, source: Lifetime['source'], expired: ExpiredField | undefined): Lifetime {
  return { lifetimeMs: Math.min(lifetimeMs, MAX_LIFETIME_MS), source, ...(expired && { expired }) };
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string' || !/^\s*-?\d+(\.\d+)?\s*$/.test(value)) return undefined;
  return Number(value);
}

/** Epoch seconds, epoch milliseconds, or a date. A date without a time zone is in UTC. */
function timestampMs(value: unknown): number | undefined {
  const number = numberOf(value);
  if (number !== undefined) return number < MAX_EPOCH_SECONDS ? number * 1000 : number;
  if (typeof value !== 'string') return undefined;
  const parsed = Date.parse(/(Z|[+-]\d\d:?\d\d|GMT|UTC)\s*$/i.test(value) ? value : `${value}Z`);
  return Number.isNaN(parsed) ? undefined : parsed;
}

/** The `exp` claim of a JWT (RFC 7519 4.1.4), in seconds. Undefined if there is none, or if it is not a JWT. */
function jwtExpiry(token: string): unknown {
  const payload = token.split('.')[1];
  if (payload === undefined) return undefined;
  try {
    return valueAt(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')), 'exp');
  } catch {
    return undefined;
  }
}

/** A token endpoint's response. The body holds a token: log it only through `redactedBody`. */
export interface TokenResponse {
  readonly status: number;
  /** Names are in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Decoded. Empty if there is a `bodyProblem`. */
  readonly body: string;
  /** Why the body could not be decoded. */
  readonly bodyProblem?: ContentProblem;
}

/** Statuses that mean wrong credentials (RFC 6749 5.2, and what providers send). */
const DENIED_STATUSES = new Set([400, 401, 403, 422]);

/** A longer `Retry-After` is cut to this. */
export const MAX_RETRY_AFTER_S = 3600;

/** What an Authorization header may contain (RFC 9110 5.5), without spaces, so that nothing can follow the token. */
const TOKEN_PATTERN = /^[\x21-\x7e]{1,8192}$/;

/** What any header value may contain. */
const HEADER_VALUE_PATTERN = /^[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?$/;

/**
 * Reads the token from a token endpoint's response.
 * @param denied further responses of the provider that mean wrong credentials
 * @param redirect where the response redirects to, if it does
 * @throws ProxyError `token_denied` if the credentials were refused, `token_unavailable` if there is no usable token
 */
export function readToken(
  response: TokenResponse,
  fields: ExchangeResponse,
  defaultLifetimeS: number,
  nowMs: number,
  denied: readonly ResponseRule[] = [],
  redirect?: Redirect,
): Token {
  if (matchesAny(response, denied, fields)) throw credentialsRefused(response, nowMs);
  const { status } = response;
  if (redirect !== undefined) {
    throw tokenUnavailable(`HTTP ${status}, a redirect`, { kind: 'redirected', status, ...redirect });
  }
  if (status < 200 || status > 299) throw statusError(response, nowMs);
  const json = parse(response, fields);
  const accessToken = bareToken(valueAt(json, fields.accessToken));
  if (accessToken === undefined) {
    throw tokenUnavailable(
      `HTTP ${status} without a token at \`${fields.accessToken}\``,
      noToken('field_missing', response),
    );
  }
  if (!TOKEN_PATTERN.test(accessToken)) {
    throw tokenUnavailable(
      'the token is longer than 8 KiB or has characters that no header can carry',
      noToken('not_sendable', response),
    );
  }
  const refresh = fields.refreshToken === undefined ? undefined : valueAt(json, fields.refreshToken);
  const refreshToken = typeof refresh === 'string' && refresh !== '' ? refresh : undefined;
  const time = { nowMs, serverNowMs: serverTimeMs(response) };
  const lifetime = tokenLifetime(json, fields, accessToken, defaultLifetimeS, time);
  return makeToken(accessToken, refreshToken, lifetime, nowMs, responseHeaders(json, fields));
}

function statusError(response: TokenResponse, nowMs: number): ProxyError {
  const { status } = response;
  const isPage = isHtml(response);
  if (DENIED_STATUSES.has(status) && !isPage) return credentialsRefused(response, nowMs);
  const retry = { retryAfterS: retryAfterS(response, nowMs) };
  const problem = certificateProblem(response.body);
  if (problem !== undefined) {
    return tokenUnavailable(
      `HTTP ${status}: the server ${CERTIFICATE_PROBLEMS[problem]}`,
      { kind: 'client_certificate', problem, status },
      retry,
    );
  }
  return isPage
    ? tokenUnavailable(htmlPage(status), { kind: 'html_page', status }, retry)
    : tokenUnavailable(`HTTP ${status}`, { kind: 'http_status', status }, retry);
}

/**
 * What a page of nginx says about the client certificate. nginx completes the TLS handshake without an acceptable
 * certificate, and then responds with 400.
 */
export function certificateProblem(page: string): CertificateProblem | undefined {
  if (/No required SSL certificate was sent/i.test(page)) return 'missing';
  return /The SSL certificate error/i.test(page) ? 'refused' : undefined;
}

function credentialsRefused(response: TokenResponse, nowMs: number): ProxyError {
  return new ProxyError(
    'token_denied',
    'The provider refused the credentials of this route. The log of Wakala has what it said, and `wakala doctor` ' +
      'shows which credentials they are and what to do.',
    { reason: { kind: 'credentials_refused', status: response.status }, retryAfterS: retryAfterS(response, nowMs) },
  );
}

function noToken(rule: TokenRule, { status }: TokenResponse): Reason {
  return { kind: 'no_usable_token', rule, status };
}

function htmlPage(status: number): string {
  return `HTTP ${status} with a web page`;
}

/** An HTML page is from a firewall: it says nothing about credentials, whatever its status. */
function matchesAny(response: TokenResponse, rules: readonly ResponseRule[], fields: ExchangeResponse): boolean {
  const withStatus = rules.filter(({ status }) => status === response.status);
  if (withStatus.length === 0 || isHtml(response)) return false;
  const json = parseJsonBody(response) ?? valuesIn(response, fields);
  return withStatus.some(({ body = {} }) => hasValues(json, body));
}

/** The headers for API calls. A header without a value that can be sent is left out. */
function responseHeaders(json: unknown, { headers = {} }: ExchangeResponse): ResponseHeader[] {
  return Object.entries(headers).flatMap(([name, path]): ResponseHeader[] => {
    const value = valueAt(json, path);
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return [];
    return HEADER_VALUE_PATTERN.test(String(value)) ? [[name, new Secret(String(value))]] : [];
  });
}

function isHtml(response: TokenResponse): boolean {
  return (/^\s*</.test(response.body) || mediaTypeOf(response) === 'text/html') && !isXml(response);
}

/** XML that is not a web page. */
function isXml(response: TokenResponse): boolean {
  const type = mediaTypeOf(response);
  if (/html/.test(type) || /<!doctype html|<html/i.test(response.body)) return false;
  return /[/+]xml$/.test(type) || /^\s*<\?xml/.test(response.body);
}

/** In lower case, without parameters. Empty if there is none. */
function mediaTypeOf({ headers }: TokenResponse): string {
  return (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/**
 * Undefined for a body that is not JSON. The parser's message is dropped, since it quotes the text and maybe a token.
 */
export function parseJsonBody({ body }: TokenResponse): unknown {
  try {
    return JSON.parse(body.replace(/^\uFEFF/, ''));
  } catch {
    return undefined;
  }
}

/**
 * The values of a body in its format. Undefined if it does not have that format.
 *
 * Without a `format`, a body that is not JSON is a form if its type says so, or if it is plain text with the token's
 * field in it. Plain text is a token only where the `format` says so: it may as well be a message.
 */
function valuesIn(response: TokenResponse, { format, accessToken }: ExchangeResponse): unknown {
  const json = parseJsonBody(response);
  if (format === 'json' || (format === undefined && json !== undefined)) return json;
  if ((typeof json === 'object' && json !== null) || /^\s*</.test(response.body)) return undefined;
  if (format === 'text') {
    const token = typeof json === 'string' ? json : response.body.trim();
    return token === '' ? undefined : withValueAt({}, accessToken, token);
  }
  const values = Object.fromEntries(new URLSearchParams(response.body.trim()));
  const type = mediaTypeOf(response);
  const isForm =
    type === 'application/x-www-form-urlencoded' || (type === 'text/plain' && Object.hasOwn(values, accessToken));
  return isForm || format === 'form' ? values : undefined;
}

function parse(response: TokenResponse, fields: ExchangeResponse): unknown {
  const values = valuesIn(response, fields);
  if (values !== undefined) return values;
  const { status, body, bodyProblem } = response;
  if (bodyProblem !== undefined) {
    const { kind, coding } = bodyProblem;
    throw tokenUnavailable(`HTTP ${status} with a body that ${describeContentProblem(bodyProblem)}`, {
      kind: 'undecodable_body',
      problem: kind,
      coding,
      status,
    });
  }
  if (body === '') throw tokenUnavailable(`HTTP ${status} with an empty body`, noToken('empty_body', response));
  if (isHtml(response)) throw tokenUnavailable(htmlPage(status), { kind: 'html_page', status });
  if (isXml(response)) throw tokenUnavailable(`HTTP ${status} with XML`, noToken('xml', response));
  if (fields.format === 'text' || fields.format === 'form') {
    throw tokenUnavailable(
      `HTTP ${status} with a body that is not in \`format: ${fields.format}\``,
      noToken('wrong_format', response),
    );
  }
  throw tokenUnavailable(`HTTP ${status} with a body that is not JSON`, noToken('not_json', response));
}

/** Some providers send the token with "Bearer " in front. */
function bareToken(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const bare = value.replace(/^bearer\s+/i, '').trim();
  return bare === '' ? undefined : bare;
}

/** The token endpoint's clock, in epoch milliseconds. Undefined if the response has no valid `Date` header. */
export function serverTimeMs({ headers }: TokenResponse): number | undefined {
  const dateMs = httpDateMs(headers['date'] ?? '');
  return Number.isNaN(dateMs) ? undefined : dateMs;
}

/** An HTTP date (RFC 9110 5.6.7). NaN for any other text, even if `Date.parse` accepts it. */
function httpDateMs(value: string): number {
  return /^[A-Za-z]{3,9},? .*\d\d:\d\d:\d\d.*$/.test(value.trim()) ? Date.parse(value) : NaN;
}

/** Where a redirect leads. */
interface Redirect {
  /** URL without user, query and secrets. At most 200 characters. */
  readonly location: string;
  /** What differs from the URL of the request. `scheme`: only that it is `https:` in place of `http:`. */
  readonly change: 'scheme' | 'path' | 'host';
}

const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);

/**
 * The redirect in a response. Wakala never follows it: that would send the credentials to another server.
 * @param requestUrl of the request
 * @param secrets of the request, which the `Location` may repeat
 */
export function redirectOf(
  { status, headers }: TokenResponse,
  requestUrl: string,
  secrets: () => readonly string[],
): Redirect | undefined {
  const location = REDIRECT_STATUSES.has(status) ? headers['location'] : undefined;
  const target = location === undefined ? null : URL.parse(location, requestUrl);
  if (target === null || !/^https?:$/.test(target.protocol)) return undefined;
  const { protocol, host, hostname, pathname } = new URL(requestUrl);
  const isUpgrade = protocol === 'http:' && target.protocol === 'https:' && target.hostname === hostname;
  const change =
    isUpgrade && target.pathname === pathname ? 'scheme' : isUpgrade || target.host === host ? 'path' : 'host';
  // The part after `;` may be a session (RFC 3986 3.3).
  const path = target.pathname.split(';', 1)[0] ?? '';
  return { location: hideSecrets(`${target.origin}${path}`, secrets()).slice(0, 200), change };
}

/** `Retry-After` (RFC 9110 10.2.3), in whole seconds. */
export function retryAfterS(response: TokenResponse, nowMs: number): number | undefined {
  const value = response.headers['retry-after']?.trim();
  if (value === undefined || value === '') return undefined;
  const serverNowMs = serverTimeMs(response) ?? nowMs;
  const seconds = /^\d+$/.test(value) ? Number(value) : (httpDateMs(value) - serverNowMs) / 1000;
  return seconds > 0 ? Math.min(Math.ceil(seconds), MAX_RETRY_AFTER_S) : undefined;
}

/** @param problem completes "The token request failed: ..." */
export function tokenUnavailable(
  problem: string,
  reason: Reason,
  options: { readonly cause?: unknown; readonly retryAfterS?: number | undefined } = {},
): ProxyError {
  return new ProxyError('token_unavailable', `The token request failed: ${problem}.`, { ...options, reason });
}

/** Providers may quote a part of a secret. A beginning of this many characters is redacted too. */
const MIN_REDACTED_CHARACTERS = 32;

/** The beginning of a response's body for the log: one line, without the secrets of the request. */
export function redactedBody(body: string, secrets: readonly string[]): string {
  return hideSecrets(body, secrets)
    .replace(/[\x00-\x1f\x7f]+/g, ' ')
    .slice(0, 300);
}

function hideSecrets(text: string, secrets: readonly string[]): string {
  return new Redaction(secrets, 1, MIN_REDACTED_CHARACTERS).redact(text);
}

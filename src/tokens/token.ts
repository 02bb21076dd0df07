import { Secret } from '../secret.ts';
import type { ExchangeStats, RefusedCall, TokenFailure } from './exchange-stats.ts';

/**
 * Where the lifetime of a token comes from; see `tokenLifetime`. `default_expired`: the default, because the response
 * says that the token has expired already.
 */
export type LifetimeSource = 'expires_in' | 'expires_at' | 'jwt' | 'default' | 'default_expired' | 'fixed';

/** A value in a token response which says that the new token has expired already. */
export interface ExpiredField {
  /** Its path in the response, or `exp` for that of a JWT. */
  readonly field: string;
  /** As in the response, at most 40 characters. */
  readonly value: string;
}

/** A header for API calls, with a value from the token response. */
export type ResponseHeader = readonly [name: string, value: Secret];

/** An access token. All times are epoch milliseconds. */
export interface Token {
  /** Without "Bearer ". */
  readonly accessToken: Secret;
  readonly issuedAtMs: number;
  /** The token is not used after this time. `Infinity` for a fixed key. */
  readonly expiresAtMs: number;
  /** From this time on, the next token is requested while this one is still used. */
  readonly refreshAtMs: number;
  /**
   * How far the clock of the token endpoint was ahead of this machine's when it issued the token, in milliseconds. Known
   * also on a token that another process requested. Undefined if the response had no `Date`.
   */
  readonly clockSkewMs?: number | undefined;
  readonly lifetimeSource: LifetimeSource;
  /** Only on a token that this process requested. */
  readonly expiredField?: ExpiredField | undefined;
  readonly refreshToken: Secret | undefined;
  /** Headers for API calls from the token response. */
  readonly headers: readonly ResponseHeader[];
  /** Number of the token among those that the replicas share; a higher number is newer. 0: not shared. */
  readonly generation: number;
  /** Token endpoints that the issuer's metadata named. Undefined if the configuration names the token endpoint. */
  readonly endpoints?: readonly string[] | undefined;
  /** First 8 hex digits of the SHA-256, for logs and the dashboard. */
  readonly fingerprint: string;
}

/** Whether a token is a later one than `after`. */
export function isNewer(token: Token, after: Token | undefined): boolean {
  if (after === undefined) return true;
  // Without a generation, the times decide.
  if (after.generation === 0) return token.issuedAtMs > after.issuedAtMs && token.fingerprint !== after.fingerprint;
  return token.generation > after.generation;
}

/** Whether two objects are the same token. A shared token may reach a process twice, with the same generation. */
export function isSame(one: Token | undefined, other: Token): boolean {
  return one === other || (one !== undefined && one.generation !== 0 && one.generation === other.generation);
}

/** A request or WebSocket handshake, as a token source sees it. Both attempts use the same object. */
export interface TokenCall {
  /** Name of the client; undefined where there is no `clients` list. */
  readonly client: string | undefined;
  readonly method: string;
  /** Path at the upstream, without the query. */
  readonly path: string;
  /** When the last attempt was sent: milliseconds on the scale of `performance.now`, unlike `refusedAtMs`. */
  sentAtMs: number;
  /** When the first attempt was refused: epoch milliseconds. The token source sets it. */
  refusedAtMs?: number;
}

/** The token of one credential. All routes with this credential share it. Routes with `token: none` have an empty one. */
export interface TokenSource {
  /** The token, if it is valid now. Without a promise, since nearly every request takes this path. */
  current(): Token | undefined;
  /**
   * The valid token, or the next one. Waits for the exchange under way, or starts one.
   * @throws ProxyError `token_denied` or `token_unavailable`
   */
  token(): Promise<Token>;
  /**
   * The provider refused `token` on this call.
   * @returns the token for a second attempt, or undefined if the refusal goes to the client
   */
  reject(token: Token, call: TokenCall): Promise<Token | undefined>;
  /** The provider refused the token of the second attempt too. So it refuses this call with any token. */
  refusedAgain(token: Token, call: TokenCall): void;
  /** The provider accepted `token` on this call. */
  accepted(token: Token, call: TokenCall): void;
  /**
   * Requests a new token now. Requests use the current one until then.
   * @returns undefined for a fixed key, and without a token
   * @throws ProxyError `token_denied` or `token_unavailable`
   */
  renew(): Promise<Token | undefined>;
  status(): TokenStatus;
  /** Ends refreshes in the background. */
  close(): void;
}

/** State of a token source, for metrics and the dashboard. Times are epoch milliseconds. */
export interface TokenStatus {
  /** The last token, which may have expired. Undefined while it is suspended after a refusal. */
  readonly token: Token | undefined;
  /** Whether an exchange is under way. */
  readonly isFetching: boolean;
  /** After a failure: when the next exchange may start. 0 if now. */
  readonly retryAtMs: number;
  /** Of the last exchange, if it failed. */
  readonly failure: TokenFailure | undefined;
  readonly stats: ExchangeStats;
  readonly refusedCalls: readonly RefusedCall[];
}

/** A token is refreshed this long before it expires, but at most a fifth of its lifetime. */
const MARGIN_MS = 30_000;

export interface Lifetime {
  readonly lifetimeMs: number;
  readonly source: LifetimeSource;
  /** The first field that was ignored because it says that the token has expired. */
  readonly expired?: ExpiredField;
}

export function makeToken(
  accessToken: string,
  refreshToken: string | undefined,
  lifetime: Lifetime,
  nowMs: number,
  headers: readonly ResponseHeader[] = [],
): Token {
  const secret = new Secret(accessToken);
  const expiresAtMs = nowMs + lifetime.lifetimeMs;
  return {
    accessToken: secret,
    issuedAtMs: nowMs,
    expiresAtMs,
    refreshAtMs: expiresAtMs === Infinity ? Infinity : expiresAtMs - Math.min(MARGIN_MS, lifetime.lifetimeMs / 5),
    lifetimeSource: lifetime.source,
    ...(lifetime.expired && { expiredField: lifetime.expired }),
    refreshToken: refreshToken === undefined ? undefined : new Secret(refreshToken),
    headers,
    generation: 0,
    fingerprint: secret.fingerprint(),
  };
}

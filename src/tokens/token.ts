import { Secret } from '../secret.ts';
import type { ExchangeStats, RefusedCall, TokenFailure } from './exchange-stats.ts';

/** Which rung of the ladder in `lifetime.ts` said how long the token lives. */
export type LifetimeSource = 'expires_in' | 'expires_at' | 'jwt' | 'default' | 'fixed';

/** A header of API calls whose value a token endpoint's answer gave. */
export type ResponseHeader = readonly [name: string, value: Secret];

/** One access token. All times are epoch milliseconds. */
export interface Token {
  /** Without "Bearer ". */
  readonly accessToken: Secret;
  readonly issuedAtMs: number;
  /** Not used from here on. `Infinity` for a fixed key. */
  readonly expiresAtMs: number;
  /** Asked for anew from here on, while this one still serves. */
  readonly refreshAtMs: number;
  readonly lifetimeSource: LifetimeSource;
  readonly refreshToken: Secret | undefined;
  /** Headers of API calls that came with it. */
  readonly headers: readonly ResponseHeader[];
  /** Its number among the tokens that all replicas share; 0 for one that was asked for alone. */
  readonly generation: number;
  /** Token endpoints that the metadata of its issuer named; undefined where the configuration names it. */
  readonly endpoints?: readonly string[] | undefined;
  /** First 8 hex digits of its SHA-256: how it may be shown. */
  readonly fingerprint: string;
}

/** Whether a token is another than `after`, and came later. */
export function isNewer(token: Token, after: Token | undefined): boolean {
  if (after === undefined) return true;
  // Asked for alone, one has no number: which came first is told by the time.
  if (after.generation === 0) return token.issuedAtMs > after.issuedAtMs && token.fingerprint !== after.fingerprint;
  return token.generation > after.generation;
}

/** Whether two stand for one token: one that came to this process by two ways is two objects of one generation. */
export function isSame(one: Token | undefined, other: Token): boolean {
  return one === other || (one !== undefined && one.generation !== 0 && one.generation === other.generation);
}

/** A request or WebSocket handshake as a token source sees it: one object for both attempts. */
export interface TokenCall {
  /** Name of the client; undefined where there is no `clients` list. */
  readonly client: string | undefined;
  readonly method: string;
  /** Path at the upstream, without the query. */
  readonly path: string;
  /** When the last attempt was sent. Milliseconds on the scale of `performance.now`. */
  sentAtMs: number;
  /** When the first attempt was refused, by the token source's clock. Epoch milliseconds; set by the token source. */
  refusedAtMs?: number;
}

/** One credential's token, shared by every route that uses it. */
export interface TokenSource {
  /** The token if it is valid now: the warm path, without a promise. */
  current(): Token | undefined;
  /**
   * Waits for the one exchange under way, or starts it.
   * @throws ProxyError `token_denied` or `token_unavailable`
   */
  token(): Promise<Token>;
  /**
   * The provider refused `token` on this call.
   * @returns the token for a second attempt, or undefined if the refusal passes as it is
   */
  reject(token: Token, call: TokenCall): Promise<Token | undefined>;
  /** The provider refused the second attempt's token too: the token was not what was wrong with this call. */
  refusedAgain(token: Token, call: TokenCall): void;
  /** The provider accepted `token` on this call. */
  served(token: Token, call: TokenCall): void;
  /**
   * Asks for another token at once, whatever becomes of the current one; it serves on until then.
   * @returns undefined if there is nothing to ask for: a fixed key
   * @throws ProxyError `token_denied` or `token_unavailable`
   */
  renew(): Promise<Token | undefined>;
  status(): TokenStatus;
  /** Stops refreshing in the background. */
  close(): void;
}

/** How a credential's token is doing, for those who look. Times are epoch milliseconds. */
export interface TokenStatus {
  /** The last one, which may have expired; undefined while it is set aside after a refusal. */
  readonly token: Token | undefined;
  /** Whether one is being asked for right now. */
  readonly isFetching: boolean;
  /** After a failure: when the next attempt may be made; 0 if now. */
  readonly retryAtMs: number;
  /** The last attempt's, if it failed. */
  readonly failure: TokenFailure | undefined;
  readonly stats: ExchangeStats;
  readonly refusedCalls: readonly RefusedCall[];
}

/** Early-refresh margin: 30 s, never more than a fifth of the lifetime. */
const MARGIN_MS = 30_000;

export interface Lifetime {
  readonly lifetimeMs: number;
  readonly source: LifetimeSource;
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
    refreshToken: refreshToken === undefined ? undefined : new Secret(refreshToken),
    headers,
    generation: 0,
    fingerprint: secret.fingerprint(),
  };
}

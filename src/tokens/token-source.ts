import { LRUCache } from 'lru-cache';
import { type Clock, isWithin, MAX_TIMER_MS } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { Log } from '../logger.ts';
import { Secret } from '../secret.ts';
import type { TokenFetcher } from './exchange.ts';
import { ExchangeStats, type RefusedCall, type TokenFailure } from './exchange-stats.ts';
import { isNewer, isSame, makeToken, type Token, type TokenCall, type TokenSource, type TokenStatus } from './token.ts';
import { MAX_RETRY_AFTER_S, tokenUnavailable } from './token-response.ts';

const FIRST_BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 30_000;

/**
 * Delays exchanges after failures. The delay doubles from 1 s to 30 s and is shortened by up to half at random. It is
 * at least `Retry-After`.
 */
export class Backoff {
  readonly #clock: Clock;
  readonly #random: () => number;
  #failures = 0;
  #untilMs = 0;
  #error: ProxyError | undefined;
  #failedAtMs = 0;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  failed(error: ProxyError): void {
    const nowMs = this.#clock.now();
    const maxDelayMs = Math.min(FIRST_BACKOFF_MS * 2 ** this.#failures, MAX_BACKOFF_MS);
    const delayMs = maxDelayMs * (1 - this.#random() / 2);
    this.#failures += 1;
    this.#failedAtMs = nowMs;
    this.#untilMs = nowMs + Math.max(delayMs, retryAfterMs(error));
    this.#error = error;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#untilMs = 0;
    this.#failedAtMs = 0;
    this.#error = undefined;
  }

  /** Milliseconds until the next exchange may start; 0 if now. */
  remainingMs(): number {
    const nowMs = this.#clock.now();
    return isWithin(this.#untilMs - this.#failedAtMs, this.#failedAtMs, nowMs) ? this.#untilMs - nowMs : 0;
  }

  /** When the next exchange may start, in epoch milliseconds; 0 if now. */
  get retryAtMs(): number {
    return this.remainingMs() === 0 ? 0 : this.#untilMs;
  }

  /** The last failure, if no exchange has succeeded since. */
  failure(): TokenFailure | undefined {
    const last = this.#error;
    if (last === undefined) return undefined;
    return { code: last.code, detail: last.message, reason: last.reason, atMs: this.#failedAtMs };
  }

  /** The last failure with the time to wait, for requests that need a token before the next exchange may start. */
  pendingError(): ProxyError | undefined {
    const remainingMs = this.remainingMs();
    const last = this.#error;
    if (last === undefined || remainingMs === 0) return undefined;
    const { reason, cause } = last;
    return new ProxyError(last.code, last.message, { reason, cause, retryAfterS: Math.ceil(remainingMs / 1000) });
  }
}

/** Checked again here, since the error may come from another replica. */
function retryAfterMs({ retryAfterS = 0 }: ProxyError): number {
  return retryAfterS > 0 ? Math.min(retryAfterS, MAX_RETRY_AFTER_S) * 1000 : 0;
}

/** With this many unconfirmed exchanges, forced exchanges are restricted for `RESTRICTION_MS` after the last one. */
const MIN_UNCONFIRMED = 2;
const RESTRICTION_MS = 30_000;
/** The count of unconfirmed exchanges ends after this time without another one. */
const UNCONFIRMED_TTL_MS = 10 * 60_000;
/** While restricted: how long a refused call waits for a later call to be accepted. */
const ACCEPTANCE_WAIT_MS = 1000;
/** While restricted: the minimum time between two forced exchanges, for the credential and for one named client. */
const MIN_INTERVAL_MS = 5000;
const MIN_CLIENT_INTERVAL_MS = 30_000;
/** How long a call is suppressed. */
const SUPPRESSION_MS = 30_000;

const MAX_CLIENTS = 1000;
const MAX_SUPPRESSED_CALLS = 1000;
const MAX_SUPPRESSED_CHARACTERS = 256 * 1024;

/**
 * Decides whether a call that was refused with the current token forces an exchange.
 *
 * A provider refuses a call because the token is dead, or because it refuses this call with any token. In the second
 * case an exchange does harm: the new token may kill the old one for all other calls, and the token endpoint may
 * throttle. So a forced exchange is _unconfirmed_ until the call that forced it is accepted with the fresh token. A
 * confirmed exchange sets the number of unconfirmed ones to 0. So do 10 minutes without another one.
 *
 * - Normally, a refused call forces an exchange at once.
 * - Forced exchanges are _restricted_ for 30 s after an unconfirmed exchange, if there are two or more. A refused call
 *   waits up to 1 s. If a later call is accepted with the same token, the token is alive, and the refusal goes to the
 *   client. Otherwise the call forces an exchange, but not more than one per 5 s for the credential and one per 30 s for
 *   each named client.
 * - A call that was refused with a fresh token too is _suppressed_. It forces no exchange for 30 s, or until it is
 *   accepted.
 *
 * The reasons and measurements are in docs/decisions/0002-forced-refreshes.md.
 */
export class ForcedRefreshes {
  readonly #clock: Clock;
  #unconfirmed = 0;
  #lastUnconfirmedMs = -Infinity;
  /** The call that forced the last exchange, while that is unconfirmed. */
  #forcedBy: TokenCall | undefined;
  /** The highest `sentAtMs` of the calls that were accepted with the current token, on the scale of `performance.now`. */
  #acceptedSentAtMs = -Infinity;
  readonly #waiting = new Set<WaitingCall>();
  // An LRUCache reserves memory for all its entries. Most tokens are never refused, so these are created when needed.
  /** By client: when it last forced an exchange that is unconfirmed. */
  #lastUnconfirmedByClient: LRUCache<string, number> | undefined;
  /** By client, method and path. */
  #suppressedCalls: LRUCache<string, RefusedCall> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether this call may force an exchange now. While restricted, call `waitForAcceptance` first. */
  mayForce(call: TokenCall): boolean {
    const suppressed = this.#suppressedCalls?.get(keyOf(call));
    if (suppressed !== undefined && this.#isSuppressed(suppressed)) return false;
    if (!this.isRestricted()) return true;
    if (this.#isWithin(MIN_INTERVAL_MS, this.#lastUnconfirmedMs)) return false;
    return (
      call.client === undefined ||
      !this.#isWithin(MIN_CLIENT_INTERVAL_MS, this.#lastUnconfirmedByClient?.get(call.client) ?? -Infinity)
    );
  }

  isRestricted(): boolean {
    return this.#unconfirmed >= MIN_UNCONFIRMED && this.#isWithin(RESTRICTION_MS, this.#lastUnconfirmedMs);
  }

  /** Whether a call that was sent after `refused` was accepted with the current token: then the token is alive. */
  isAcceptedAfter(refused: TokenCall): boolean {
    return this.#acceptedSentAtMs > refused.sentAtMs;
  }

  /** Waits up to 1 s until `isAcceptedAfter` is true. @returns false after 1 s, or if the token is replaced */
  async waitForAcceptance(refused: TokenCall): Promise<boolean> {
    if (this.isAcceptedAfter(refused)) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiting = { sentAtMs: refused.sentAtMs, resolve };
    const cancelTimer = this.#clock.after(ACCEPTANCE_WAIT_MS, () => resolve(false));
    this.#waiting.add(waiting);
    const accepted = await promise;
    this.#waiting.delete(waiting);
    cancelTimer();
    return accepted;
  }

  /** The exchange that this call forced has succeeded. It is unconfirmed. */
  onForcedExchange(call: TokenCall): void {
    this.#unconfirmed = this.#isWithin(UNCONFIRMED_TTL_MS, this.#lastUnconfirmedMs) ? this.#unconfirmed + 1 : 1;
    this.#lastUnconfirmedMs = this.#clock.now();
    if (call.client !== undefined) {
      this.#lastUnconfirmedByClient ??= new LRUCache({ max: MAX_CLIENTS });
      this.#lastUnconfirmedByClient.set(call.client, this.#lastUnconfirmedMs);
    }
    this.#forcedBy = call;
  }

  /** There is a new current token. */
  onNewToken(): void {
    this.#acceptedSentAtMs = -Infinity;
    for (const { resolve } of this.#waiting) resolve(false);
  }

  /** The provider accepted this call with any token. That confirms the last exchange if this call forced it. */
  confirm(call: TokenCall): void {
    if (call !== this.#forcedBy) return;
    this.#forcedBy = undefined;
    this.#unconfirmed = 0;
    if (call.client !== undefined) this.#lastUnconfirmedByClient?.delete(call.client);
  }

  /** The provider accepted the current token on this call. */
  onAccepted(call: TokenCall): void {
    if (call.sentAtMs > this.#acceptedSentAtMs) {
      this.#acceptedSentAtMs = call.sentAtMs;
      if (this.#waiting.size > 0) this.#resolveWaiting();
    }
    if (this.#suppressedCalls !== undefined && this.#suppressedCalls.size > 0)
      this.#suppressedCalls.delete(keyOf(call));
  }

  /** The provider refused this call with a fresh token too. The call is suppressed for 30 s. */
  onRefusedAgain(call: TokenCall): void {
    const { client, method, path } = call;
    this.#suppressedCalls ??= new LRUCache({
      max: MAX_SUPPRESSED_CALLS,
      maxSize: MAX_SUPPRESSED_CHARACTERS,
      sizeCalculation: (_, key) => key.length,
    });
    this.#suppressedCalls.set(keyOf(call), {
      client,
      call: `${method} ${path}`,
      untilMs: this.#clock.now() + SUPPRESSION_MS,
    });
  }

  /** The calls that are suppressed now. */
  refusedCalls(): RefusedCall[] {
    return [...(this.#suppressedCalls?.values() ?? [])].filter((call) => this.#isSuppressed(call));
  }

  #resolveWaiting(): void {
    for (const { sentAtMs, resolve } of this.#waiting) if (sentAtMs < this.#acceptedSentAtMs) resolve(true);
  }

  #isSuppressed({ untilMs }: RefusedCall): boolean {
    return this.#isWithin(SUPPRESSION_MS, untilMs - SUPPRESSION_MS);
  }

  #isWithin(ms: number, sinceMs: number): boolean {
    return isWithin(ms, sinceMs, this.#clock.now());
  }
}

interface WaitingCall {
  readonly sentAtMs: number;
  readonly resolve: (accepted: boolean) => void;
}

function keyOf({ client = '', method, path }: TokenCall): string {
  return `${client}\n${method} ${path}`;
}

const IDLE_STATUS = { isFetching: false, retryAtMs: 0, failure: undefined, refusedCalls: [] } as const;

/** The source of a fixed key, which never expires and cannot be replaced. */
export function fixedTokenSource(key: Secret, nowMs: number): TokenSource {
  const token: Token = makeToken(key.reveal(), undefined, { lifetimeMs: Infinity, source: 'fixed' }, nowMs);
  const status: TokenStatus = { token, ...IDLE_STATUS, stats: new ExchangeStats() };
  return {
    current: () => token,
    token: () => Promise.resolve(token),
    reject: () => Promise.resolve(undefined),
    refusedAgain() {},
    accepted() {},
    renew: () => Promise.resolve(undefined),
    status: () => status,
    close() {},
  };
}

const NO_TOKEN_STATUS: TokenStatus = { token: undefined, ...IDLE_STATUS, stats: new ExchangeStats() };

/**
 * The source of routes with `token: none`. Its token is empty and is not sent, so that such requests are handled as others
 * are. It has no status.
 */
export const NO_TOKEN_SOURCE: TokenSource = {
  ...fixedTokenSource(new Secret(''), 0),
  status: () => NO_TOKEN_STATUS,
};

export interface CacheContext {
  /** For the log. */
  readonly provider: string;
  readonly clock: Clock;
  /** Uniform in [0, 1), like `Math.random`. */
  readonly random: () => number;
  readonly log: Log;
  /** The statistics of the fetcher. */
  readonly stats: ExchangeStats;
  /** A token to begin with. */
  readonly initial?: Token | undefined;
}

/**
 * Keeps one token and decides when to fetch the next: before it expires if it is in use, when the provider refuses it,
 * and after a delay if the exchange fails. All callers share one exchange.
 */
export class CachedTokenSource implements TokenSource {
  readonly #fetcher: TokenFetcher;
  readonly #clock: Clock;
  readonly #provider: string;
  readonly #log: Log;
  readonly #stats: ExchangeStats;
  readonly #backoff: Backoff;
  readonly #forcedRefreshes: ForcedRefreshes;
  #token: Token | undefined;
  #exchange: Promise<Token> | undefined;
  /**
   * The refused call that suspended the current token. The token is not used until the exchange ends, or until a later
   * call is accepted with it.
   */
  #suspendedBy: TokenCall | undefined;
  /** Whether a request has used the current token. An unused token is not refreshed before it expires. */
  #isUsed = false;
  #cancelTimer: () => void = () => {};
  readonly #unwatch: (() => void) | undefined;
  #isClosed = false;

  constructor(fetcher: TokenFetcher, context: CacheContext) {
    this.#fetcher = fetcher;
    this.#clock = context.clock;
    this.#provider = context.provider;
    this.#log = context.log;
    this.#stats = context.stats;
    this.#backoff = new Backoff(context.clock, context.random);
    this.#forcedRefreshes = new ForcedRefreshes(context.clock);
    if (context.initial !== undefined) {
      this.#token = context.initial;
      this.#isUsed = true;
      this.#schedule(context.initial.refreshAtMs - this.#clock.now());
    }
    this.#unwatch = fetcher.watch?.((token) => this.#adopt(token));
  }

  current(): Token | undefined {
    const token = this.#token;
    if (token === undefined) return undefined;
    const nowMs = this.#clock.now();
    if (nowMs >= token.expiresAtMs) return undefined;
    if (this.#suspendedBy !== undefined && !this.#forcedRefreshes.isAcceptedAfter(this.#suspendedBy)) return undefined;
    this.#isUsed = true;
    if (nowMs >= token.refreshAtMs) this.#refreshAhead();
    return token;
  }

  async token(): Promise<Token> {
    const current = this.current();
    if (current !== undefined) return current;
    try {
      const next = await this.#next();
      this.#isUsed = true;
      return next;
    } catch (error) {
      // The exchange failed, so a suspended token is current again.
      const kept = this.current();
      if (kept === undefined) throw error;
      return kept;
    }
  }

  async reject(refused: Token, call: TokenCall): Promise<Token | undefined> {
    call.refusedAtMs = this.#clock.now();
    if (this.#isCurrent(refused)) {
      if (!this.#mayForce(call)) return undefined;
      const isAlive = this.#forcedRefreshes.isRestricted() && (await this.#forcedRefreshes.waitForAcceptance(call));
      // Another call may have forced an exchange during the wait.
      if (this.#isCurrent(refused)) {
        if (isAlive || !this.#mayForce(call)) return undefined;
        this.#force(refused, call);
      }
    }
    try {
      // During a forced exchange, `token()` could return the refused token.
      const next = isSame(this.#token, refused) ? await this.#next() : await this.token();
      if (!next.accessToken.equals(refused.accessToken.reveal())) return next;
      this.refusedAgain(next, call);
      return undefined;
    } catch {
      // The failure is logged already. The client gets the provider's refusal.
      return undefined;
    }
  }

  refusedAgain(token: Token, call: TokenCall): void {
    // A token from before the first refusal may be dead too. Another replica may have stored it.
    const isFresh = call.refusedAtMs === undefined || token.issuedAtMs >= call.refusedAtMs;
    if (isFresh && isSame(this.#token, token)) this.#forcedRefreshes.onRefusedAgain(call);
  }

  accepted(token: Token, call: TokenCall): void {
    this.#forcedRefreshes.confirm(call);
    if (isSame(this.#token, token)) this.#forcedRefreshes.onAccepted(call);
  }

  async renew(): Promise<Token> {
    const token = await this.#next();
    this.#isUsed = true;
    return token;
  }

  status(): TokenStatus {
    return {
      token: this.#suspendedBy === undefined ? this.#token : undefined,
      isFetching: this.#exchange !== undefined,
      retryAtMs: this.#backoff.retryAtMs,
      failure: this.#backoff.failure(),
      stats: this.#stats,
      refusedCalls: this.#forcedRefreshes.refusedCalls(),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
    this.#unwatch?.();
  }

  /** Joins the exchange under way, or starts one. Fails at once during the backoff. */
  #next(): Promise<Token> {
    if (this.#exchange !== undefined) return this.#exchange;
    const pendingError = this.#backoff.pendingError();
    if (pendingError !== undefined) return Promise.reject(pendingError);
    const exchange = this.#fetch().finally(() => (this.#exchange = undefined));
    this.#exchange = exchange;
    return exchange;
  }

  async #fetch(): Promise<Token> {
    try {
      // A refresh token outlives its access token.
      const token = await this.#fetcher.fetch(this.#token?.refreshToken, this.#token);
      this.#backoff.succeeded();
      // `#adopt` may have set a newer token during the exchange.
      const current = this.#token;
      if (current !== undefined && token.generation !== 0 && current.generation >= token.generation) return current;
      this.#setToken(token);
      return token;
    } catch (cause) {
      const error =
        cause instanceof ProxyError
          ? cause
          : tokenUnavailable('Wakala could not send it', { kind: 'internal' }, { cause });
      this.#backoff.failed(error);
      this.#suspendedBy = undefined;
      this.#schedule(this.#backoff.remainingMs());
      throw this.#backoff.pendingError() ?? error;
    }
  }

  /** Uses a token that another replica fetched. */
  #adopt(token: Token): void {
    if (this.#isClosed || !isNewer(token, this.#token)) return;
    this.#backoff.succeeded();
    this.#setToken(token);
  }

  #setToken(token: Token): void {
    this.#forcedRefreshes.onNewToken();
    this.#suspendedBy = undefined;
    this.#token = token;
    this.#isUsed = false;
    this.#schedule(token.refreshAtMs - this.#clock.now());
    this.#log.info('token_fetched', {
      provider: this.#provider,
      token: token.fingerprint,
      lifetime_s: Math.round((token.expiresAtMs - token.issuedAtMs) / 1000),
      lifetime_source: token.lifetimeSource,
    });
  }

  /** Whether `refused` is the current token, and no exchange is under way that replaces it. */
  #isCurrent(refused: Token): boolean {
    return isSame(this.#token, refused) && this.#exchange === undefined;
  }

  #mayForce(call: TokenCall): boolean {
    return this.#backoff.remainingMs() === 0 && this.#forcedRefreshes.mayForce(call);
  }

  #force(refused: Token, call: TokenCall): void {
    const fields = { provider: this.#provider, token: refused.fingerprint };
    this.#log.info('token_refused', { ...fields, method: call.method });
    // After a failed exchange the token stays in use, since the token endpoint may take long to fail each time.
    if (this.#backoff.failure() === undefined) this.#suspendedBy = call;
    this.#next().then(
      (next) => {
        this.#forcedRefreshes.onForcedExchange(call);
        if (next.accessToken.equals(refused.accessToken.reveal())) {
          this.#log.warn('token_unchanged', fields);
        }
      },
      () => {},
    );
  }

  #refreshAhead(): void {
    if (this.#exchange !== undefined || this.#backoff.remainingMs() > 0) return;
    // No request waits for it. If it fails, the token stays in use.
    this.#next().catch(() => {});
  }

  /** Refreshes after `delayMs` if the token has been used by then. An unused token expires. */
  #schedule(delayMs: number): void {
    this.#cancelTimer();
    if (this.#isClosed || delayMs === Infinity) return;
    this.#cancelTimer = this.#clock.after(Math.min(delayMs, MAX_TIMER_MS), () => {
      const token = this.#token;
      const nowMs = this.#clock.now();
      if (token === undefined || nowMs >= token.expiresAtMs) return;
      // The timer may fire early: it does not follow the clock when that is set, and is limited to 2^31 ms.
      const waitMs = Math.max(token.refreshAtMs - nowMs, this.#backoff.remainingMs());
      if (waitMs > 0) this.#schedule(waitMs);
      else if (this.#isUsed) this.#refreshAhead();
    });
  }
}

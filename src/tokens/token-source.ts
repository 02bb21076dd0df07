import { LRUCache } from 'lru-cache';
import { type Clock, MAX_TIMER_MS } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { Log } from '../logger.ts';
import type { Secret } from '../secret.ts';
import { ExchangeStats, type RefusedCall, type TokenFailure } from './exchange-stats.ts';
import type { TokenFetcher } from './exchange.ts';
import { MAX_RETRY_AFTER_S, tokenUnavailable } from './token-response.ts';
import { isNewer, isSame, makeToken, type Token, type TokenCall, type TokenSource, type TokenStatus } from './token.ts';

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;

/** When to ask again after failures: 1 s doubling to 30 s, less up to half by chance, `Retry-After` honoured. */
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
    const whole = Math.min(FIRST_MS * 2 ** this.#failures, LONGEST_MS);
    const delayMs = whole * (1 - this.#random() / 2);
    this.#failures += 1;
    this.#failedAtMs = this.#clock.now();
    this.#untilMs = this.#clock.now() + Math.max(delayMs, retryAfterMs(error));
    this.#error = error;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#untilMs = 0;
    this.#error = undefined;
  }

  /** Milliseconds until the next question may be asked; 0 if now. */
  remainingMs(): number {
    return Math.max(0, this.#untilMs - this.#clock.now());
  }

  /** When the next question may be asked, epoch milliseconds; 0 if now. */
  get retryAtMs(): number {
    return this.remainingMs() === 0 ? 0 : this.#untilMs;
  }

  /** The last failure, if nothing succeeded since. */
  failure(): TokenFailure | undefined {
    const last = this.#error;
    if (last === undefined) return undefined;
    return { code: last.code, detail: last.message, reason: last.reason, atMs: this.#failedAtMs };
  }

  /** What everyone gets who asks before the time: the last failure, saying how long to wait. */
  refusal(): ProxyError | undefined {
    const remainingMs = this.remainingMs();
    const last = this.#error;
    if (last === undefined || remainingMs === 0) return undefined;
    const { reason, cause } = last;
    return new ProxyError(last.code, last.message, { reason, cause, retryAfterS: Math.ceil(remainingMs / 1000) });
  }
}

/** 0 for what is no positive number: another replica may have published it. */
function retryAfterMs({ retryAfterS = 0 }: ProxyError): number {
  return retryAfterS > 0 ? Math.min(retryAfterS, MAX_RETRY_AFTER_S) * 1000 : 0;
}

/** From this many unproven exchanges on, each makes the rule wary for this long. */
const WARY_FROM = 2;
const WARY_MS = 30_000;
/** Without another one, unproven exchanges are forgotten after this time. */
const FORGET_MS = 10 * 60_000;
/** While wary, how long a refused call waits for a later call to be accepted. */
const WAIT_MS = 1000;
/** While wary, the shortest time between two forced exchanges of the credential, and of one named client. */
const CREDENTIAL_MS = 5000;
const CLIENT_MS = 30_000;
/** How long a call is quiet. */
const QUIET_MS = 30_000;

const MAX_CLIENTS = 1000;
const MAX_QUIET = 1000;
const MAX_QUIET_CHARACTERS = 256 * 1024;

/**
 * Decides whether a refusal of the current token forces an exchange.
 *
 * A refusal means that the token is dead, or that the provider refuses this call with any token. An exchange for the
 * second kind does harm: the new token may kill the old one for all other calls, and the token endpoint may throttle. So
 * each forced exchange counts as unproven until the call that forced it is accepted with the fresh token. The count goes
 * back to 0 with a proven exchange, and after 10 minutes without an unproven one.
 *
 * - Calm: a refusal forces an exchange at once.
 * - Wary, for 30 s after an unproven exchange if two or more are counted: the refused call waits up to 1 s. If a call that
 *   was sent later is accepted with the same token, the token is alive and the refusal passes. If none is, the call
 *   forces an exchange: at most one per 5 s for the credential, and one per 30 s for each named client.
 * - Quiet: a call whose fresh token was refused too forces nothing for 30 s, or until it is accepted.
 *
 * The reasons and the figures are in docs/decisions/0002-forced-refreshes.md.
 */
export class ForcedRefreshes {
  readonly #clock: Clock;
  #unproven = 0;
  #lastUnprovenMs = -Infinity;
  /** The call that forced the last exchange, while that is unproven. */
  #forcedBy: TokenCall | undefined;
  /** When the latest call that was accepted with the current token was sent. */
  #acceptedSentAtMs = -Infinity;
  readonly #waiting = new Set<WaitingCall>();
  // These reserve memory for all that they may hold, so they are made when they are needed: most tokens are never refused.
  /** When each client last forced an exchange that is unproven. */
  #lastByClient: LRUCache<string, number> | undefined;
  /** By client, method and path. */
  #quiet: LRUCache<string, RefusedCall> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether this call may force an exchange now. While wary, only if `waitForAcceptance` was false. */
  mayForce(call: TokenCall): boolean {
    const quiet = this.#quiet?.get(keyOf(call));
    if (quiet !== undefined && this.#isQuiet(quiet)) return false;
    if (!this.isWary()) return true;
    if (this.#isWithin(CREDENTIAL_MS, this.#lastUnprovenMs)) return false;
    return call.client === undefined || !this.#isWithin(CLIENT_MS, this.#lastByClient?.get(call.client) ?? -Infinity);
  }

  isWary(): boolean {
    return this.#unproven >= WARY_FROM && this.#isWithin(WARY_MS, this.#lastUnprovenMs);
  }

  /** Whether a call that was sent after `refused` was accepted with the current token: then the token is alive. */
  isAcceptedAfter(refused: TokenCall): boolean {
    return this.#acceptedSentAtMs > refused.sentAtMs;
  }

  /** Waits up to 1 s for `isAcceptedAfter` to become true; ends early when the token is replaced. */
  async waitForAcceptance(refused: TokenCall): Promise<boolean> {
    if (this.isAcceptedAfter(refused)) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiting = { sentAtMs: refused.sentAtMs, resolve };
    const cancelTimer = this.#clock.after(WAIT_MS, () => resolve(false));
    this.#waiting.add(waiting);
    const accepted = await promise;
    this.#waiting.delete(waiting);
    cancelTimer();
    return accepted;
  }

  /** The exchange that this call forced gave a token. */
  forced(call: TokenCall): void {
    this.#unproven = this.#isWithin(FORGET_MS, this.#lastUnprovenMs) ? this.#unproven + 1 : 1;
    this.#lastUnprovenMs = this.#clock.now();
    if (call.client !== undefined) {
      this.#lastByClient ??= new LRUCache({ max: MAX_CLIENTS });
      this.#lastByClient.set(call.client, this.#lastUnprovenMs);
    }
    this.#forcedBy = call;
  }

  /** The current token was replaced. */
  renewed(): void {
    this.#acceptedSentAtMs = -Infinity;
    for (const { resolve } of this.#waiting) resolve(false);
  }

  /** The provider accepted this call: if it forced the last exchange, that exchange is proven. */
  proves(call: TokenCall): void {
    if (call !== this.#forcedBy) return;
    this.#forcedBy = undefined;
    this.#unproven = 0;
    if (call.client !== undefined) this.#lastByClient?.delete(call.client);
  }

  /** The provider accepted the current token on this call. */
  accepted(call: TokenCall): void {
    if (call.sentAtMs > this.#acceptedSentAtMs) {
      this.#acceptedSentAtMs = call.sentAtMs;
      if (this.#waiting.size > 0) this.#endWaits();
    }
    if (this.#quiet !== undefined && this.#quiet.size > 0) this.#quiet.delete(keyOf(call));
  }

  /** The provider refused the fresh token on this call too. */
  refusedAgain(call: TokenCall): void {
    const { client, method, path } = call;
    this.#quiet ??= new LRUCache({
      max: MAX_QUIET,
      maxSize: MAX_QUIET_CHARACTERS,
      sizeCalculation: (_, key) => key.length,
    });
    this.#quiet.set(keyOf(call), { client, call: `${method} ${path}`, untilMs: this.#clock.now() + QUIET_MS });
  }

  /** The calls that are quiet now. */
  refusedCalls(): RefusedCall[] {
    return [...(this.#quiet?.values() ?? [])].filter((call) => this.#isQuiet(call));
  }

  #endWaits(): void {
    for (const { sentAtMs, resolve } of this.#waiting) if (sentAtMs < this.#acceptedSentAtMs) resolve(true);
  }

  #isQuiet({ untilMs }: RefusedCall): boolean {
    return this.#isWithin(QUIET_MS, untilMs - QUIET_MS);
  }

  /** False for a time in the future: the clock was set back. */
  #isWithin(ms: number, sinceMs: number): boolean {
    const elapsedMs = this.#clock.now() - sinceMs;
    return elapsedMs >= 0 && elapsedMs < ms;
  }
}

interface WaitingCall {
  readonly sentAtMs: number;
  readonly resolve: (accepted: boolean) => void;
}

function keyOf({ client = '', method, path }: TokenCall): string {
  return `${client}\n${method} ${path}`;
}

/** A bearer key that never expires and cannot be asked for anew. */
export function fixedTokenSource(key: Secret, nowMs: number): TokenSource {
  const token: Token = makeToken(key.reveal(), undefined, { lifetimeMs: Infinity, source: 'fixed' }, nowMs);
  const status: TokenStatus = {
    token,
    isFetching: false,
    retryAtMs: 0,
    failure: undefined,
    stats: new ExchangeStats(),
    refusedCalls: [],
  };
  return {
    current: () => token,
    token: () => Promise.resolve(token),
    reject: () => Promise.resolve(undefined),
    refusedAgain() {},
    served() {},
    renew: () => Promise.resolve(undefined),
    status: () => status,
    close() {},
  };
}

export interface CacheContext {
  /** Whose token it is, for the log. */
  readonly provider: string;
  readonly clock: Clock;
  /** Uniform in [0, 1), like `Math.random`. */
  readonly random: () => number;
  readonly log: Log;
  /** What the fetcher counts. */
  readonly stats: ExchangeStats;
}

/**
 * Remembers one token and decides when to ask for another: once for all who wait, ahead of expiry while the token is
 * in use, at once when it dies, later and later while the token endpoint fails.
 */
export class CachedTokenSource implements TokenSource {
  readonly #fetcher: TokenFetcher;
  readonly #clock: Clock;
  readonly #provider: string;
  readonly #log: Log;
  readonly #stats: ExchangeStats;
  readonly #backoff: Backoff;
  readonly #refusals: ForcedRefreshes;
  #token: Token | undefined;
  /** The last one that was had, whatever became of it. */
  #last: Token | undefined;
  /** Outlives the access token it came with; spent by the one refresh that tries it. */
  #refreshToken: Secret | undefined;
  #underWay: Promise<Token> | undefined;
  /**
   * The refused call that set the current token aside: until the exchange ends, nobody uses the token, unless a later
   * call is accepted with it.
   */
  #setAsideFor: TokenCall | undefined;
  /** Whether anyone used the current token: one that nobody uses is not refreshed ahead. */
  #used = false;
  #cancelTimer: () => void = () => {};
  readonly #endWatch: (() => void) | undefined;
  #closed = false;

  constructor(fetcher: TokenFetcher, context: CacheContext) {
    this.#fetcher = fetcher;
    this.#clock = context.clock;
    this.#provider = context.provider;
    this.#log = context.log;
    this.#stats = context.stats;
    this.#backoff = new Backoff(context.clock, context.random);
    this.#refusals = new ForcedRefreshes(context.clock);
    this.#endWatch = fetcher.watch?.((token) => this.#adopt(token));
  }

  current(): Token | undefined {
    const token = this.#token;
    if (token === undefined) return undefined;
    const nowMs = this.#clock.now();
    if (nowMs >= token.expiresAtMs) return undefined;
    if (this.#setAsideFor !== undefined && !this.#refusals.isAcceptedAfter(this.#setAsideFor)) return undefined;
    this.#used = true;
    if (nowMs >= token.refreshAtMs) this.#refreshAhead();
    return token;
  }

  async token(): Promise<Token> {
    const current = this.current();
    if (current !== undefined) return current;
    try {
      const next = await this.#next();
      this.#used = true;
      return next;
    } catch (error) {
      // A token that was set aside is current again.
      const kept = this.current();
      if (kept === undefined) throw error;
      return kept;
    }
  }

  async reject(refused: Token, call: TokenCall): Promise<Token | undefined> {
    call.refusedAtMs = this.#clock.now();
    if (this.#isUndecided(refused)) {
      if (!this.#mayForce(call)) return undefined;
      const isAlive = this.#refusals.isWary() && (await this.#refusals.waitForAcceptance(call));
      // Another call may have forced an exchange meanwhile.
      if (this.#isUndecided(refused)) {
        if (isAlive || !this.#mayForce(call)) return undefined;
        this.#force(refused, call);
      }
    }
    try {
      const next = isSame(this.#token, refused) ? await this.#next() : await this.token();
      if (!next.accessToken.equals(refused.accessToken.reveal())) return next;
      this.refusedAgain(next, call);
      return undefined;
    } catch {
      // The failure is logged where it happened; this request keeps the provider's own answer.
      return undefined;
    }
  }

  refusedAgain(token: Token, call: TokenCall): void {
    // A token that is older than the first refusal may be dead too: another replica's, for example.
    const isFresh = call.refusedAtMs === undefined || token.issuedAtMs >= call.refusedAtMs;
    if (isFresh && isSame(this.#token, token)) this.#refusals.refusedAgain(call);
  }

  served(token: Token, call: TokenCall): void {
    this.#refusals.proves(call);
    if (isSame(this.#token, token)) this.#refusals.accepted(call);
  }

  async renew(): Promise<Token> {
    const token = await this.#next();
    this.#used = true;
    return token;
  }

  status(): TokenStatus {
    return {
      token: this.#setAsideFor === undefined ? this.#token : undefined,
      isFetching: this.#underWay !== undefined,
      retryAtMs: this.#backoff.retryAtMs,
      failure: this.#backoff.failure(),
      stats: this.#stats,
      refusedCalls: this.#refusals.refusedCalls(),
    };
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#endWatch?.();
  }

  /** The exchange under way, or a new one, or the failure that all share until the backoff ends. */
  #next(): Promise<Token> {
    if (this.#underWay !== undefined) return this.#underWay;
    const refusal = this.#backoff.refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const underWay = this.#ask().finally(() => (this.#underWay = undefined));
    this.#underWay = underWay;
    return underWay;
  }

  async #ask(): Promise<Token> {
    const refreshToken = this.#refreshToken;
    this.#refreshToken = undefined;
    try {
      const token = await this.#fetcher.fetch(refreshToken, this.#last);
      this.#backoff.succeeded();
      // News of a newer one may have come meanwhile.
      const held = this.#token;
      if (held !== undefined && token.generation !== 0 && held.generation >= token.generation) return held;
      this.#keep(token);
      return token;
    } catch (cause) {
      const error =
        cause instanceof ProxyError
          ? cause
          : tokenUnavailable('Wakala could not send it', { kind: 'internal' }, { cause });
      this.#backoff.failed(error);
      this.#setAsideFor = undefined;
      this.#schedule(this.#backoff.remainingMs());
      throw this.#backoff.refusal() ?? error;
    }
  }

  /** Takes over a token that another replica got. */
  #adopt(token: Token): void {
    if (this.#closed || !isNewer(token, this.#last)) return;
    this.#backoff.succeeded();
    this.#keep(token);
  }

  #keep(token: Token): void {
    this.#refusals.renewed();
    this.#setAsideFor = undefined;
    this.#token = token;
    this.#last = token;
    this.#refreshToken = token.refreshToken;
    this.#used = false;
    this.#schedule(token.refreshAtMs - this.#clock.now());
    this.#log.info('token_fetched', {
      provider: this.#provider,
      token: token.fingerprint,
      lifetime_s: Math.round((token.expiresAtMs - token.issuedAtMs) / 1000),
      lifetime_source: token.lifetimeSource,
    });
  }

  /** Whether `refused` is still the current token and no exchange is under way. */
  #isUndecided(refused: Token): boolean {
    return isSame(this.#token, refused) && this.#underWay === undefined;
  }

  #mayForce(call: TokenCall): boolean {
    return this.#backoff.remainingMs() === 0 && this.#refusals.mayForce(call);
  }

  #force(refused: Token, call: TokenCall): void {
    const fields = { provider: this.#provider, token: refused.fingerprint };
    this.#log.info('token_refused', { ...fields, method: call.method });
    // After a failed exchange the token stays in use: the token endpoint may take long to fail each time.
    if (this.#backoff.failure() === undefined) this.#setAsideFor = call;
    this.#next().then(
      (next) => {
        this.#refusals.forced(call);
        if (next.accessToken.equals(refused.accessToken.reveal())) {
          this.#log.warn('token_unchanged', fields);
        }
      },
      () => {},
    );
  }

  #refreshAhead(): void {
    if (this.#underWay !== undefined || this.#backoff.remainingMs() > 0) return;
    // Nobody waits for it: a failure is logged, backed off from, and the token still serves.
    this.#next().catch(() => {});
  }

  /** Refreshes after `delayMs` if the token was used by then; one that nobody used is left to lapse. */
  #schedule(delayMs: number): void {
    this.#cancelTimer();
    if (this.#closed || delayMs === Infinity) return;
    this.#cancelTimer = this.#clock.after(Math.min(delayMs, MAX_TIMER_MS), () => {
      const token = this.#token;
      const nowMs = this.#clock.now();
      if (token === undefined || nowMs >= token.expiresAtMs) return;
      // A timer may be early: it counts other milliseconds than the clock, and not more than 2^31 of them.
      const waitMs = Math.max(token.refreshAtMs - nowMs, this.#backoff.remainingMs());
      if (waitMs > 0) this.#schedule(waitMs);
      else if (this.#used) this.#refreshAhead();
    });
  }
}

import { type Clock, MAX_TIMER_MS } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Secret } from '../secret.ts';
import { unavailable } from './answer.ts';
import { Backoff } from './backoff.ts';
import type { TokenFetcher } from './exchange.ts';
import { Refusals } from './refusals.ts';
import type { ExchangeStats } from './tally.ts';
import { isNewer, isSame, type Token, type TokenCall, type TokenSource, type TokenStatus } from './token.ts';

export interface CacheContext {
  /** Whose token it is, for the log. */
  readonly provider: string;
  readonly clock: Clock;
  /** Uniform in [0, 1), like `Math.random`. */
  readonly random: () => number;
  readonly log: Log;
  /** What the asker counts. */
  readonly tally: ExchangeStats;
}

/**
 * Remembers one token and decides when to ask for another: once for all who wait, ahead of expiry while the token is
 * in use, at once when it dies, later and later while the token endpoint fails.
 */
export class CachedTokenSource implements TokenSource {
  readonly #asker: TokenFetcher;
  readonly #clock: Clock;
  readonly #provider: string;
  readonly #log: Log;
  readonly #tally: ExchangeStats;
  readonly #backoff: Backoff;
  readonly #refusals: Refusals;
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

  constructor(asker: TokenFetcher, context: CacheContext) {
    this.#asker = asker;
    this.#clock = context.clock;
    this.#provider = context.provider;
    this.#log = context.log;
    this.#tally = context.tally;
    this.#backoff = new Backoff(context.clock, context.random);
    this.#refusals = new Refusals(context.clock);
    this.#endWatch = asker.watch?.((token) => this.#adopt(token));
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
      asking: this.#underWay !== undefined,
      retryAtMs: this.#backoff.retryAtMs,
      failure: this.#backoff.failure(),
      tally: this.#tally,
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
      const token = await this.#asker.fetch(refreshToken, this.#last);
      this.#backoff.succeeded();
      // News of a newer one may have come meanwhile.
      const held = this.#token;
      if (held !== undefined && token.generation !== 0 && held.generation >= token.generation) return held;
      this.#keep(token);
      return token;
    } catch (cause) {
      const error = cause instanceof ProxyError ? cause : unavailable('it could not be asked', cause);
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
    this.#log.info(
      {
        provider: this.#provider,
        token: token.fingerprint,
        lifetime_s: Math.round((token.expiresAtMs - token.issuedAtMs) / 1000),
        lifetime_source: token.lifetimeSource,
      },
      'token fetched',
    );
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
    this.#log.info({ ...fields, method: call.method }, 'provider refused the token; asking for another');
    // After a failed exchange the token stays in use: the token endpoint may take long to fail each time.
    if (this.#backoff.failure() === undefined) this.#setAsideFor = call;
    this.#next().then(
      (next) => {
        this.#refusals.forced(call);
        if (next.accessToken.equals(refused.accessToken.reveal())) {
          this.#log.warn(fields, 'token endpoint gave the refused token again');
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

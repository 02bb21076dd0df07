import type { Clock } from '../../clock.ts';
import { ProxyError, readReason, type Reason } from '../../errors.ts';
import type { Log } from '../../logger.ts';
import type { Secret } from '../../secret.ts';
import { EXCHANGE_TIMEOUT_MS, type TokenFetcher } from '../exchange.ts';
import { MAX_RETRY_AFTER_S } from '../token-response.ts';
import { isNewer, type Token } from '../token.ts';
import { CipherError, type TokenCipher } from './cipher.ts';
import { type StoredToken, StoreUnavailable, type TokenStore } from './store.ts';

/** What a replica tells the others about its turn. `generation` is the number of the turn. */
export type StoreEvent =
  | { readonly kind: 'posted'; readonly generation: number }
  /** The exchange failed: those who wait for it need not make the same mistake one after the other. */
  | {
      readonly kind: 'failed';
      readonly generation: number;
      readonly code: 'token_denied' | 'token_unavailable';
      /** Whole seconds, up to an hour. */
      readonly retryAfterS?: number;
      /** Undefined if the sender is of a version that sends none, or of one that sends a kind this one does not know. */
      readonly reason?: Reason;
    };

/** Longest text that is opened, in characters. News have about 200. */
const MAX_LENGTH = 1024;

/**
 * News of a failure are believed for this long, so that nobody can replay an old failure. Replicas whose clocks differ
 * by more do not share failures: each makes its own request.
 */
const FRESH_MS = 60_000;

interface EventContext {
  readonly cipher: TokenCipher;
  /** Name of the credential on the store. */
  readonly name: string;
  readonly clock: Clock;
}

export function encryptEvent(news: StoreEvent, { cipher: seal, name, clock }: EventContext): string {
  return seal.encryptJson({ ...news, sentAtMs: clock.now() }, aboutNews(name));
}

/**
 * @returns undefined for a failure that is not fresh, and for news of an unknown kind or with a value out of range
 * @throws SealError if no replica that knows the encryption key sent it
 */
export function decryptEvent(text: string, { cipher: seal, name, clock }: EventContext): StoreEvent | undefined {
  if (text.length > MAX_LENGTH) throw new CipherError('it is too long');
  const news = seal.decryptJson(text, aboutNews(name)) as StoreEvent & { readonly sentAtMs: number };
  const { kind, generation } = news;
  if (!Number.isSafeInteger(generation)) return undefined;
  if (kind === 'posted') return { kind, generation };
  if (kind !== 'failed' || !(Math.abs(clock.now() - news.sentAtMs) <= FRESH_MS)) return undefined;
  const { code, retryAfterS } = news;
  if (code !== 'token_denied' && code !== 'token_unavailable') return undefined;
  const reason = readReason(news.reason);
  const failure = { kind, generation, code, ...(reason !== undefined && { reason }) };
  if (retryAfterS === undefined) return failure;
  const isWait = Number.isInteger(retryAfterS) && retryAfterS > 0 && retryAfterS <= MAX_RETRY_AFTER_S;
  return isWait ? { ...failure, retryAfterS } : undefined;
}

/** News of the failed turn `generation`; undefined for an error that says nothing about the credential. */
export function failureEvent(error: unknown, generation: number): StoreEvent | undefined {
  if (!(error instanceof ProxyError)) return undefined;
  const code = error.code === 'token_denied' ? error.code : 'token_unavailable';
  const { retryAfterS } = error;
  // Within the bounds that the reader checks, so that the message stays short.
  const reason = readReason(error.reason);
  return {
    kind: 'failed',
    generation,
    code,
    ...(retryAfterS !== undefined && { retryAfterS }),
    ...(reason !== undefined && { reason }),
  };
}

/** The same failure for those who waited: in words of this replica, whatever the other one said. */
export function errorFromEvent({ code, retryAfterS, reason }: StoreEvent & { kind: 'failed' }): ProxyError {
  const what = code === 'token_denied' ? 'was refused the token' : 'requested the token and failed';
  const detail = `Another process of wakala ${what}. The log of that process has the reason.`;
  return new ProxyError(code, detail, { reason, retryAfterS });
}

/** Unlike the `name` and number of a token, so that neither opens as the other. */
function aboutNews(name: string): string {
  return `${name}\0news`;
}

/** How long a turn lasts unless it is renewed: how long the others wait for one who died in it. */
export const LEASE_DURATION_MS = 3000;

/**
 * How long a replica waits for the turns of others before it makes its own request: for one exchange and one turn. It
 * bounds what someone else can do who keeps a turn in the store.
 */
export const MAX_LEASE_WAIT_MS = EXCHANGE_TIMEOUT_MS + LEASE_DURATION_MS;

/** News may get lost: those who wait look for themselves as well. */
const POLL_MS = 250;

/** A token that lives no longer than this is not worth taking over. */
const MIN_REMAINING_MS = 1000;

/** Turns are numbered by the time in microseconds, or a little above. A number that is further ahead was forged. */
const MAX_AHEAD_MS = 2 * 365 * 86_400_000;

interface SharedContext {
  readonly store: TokenStore;
  readonly cipher: TokenCipher;
  /** Name of the credential on the store: a hash. */
  readonly name: string;
  /** Whose token it is, for the log. */
  readonly provider: string;
  /** This replica; no other has the same. */
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Called for each message that no replica with a known encryption key sent. */
  readonly onForeignMessage: () => void;
}

/**
 * Asks for a token that all replicas share: takes over one that another replica posted, or waits for the replica whose
 * turn it is to ask, or takes the turn. Where the store is down, it asks alone.
 */
export class SharedTokenFetcher implements TokenFetcher {
  readonly #own: TokenFetcher;
  readonly #context: SharedContext;
  /** Whether the last attempt found the store down: said once, not for every token. */
  #alone = false;
  /** Whether the last token on the store could not be opened: logged once, not at every read. */
  #unreadable = false;
  /** The newest token that came from the store or went there. Nothing older is taken from the store any more. */
  #newest: Token | undefined;

  constructor(own: TokenFetcher, context: SharedContext) {
    this.#own = own;
    this.#context = context;
  }

  async fetch(refreshToken: Secret | undefined, after?: Token): Promise<Token> {
    try {
      const token = await this.#shared(refreshToken, after);
      if (this.#alone) this.#context.log.info('token_store_available', { provider: this.#context.provider });
      this.#alone = false;
      return token;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (!this.#alone) {
        const fields = { provider: this.#context.provider, error: error.message };
        this.#context.log.warn('token_store_unavailable', fields);
      }
      this.#alone = true;
      return await this.#own.fetch(refreshToken, after);
    }
  }

  /** Calls back with tokens that other replicas posted. @returns a function that ends it */
  watch(adopt: (token: Token) => void): () => void {
    const { store: store } = this.#context;
    const read = coalesced(async () => {
      const token = this.#opened(await store.read());
      if (token !== undefined) adopt(token);
    });
    let heard = 0;
    return store.subscribe((text) => {
      const news = this.#opensNews(text);
      if (news?.kind !== 'posted' || news.generation <= heard) return;
      heard = news.generation;
      read();
    });
  }

  async #shared(refreshToken: Secret | undefined, after: Token | undefined): Promise<Token> {
    const { store: store, owner, clock } = this.#context;
    const wait = new EventWait(store, clock, (text) => this.#opensNews(text));
    try {
      let found = this.#opened(await store.read());
      for (;;) {
        if (found !== undefined && isNewer(found, after)) return found;
        const { fencingNumber: fencingNumber, stored: posted } = await store.acquire(
          owner,
          LEASE_DURATION_MS,
          this.#generation,
        );
        found = this.#opened(posted);
        if (fencingNumber !== undefined) {
          if (found === undefined || !isNewer(found, after)) {
            return await this.#inTurn(fencingNumber, found?.refreshToken ?? refreshToken, found ?? after);
          }
          await store.release(owner, undefined).catch(ignore);
          return found;
        }
        await wait.news(POLL_MS);
        found = this.#opened(await store.read());
      }
    } finally {
      wait.end();
    }
  }

  /** Asks, while the others wait. */
  async #inTurn(fencingNumber: number, refreshToken: Secret | undefined, after: Token | undefined): Promise<Token> {
    const { store: store, owner, cipher: seal, name, clock } = this.#context;
    if (!this.#isNext(fencingNumber)) {
      await store.release(owner, undefined).catch(ignore);
      throw new StoreUnavailable('its numbers are out of range');
    }
    const stopRenewing = this.#renewing();
    let token: Token;
    try {
      token = { ...(await this.#own.fetch(refreshToken, after)), generation: fencingNumber };
    } catch (error) {
      const news = failureEvent(error, fencingNumber);
      await store.release(owner, news && encryptEvent(news, this.#context)).catch(ignore);
      throw error;
    } finally {
      stopRenewing();
    }
    this.#newest = token;
    const remainingMs = token.expiresAtMs - clock.now();
    const posted: StoredToken = {
      generation: fencingNumber,
      encrypted: seal.encrypt(token, name, fencingNumber),
      remainingMs,
    };
    try {
      if (await store.save(owner, posted, encryptEvent({ kind: 'posted', generation: fencingNumber }, this.#context)))
        return token;
      // A turn that outlasted its time: the token of the one after it is the one that all others have.
      return this.#opened(await store.read()) ?? token;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      return token;
    }
  }

  #renewing(): () => void {
    const { store: store, owner, clock } = this.#context;
    let cancel = () => {};
    let over = false;
    const next = () => {
      if (over) return;
      cancel = clock.after(LEASE_DURATION_MS / 3, () => {
        store.renew(owner, LEASE_DURATION_MS).then((kept) => {
          if (kept) next();
        }, next);
      });
    };
    next();
    return () => {
      over = true;
      cancel();
    };
  }

  /** Number of the newest token that is known of. */
  get #generation(): number {
    return this.#newest?.generation ?? 0;
  }

  /** Whether a number may be that of a token after the newest one. */
  #isNext(generation: number): boolean {
    const highest = (this.#context.clock.now() + MAX_AHEAD_MS) * 1000;
    return Number.isSafeInteger(generation) && generation > this.#generation && generation <= highest;
  }

  /** The token that was posted, if it can be used and is not older than the newest one. */
  #opened(posted: StoredToken | undefined): Token | undefined {
    const { cipher: seal, name, clock, log, provider } = this.#context;
    if (posted === undefined || !(posted.remainingMs >= MIN_REMAINING_MS)) return undefined;
    const known = this.#newest;
    if (known !== undefined && posted.generation <= known.generation) {
      const isAlive = known.expiresAtMs - clock.now() >= MIN_REMAINING_MS;
      return posted.generation === known.generation && isAlive ? known : undefined;
    }
    try {
      if (!this.#isNext(posted.generation)) throw new CipherError('its number is out of range');
      this.#newest = seal.decrypt(posted.encrypted, name, posted.generation, posted.remainingMs, clock.now());
      this.#unreadable = false;
      return this.#newest;
    } catch (error) {
      if (!(error instanceof CipherError)) throw error;
      const fields = { provider, error: error.message };
      if (!this.#unreadable) log.error('token_store_token_unreadable', fields);
      this.#unreadable = true;
      return undefined;
    }
  }

  /** News of a turn after that of the newest token, if a replica with a known key sent them. */
  #opensNews(text: string): StoreEvent | undefined {
    try {
      const news = decryptEvent(text, this.#context);
      return news !== undefined && this.#isNext(news.generation) ? news : undefined;
    } catch (error) {
      if (!(error instanceof CipherError)) throw error;
      this.#context.onForeignMessage();
      return undefined;
    }
  }
}

/** One wait for the turns of other replicas. It hears their news and ends after `WAIT_MS`. */
class EventWait {
  readonly #clock: Clock;
  readonly #end: () => void;
  #failure: ProxyError | undefined;
  #hasNews = false;
  #late = false;
  #wake: () => void = () => {};

  constructor(store: TokenStore, clock: Clock, open: (text: string) => StoreEvent | undefined) {
    this.#clock = clock;
    let heard = 0;
    const endNews = store.subscribe((text) => {
      const news = open(text);
      if (news === undefined || news.generation <= heard) return;
      heard = news.generation;
      if (news.kind === 'failed') this.#failure = errorFromEvent(news);
      this.#hasNews = true;
      this.#wake();
    });
    const cancel = clock.after(MAX_LEASE_WAIT_MS, () => {
      this.#late = true;
      this.#wake();
    });
    this.#end = () => {
      endNews();
      cancel();
    };
  }

  /**
   * Waits for news since the last call, `ms` at most.
   * @throws ProxyError if the news is that the exchange failed
   * @throws BoardDown if the wait is over
   */
  async news(ms: number): Promise<void> {
    if (!this.#hasNews && !this.#late) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(ms, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#hasNews = false;
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#late) throw new StoreUnavailable('the turns of others do not end');
  }

  end(): void {
    this.#end();
  }
}

/** Runs `work` once at a time. Calls during a run lead to one more run. A run that fails is left at that. */
function coalesced(work: () => Promise<void>): () => void {
  let running = false;
  let again = false;
  const run = async () => {
    running = true;
    do {
      again = false;
      await work().catch(ignore);
    } while (again);
    running = false;
  };
  return () => {
    if (running) again = true;
    else void run();
  };
}

function ignore(): undefined {
  return undefined;
}

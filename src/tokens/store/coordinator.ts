import type { Clock } from '../../clock.ts';
import { ProxyError, readReason, type Reason } from '../../errors.ts';
import type { Log } from '../../logger.ts';
import type { Secret } from '../../secret.ts';
import type { TokenFetcher, TokenRequester } from '../exchange.ts';
import { isNewer, type Token } from '../token.ts';
import { MAX_RETRY_AFTER_S, tokenUnavailable } from '../token-response.ts';
import { CipherError, type TokenCipher } from './cipher.ts';
import { StoredRefreshToken } from './refresh-token.ts';
import { type StoredToken, StoreUnavailable, type TokenStore } from './store.ts';

/**
 * What the holder of a lease tells the other replicas. The fencing number of a lease is the generation of its token.
 */
export type StoreEvent =
  | { readonly kind: 'stored'; readonly generation: number }
  /** The exchange failed. Replicas that wait for its token fail too, instead of making the same exchange in turn. */
  | {
      readonly kind: 'failed';
      readonly generation: number;
      readonly code: 'token_denied' | 'token_unavailable';
      /** Whole seconds, up to an hour. */
      readonly retryAfterS?: number;
      /** Undefined if the sender's version sends no reason, or one that this version does not know. */
      readonly reason?: Reason;
    };

/** On the wire, `stored` is `posted`, so that replicas of several versions work together during a rolling update. */
const STORED_ON_WIRE = 'posted';

/** Longest event that is decrypted, in characters. Events have about 200. */
const MAX_EVENT_LENGTH = 1024;

/**
 * An older failure is ignored, to prevent replays. Replicas whose clocks differ by more do not share failures: each makes
 * its own request.
 */
const MAX_FAILURE_AGE_MS = 60_000;

interface EventContext {
  readonly cipher: TokenCipher;
  /** Name of the credential in the store. */
  readonly name: string;
  readonly clock: Clock;
}

export function encryptEvent(event: StoreEvent, { cipher, name, clock }: EventContext): string {
  const kind = event.kind === 'stored' ? STORED_ON_WIRE : event.kind;
  return cipher.encryptJson({ ...event, kind, sentAtMs: clock.now() }, associatedData(name));
}

/**
 * @returns undefined for a failure that is too old, and for an event of an unknown kind or with a value out of range
 * @throws CipherError if the sender does not know the encryption key
 */
export function decryptEvent(text: string, { cipher, name, clock }: EventContext): StoreEvent | undefined {
  if (text.length > MAX_EVENT_LENGTH) throw new CipherError('too long');
  const { kind, generation, sentAtMs, code, retryAfterS, ...rest } = cipher.decryptJson(text, associatedData(name)) as {
    readonly [field: string]: unknown;
  };
  if (!isSafeInteger(generation)) return undefined;
  if (kind === STORED_ON_WIRE) return { kind: 'stored', generation };
  if (kind !== 'failed' || !(Math.abs(clock.now() - Number(sentAtMs)) <= MAX_FAILURE_AGE_MS)) return undefined;
  if (code !== 'token_denied' && code !== 'token_unavailable') return undefined;
  const reason = readReason(rest['reason']);
  const failure = { kind, generation, code, ...(reason !== undefined && { reason }) } as const;
  if (retryAfterS === undefined) return failure;
  const isValid = isSafeInteger(retryAfterS) && retryAfterS > 0 && retryAfterS <= MAX_RETRY_AFTER_S;
  return isValid ? { ...failure, retryAfterS } : undefined;
}

function isSafeInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** The event for a failed exchange. Undefined for an error that says nothing about the credential. */
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

/** The failure of another replica. The text is from this replica, since clients see it. */
export function errorFromEvent({ code, retryAfterS, reason }: StoreEvent & { kind: 'failed' }): ProxyError {
  const what =
    code === 'token_denied'
      ? 'The provider refused the token request of another Wakala process.'
      : 'The token request of another Wakala process failed.';
  const detail = `${what} See the log of that process.`;
  return new ProxyError(code, detail, { reason, retryAfterS });
}

/**
 * Differs from that of every token, so that an event cannot be decrypted as a token. `news` is kept so that replicas of
 * several versions can decrypt each other's events.
 */
function associatedData(name: string): string {
  return `${name}\0news`;
}

/** A lease expires after this time unless it is renewed. If the holder dies, the others wait this long. */
export const LEASE_DURATION_MS = 3000;

/**
 * How long a replica waits for the leases of others before it makes its own request: the time for one exchange and one
 * lease. Bounds the wait if another program never releases the lease. A refresh that fails first is not covered: then the
 * holder makes a second exchange.
 */
export function maxLeaseWaitMs(tokenTimeoutMs: number): number {
  return tokenTimeoutMs + LEASE_DURATION_MS;
}

/** Events may get lost, so a replica that waits also reads the store this often. */
const POLL_INTERVAL_MS = 250;

/** A stored token that expires sooner is ignored. */
const MIN_REMAINING_MS = 1000;

/** The fencing number of a lease is the time in microseconds, or a little above. A number further ahead is forged. */
const MAX_AHEAD_MS = 2 * 365 * 86_400_000;

interface SharedContext {
  readonly store: TokenStore;
  /** Needed if the credential is a refresh token. */
  readonly refreshTokenStore?: TokenStore;
  readonly cipher: TokenCipher;
  /** Name of the credential in the store: a hash. */
  readonly name: string;
  /** For the log. */
  readonly provider: string;
  /** Unique name of this replica. */
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Called for each event whose sender does not know the encryption key. */
  readonly onForeignMessage: () => void;
}

/**
 * Fetches a token that all replicas share. It uses the stored token if that is newer than the caller's. Otherwise it
 * acquires the lease and requests a token, or waits for the replica that holds the lease. While the store is
 * unavailable, it requests a token without sharing it.
 *
 * The protocol is in docs/decisions/0008-shared-tokens.md.
 */
export class SharedTokenFetcher implements TokenFetcher {
  readonly #fetcher: TokenRequester;
  readonly #context: SharedContext;
  /** Whether the last fetch found the store unavailable. That is logged once, not for every token. */
  #isUnavailable = false;
  /** Whether the stored token could not be decrypted. That is logged once, not at every read. */
  #isUnreadable = false;
  /** The newest token that was read from the store or saved there. An older one is never used again. */
  #newest: Token | undefined;
  /** Undefined unless the credential is a refresh token. */
  readonly #refreshToken: StoredRefreshToken | undefined;

  /** @param fetcher requests tokens from the provider */
  constructor(fetcher: TokenRequester, context: SharedContext) {
    this.#fetcher = fetcher;
    this.#context = context;
    const { configuredRefreshToken: configured } = fetcher;
    const { refreshTokenStore: store } = context;
    this.#refreshToken = configured && store && new StoredRefreshToken({ ...context, configured, store });
  }

  async fetch(refreshToken: Secret | undefined, after?: Token): Promise<Token> {
    const { log, provider } = this.#context;
    try {
      const token = await this.#fetchShared(refreshToken, after);
      if (this.#isUnavailable) log.info('token_store_available', { provider });
      this.#isUnavailable = false;
      return token;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      const isAlone = this.#refreshToken?.mayBeUsedAlone ?? true;
      if (!this.#isUnavailable) {
        const message = isAlone ? undefined : 'token store has the newest refresh token and cannot be used';
        log.warn('token_store_unavailable', { provider, error: error.message }, message);
      }
      this.#isUnavailable = true;
      if (!isAlone) throw refreshTokenUnavailable(error);
      const token = await this.#fetcher.fetch(refreshToken, after);
      await this.#refreshToken?.updateAlone(token);
      return token;
    }
  }

  /** Calls back with tokens that other replicas stored. @returns a function that ends it */
  watch(adopt: (token: Token) => void): () => void {
    const { store } = this.#context;
    const read = coalesced(async () => {
      const token = this.#decryptToken(await store.read());
      if (token !== undefined) adopt(token);
    });
    let lastGeneration = 0;
    const unsubscribe = store.subscribe((text) => {
      const event = this.#decryptEvent(text);
      if (event?.kind !== 'stored' || event.generation <= lastGeneration) return;
      lastGeneration = event.generation;
      read();
    });
    return () => {
      unsubscribe();
      this.#refreshToken?.close();
    };
  }

  async #fetchShared(refreshToken: Secret | undefined, after: Token | undefined): Promise<Token> {
    const { store, owner, clock } = this.#context;
    const maxWaitMs = maxLeaseWaitMs(this.#fetcher.timeoutMs);
    const wait = new LeaseWait(store, clock, maxWaitMs, (text) => this.#decryptEvent(text));
    try {
      let token = this.#decryptToken(await store.read());
      for (;;) {
        if (token !== undefined && isNewer(token, after)) return token;
        const { fencingNumber, stored } = await store.acquire(owner, LEASE_DURATION_MS, this.#newestGeneration);
        token = this.#decryptToken(stored);
        if (fencingNumber !== undefined) {
          if (token === undefined || !isNewer(token, after)) {
            return await this.#fetchWithLease(fencingNumber, token?.refreshToken ?? refreshToken, token ?? after);
          }
          await store.release(owner, undefined).catch(ignore);
          return token;
        }
        await wait.nextEvent(POLL_INTERVAL_MS);
        token = this.#decryptToken(await store.read());
      }
    } finally {
      wait.end();
    }
  }

  /** Requests a token while this replica holds the lease, and stores it. */
  async #fetchWithLease(
    fencingNumber: number,
    refreshToken: Secret | undefined,
    after: Token | undefined,
  ): Promise<Token> {
    const { store, owner, cipher, name, clock } = this.#context;
    if (!this.#isNextGeneration(fencingNumber)) {
      await store.release(owner, undefined).catch(ignore);
      throw new StoreUnavailable('out_of_range', 'fencing number out of range');
    }
    const stopRenewing = this.#keepLease();
    let token: Token;
    try {
      const newest = await this.#refreshToken?.read(after);
      token = { ...(await this.#fetcher.fetch(newest ?? refreshToken, after)), generation: fencingNumber };
    } catch (error) {
      const event = failureEvent(error, fencingNumber);
      await store.release(owner, event && encryptEvent(event, this.#context)).catch(ignore);
      throw error;
    } finally {
      stopRenewing();
    }
    this.#newest = token;
    // Stored before the token, so that a replica that finds the token also finds its refresh token.
    await this.#refreshToken?.update(token, fencingNumber);
    const toStore: StoredToken = {
      generation: fencingNumber,
      encrypted: cipher.encrypt(token, name, fencingNumber),
      remainingMs: token.expiresAtMs - clock.now(),
    };
    const event = encryptEvent({ kind: 'stored', generation: fencingNumber }, this.#context);
    try {
      if (await store.save(owner, toStore, event)) return token;
      // The lease expired during the exchange. All others use the token of a later lease, so use that too.
      return this.#decryptToken(await store.read()) ?? token;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      return token;
    }
  }

  /** Renews the lease until the returned function is called, or until the lease is lost. */
  #keepLease(): () => void {
    const { store, owner, clock } = this.#context;
    let cancel = () => {};
    let isStopped = false;
    const schedule = () => {
      if (isStopped) return;
      cancel = clock.after(LEASE_DURATION_MS / 3, () => {
        store.renew(owner, LEASE_DURATION_MS).then((isHeld) => {
          if (isHeld) schedule();
        }, schedule);
      });
    };
    schedule();
    return () => {
      isStopped = true;
      cancel();
    };
  }

  get #newestGeneration(): number {
    return this.#newest?.generation ?? 0;
  }

  /** Whether a token of this generation may come after the newest one. */
  #isNextGeneration(generation: number): boolean {
    const highest = (this.#context.clock.now() + MAX_AHEAD_MS) * 1000;
    return Number.isSafeInteger(generation) && generation > this.#newestGeneration && generation <= highest;
  }

  /** @returns undefined if the stored token cannot be used, or is older than the newest one */
  #decryptToken(stored: StoredToken | undefined): Token | undefined {
    const { cipher, name, clock, log, provider } = this.#context;
    if (stored === undefined || !(stored.remainingMs >= MIN_REMAINING_MS)) return undefined;
    const newest = this.#newest;
    if (newest !== undefined && stored.generation <= newest.generation) {
      const isAlive = newest.expiresAtMs - clock.now() >= MIN_REMAINING_MS;
      return stored.generation === newest.generation && isAlive ? newest : undefined;
    }
    try {
      if (!this.#isNextGeneration(stored.generation)) throw new CipherError('generation out of range');
      this.#newest = cipher.decrypt(stored.encrypted, name, stored.generation, stored.remainingMs, clock.now());
      this.#isUnreadable = false;
      return this.#newest;
    } catch (error) {
      if (!(error instanceof CipherError)) throw error;
      if (!this.#isUnreadable) log.error('token_store_token_unreadable', { provider, error: error.message });
      this.#isUnreadable = true;
      return undefined;
    }
  }

  /** @returns undefined for an event of a lease before the newest token, or of a sender without a known key */
  #decryptEvent(text: string): StoreEvent | undefined {
    try {
      const event = decryptEvent(text, this.#context);
      return event !== undefined && this.#isNextGeneration(event.generation) ? event : undefined;
    } catch (error) {
      if (!(error instanceof CipherError)) throw error;
      this.#context.onForeignMessage();
      return undefined;
    }
  }
}

function refreshTokenUnavailable({ code }: StoreUnavailable): ProxyError {
  const problem = 'the newest refresh token is in the token store, which cannot be used';
  return tokenUnavailable(problem, { kind: 'refresh_token_unavailable', code });
}

/** Waits while other replicas hold the lease, for `maxWaitMs` in all. */
class LeaseWait {
  readonly #clock: Clock;
  readonly #end: () => void;
  #failure: ProxyError | undefined;
  #hasEvent = false;
  #isOver = false;
  #wake: () => void = () => {};

  constructor(store: TokenStore, clock: Clock, maxWaitMs: number, decrypt: (text: string) => StoreEvent | undefined) {
    this.#clock = clock;
    let lastGeneration = 0;
    const unsubscribe = store.subscribe((text) => {
      const event = decrypt(text);
      if (event === undefined || event.generation <= lastGeneration) return;
      lastGeneration = event.generation;
      if (event.kind === 'failed') this.#failure = errorFromEvent(event);
      this.#hasEvent = true;
      this.#wake();
    });
    const cancelTimeout = clock.after(maxWaitMs, () => {
      this.#isOver = true;
      this.#wake();
    });
    this.#end = () => {
      unsubscribe();
      cancelTimeout();
    };
  }

  /**
   * Waits for an event since the last call, but not longer than `timeoutMs`.
   * @throws ProxyError if the exchange of another replica failed
   * @throws StoreUnavailable if the wait is over
   */
  async nextEvent(timeoutMs: number): Promise<void> {
    if (!this.#hasEvent && !this.#isOver) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(timeoutMs, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#hasEvent = false;
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isOver) throw new StoreUnavailable('lease_held', 'others hold the lease for too long');
  }

  end(): void {
    this.#end();
  }
}

/** Runs `work` once at a time. Calls during a run lead to one more run. Failures are ignored. */
function coalesced(work: () => Promise<void>): () => void {
  let isRunning = false;
  let runAgain = false;
  const run = async () => {
    isRunning = true;
    do {
      runAgain = false;
      await work().catch(ignore);
    } while (runAgain);
    isRunning = false;
  };
  return () => {
    if (isRunning) runAgain = true;
    else void run();
  };
}

function ignore(): undefined {
  return undefined;
}

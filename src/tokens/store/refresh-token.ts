import type { Clock } from '../../clock.ts';
import type { Log } from '../../logger.ts';
import { Secret } from '../../secret.ts';
import type { Token } from '../token.ts';
import { CipherError, type TokenCipher } from './cipher.ts';
import { StoreUnavailable, type TokenStore } from './store.ts';

/** A stored refresh token that is not replaced for this long is deleted. */
const TTL_MS = 366 * 86_400_000;

/** Wait between attempts to save a refresh token that the store did not take. */
const RETRY_INTERVAL_MS = 2000;

interface RefreshTokenContext {
  /** Holds the refresh token in place of an access token. Its lease and events are not used. */
  readonly store: Pick<TokenStore, 'read' | 'save'>;
  /** The refresh token in the configuration. */
  readonly configured: Secret;
  readonly cipher: TokenCipher;
  /** Name of the credential in the store. */
  readonly name: string;
  readonly owner: string;
  /** For the log. */
  readonly provider: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The newest refresh token of a credential that is itself a refresh token. A server that rotates refresh tokens accepts
 * each of them once, and may revoke all of them if one is used again (RFC 9700 section 4.14.2). So the replicas share the
 * newest one, and it outlives its access token and a restart.
 */
export class StoredRefreshToken {
  readonly #context: RefreshTokenContext;
  #newest: Secret;
  /** Of the lease under which it was issued. 0 for the one in the configuration. */
  #generation = 0;
  #wasRead = false;
  /** Whether an unreadable refresh token was logged. That is logged once, not at every read. */
  #isUnreadable = false;
  #cancelRetry: () => void = () => {};
  #isClosed = false;

  constructor(context: RefreshTokenContext) {
    this.#context = context;
    this.#newest = context.configured;
  }

  /**
   * Whether a token may be requested while the store is unavailable: the server has not rotated the refresh token, so
   * other replicas can use the same one.
   */
  get mayBeUsedAlone(): boolean {
    return this.#wasRead && this.#newest.equals(this.#context.configured.reveal());
  }

  /**
   * The newest one. Call it while this replica holds the lease.
   * @param stored the stored token, which may have one too
   * @throws StoreUnavailable also if the stored one cannot be decrypted
   */
  async read(stored: Token | undefined): Promise<Secret> {
    const { store, cipher, name } = this.#context;
    const entry = await store.read();
    if (entry !== undefined && entry.generation > this.#generation) {
      try {
        const { r } = cipher.decryptJson(entry.encrypted, associatedData(name, entry.generation)) as { r?: unknown };
        if (typeof r !== 'string') throw new CipherError('from another version of Wakala');
        this.#set(new Secret(r), entry.generation);
      } catch (error) {
        if (error instanceof CipherError) this.#onUnreadable(error);
        throw error;
      }
    }
    this.#isUnreadable = false;
    this.#wasRead = true;
    if (stored?.refreshToken !== undefined && stored.generation > this.#generation) {
      this.#set(stored.refreshToken, stored.generation);
    }
    return this.#newest;
  }

  /** Stores the refresh token that was issued with `token`, if it is another one. Never throws. */
  async update(token: Token, generation: number): Promise<void> {
    const next = token.refreshToken ?? this.#context.configured;
    if (next.equals(this.#newest.reveal())) return;
    this.#set(next, generation);
    if (await this.#save()) return;
    const { log, provider } = this.#context;
    log.warn('refresh_token_not_stored', { provider });
    this.#retryLater();
  }

  /** The token was requested while the store was unavailable. */
  async updateAlone(token: Token): Promise<void> {
    await this.update(token, this.#generation + 1);
  }

  /** Gives up storing the newest refresh token. */
  close(): void {
    this.#isClosed = true;
    this.#cancelRetry();
  }

  #set(newest: Secret, generation: number): void {
    this.#cancelRetry();
    this.#newest = newest;
    this.#generation = generation;
  }

  #retryLater(): void {
    if (this.#isClosed) return;
    this.#cancelRetry = this.#context.clock.after(RETRY_INTERVAL_MS, () => void this.#retry());
  }

  async #retry(): Promise<void> {
    const newest = this.#newest;
    const isSaved = await this.#save();
    // A newer one has its own retries.
    if (!isSaved && newest === this.#newest) this.#retryLater();
  }

  /** @returns false if the store is unavailable */
  async #save(): Promise<boolean> {
    const { store, owner, cipher, name } = this.#context;
    const generation = this.#generation;
    const encrypted = cipher.encryptJson({ r: this.#newest.reveal() }, associatedData(name, generation));
    try {
      // The store does not replace the refresh token of a later lease. The next read finds that one.
      await store.save(owner, { generation, encrypted, remainingMs: TTL_MS }, '');
      return true;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      return false;
    }
  }

  #onUnreadable(error: CipherError): never {
    const { log, provider } = this.#context;
    if (!this.#isUnreadable) log.error('token_store_token_unreadable', { provider, error: error.message });
    this.#isUnreadable = true;
    throw new StoreUnavailable('unreadable', 'the newest refresh token cannot be decrypted');
  }
}

/** Differs from that of every token and event. */
function associatedData(name: string, generation: number): string {
  return `${name}\0refresh\0${generation}`;
}

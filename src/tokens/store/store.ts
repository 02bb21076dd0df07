/** A token that some replica posted, as everyone can read it: sealed. */
export interface StoredToken {
  /** Grows with every exchange of this credential, whoever makes it. */
  readonly generation: number;
  readonly encrypted: string;
  /** How long it still lives, by the clock of the store. Milliseconds. */
  readonly remainingMs: number;
}

/** What became of an attempt to be the one that asks. */
export interface Lease {
  /** The number of this turn, higher than that of every turn before; undefined if someone else has it. */
  readonly fencingNumber: number | undefined;
  /** What was posted at that very moment. */
  readonly stored: StoredToken | undefined;
}

/**
 * Where the replicas of one credential meet. Every call is atomic, and bounded in time. News are sealed texts that the
 * store passes on to all subscribers without reading them; they may get lost.
 * Every method @throws BoardDown when the store cannot be asked
 */
export interface TokenStore {
  read(): Promise<StoredToken | undefined>;
  /** Takes the turn for `lockMs`, if nobody has it. Its number is higher than `above`, and than any turn's before. */
  acquire(owner: string, lockMs: number, above: number): Promise<Lease>;
  /** Keeps a turn for another `lockMs`. @returns false if it was lost meanwhile */
  renew(owner: string, lockMs: number): Promise<boolean>;
  /**
   * Posts the token of a turn, ends the turn, and tells everyone; unless a later turn has posted already.
   * @returns false in that case
   */
  save(owner: string, posted: StoredToken, news: string): Promise<boolean>;
  /** Ends a turn without a token. */
  release(owner: string, news: string | undefined): Promise<void>;
  /** @returns a function that ends it */
  subscribe(onNews: (news: string) => void): () => void;
}

/** The store cannot be asked now: whoever needs a token gets one alone. */
export class StoreUnavailable extends Error {
  override readonly name = 'BoardDown';
}

/** How the connection to a token store is. */
export interface StoreStatus {
  readonly connected: boolean;
  /** Code of what went wrong last: `ECONNREFUSED`, `WRONGPASS`. */
  readonly failure: string | undefined;
}

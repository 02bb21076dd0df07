/** The token of a credential as it lies in a store, where all replicas can read it. */
export interface StoredToken {
  /** Number of the lease under which the token was fetched. A higher number is a newer token. */
  readonly generation: number;
  /** The token, encrypted by `TokenCipher`. */
  readonly encrypted: string;
  /** Milliseconds until the token expires, by the clock of the store. */
  readonly remainingMs: number;
}

/** The result of an attempt to acquire the lease. */
export interface Lease {
  /** Number of the lease, higher than that of every earlier lease. Undefined if another replica holds it. */
  readonly fencingNumber: number | undefined;
  /** The stored token at the moment of the attempt. */
  readonly stored: StoredToken | undefined;
}

/**
 * What the replicas share for one credential: its token, the lease to fetch the next one, and events. Every method is
 * one atomic step with a time limit. Events are encrypted texts, which the store passes on without reading them; they
 * may get lost.
 *
 * Every method that returns a promise @throws StoreUnavailable if the store does not respond
 */
export interface TokenStore {
  read(): Promise<StoredToken | undefined>;
  /**
   * Acquires the lease if no other replica holds it.
   * @param above the fencing number is higher than this
   */
  acquire(owner: string, durationMs: number, above: number): Promise<Lease>;
  /** Extends a lease to `durationMs` from now. @returns false if it has expired */
  renew(owner: string, durationMs: number): Promise<boolean>;
  /**
   * Stores a token, releases the lease, and sends `event` to all subscribers.
   * @returns false, and stores nothing, if a token of a later lease is stored
   */
  save(owner: string, token: StoredToken, event: string): Promise<boolean>;
  /** Releases a lease without a token. Sends `event`, if there is one, to all subscribers. */
  release(owner: string, event: string | undefined): Promise<void>;
  /** @returns a function that ends the subscription */
  subscribe(onEvent: (event: string) => void): () => void;
}

/** The token store does not respond. A replica that needs a token then requests its own from the provider. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  readonly code: StoreFailureCode;

  /** @param message the code says it all if it is left out */
  constructor(code: StoreFailureCode, message: string = code) {
    super(message);
    this.code = code;
  }
}

/**
 * - `not_connected`, `timeout`
 * - `paused`: a request timed out a moment ago, so none is sent now
 * - `lease_held`: other replicas hold the lease for longer than an exchange may take
 * - `unreadable`: the newest refresh token cannot be decrypted
 * - `out_of_range`: the store numbers its leases in a way that no store does
 * - a code of Redis, such as `OOM`, or of the network
 */
type StoreFailureCode =
  | 'not_connected'
  | 'timeout'
  | 'paused'
  | 'lease_held'
  | 'unreadable'
  | 'out_of_range'
  | (string & Record<never, never>);

/** State of the connection to a token store. */
export interface StoreStatus {
  readonly connected: boolean;
  /** Code of the last failure, such as `ECONNREFUSED` or `WRONGPASS`. */
  readonly failure: string | undefined;
}

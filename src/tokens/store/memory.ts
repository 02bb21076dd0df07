import type { Clock } from '../../clock.ts';
import type { Lease, StoredToken, TokenStore } from './store.ts';

interface Entry {
  token: { readonly generation: number; readonly encrypted: string; readonly expiresAtMs: number } | undefined;
  lease: { readonly owner: string; readonly expiresAtMs: number } | undefined;
  lastFencingNumber: number;
  /** Outlives the token, so that no older token takes its place. */
  lastGeneration: number;
}

/** Token stores in the memory of one process, by credential. The workers of a primary share them. */
export class MemoryStores {
  readonly #clock: Clock;
  readonly #sendEvent: (name: string, event: string) => void;
  readonly #entries = new Map<string, Entry>();

  /** @param sendEvent sends an event of the credential `name` to all its subscribers */
  constructor(clock: Clock, sendEvent: (name: string, event: string) => void) {
    this.#clock = clock;
    this.#sendEvent = sendEvent;
  }

  /** @param name of the credential */
  storeOf(name: string): Omit<TokenStore, 'subscribe'> {
    const entry = this.#entryOf(name);
    return {
      read: async () => this.#read(entry),
      acquire: async (owner, durationMs, above) => this.#acquire(entry, owner, durationMs, above),
      renew: async (owner, durationMs) => {
        if (!this.#holdsLease(entry, owner)) return false;
        entry.lease = { owner, expiresAtMs: this.#clock.now() + durationMs };
        return true;
      },
      save: async (owner, { generation, encrypted, remainingMs }, event) => {
        if (this.#holdsLease(entry, owner)) entry.lease = undefined;
        if (generation <= entry.lastGeneration) return false;
        entry.lastGeneration = generation;
        entry.token = { generation, encrypted, expiresAtMs: this.#clock.now() + remainingMs };
        this.#sendEvent(name, event);
        return true;
      },
      release: async (owner, event) => {
        if (!this.#holdsLease(entry, owner)) return;
        entry.lease = undefined;
        if (event !== undefined) this.#sendEvent(name, event);
      },
    };
  }

  /** Releases every lease of an owner that has ended. */
  releaseAll(owner: string): void {
    for (const entry of this.#entries.values()) if (entry.lease?.owner === owner) entry.lease = undefined;
  }

  #entryOf(name: string): Entry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { token: undefined, lease: undefined, lastFencingNumber: 0, lastGeneration: 0 };
      this.#entries.set(name, entry);
    }
    return entry;
  }

  #read({ token }: Entry): StoredToken | undefined {
    if (token === undefined) return undefined;
    const remainingMs = token.expiresAtMs - this.#clock.now();
    return remainingMs > 0 ? { generation: token.generation, encrypted: token.encrypted, remainingMs } : undefined;
  }

  #acquire(entry: Entry, owner: string, durationMs: number, above: number): Lease {
    const stored = this.#read(entry);
    const nowMs = this.#clock.now();
    if (entry.lease !== undefined && entry.lease.expiresAtMs > nowMs) return { fencingNumber: undefined, stored };
    entry.lastFencingNumber = Math.max(entry.lastFencingNumber, above) + 1;
    entry.lease = { owner, expiresAtMs: nowMs + durationMs };
    return { fencingNumber: entry.lastFencingNumber, stored };
  }

  #holdsLease({ lease }: Entry, owner: string): boolean {
    return lease?.owner === owner && lease.expiresAtMs > this.#clock.now();
  }
}

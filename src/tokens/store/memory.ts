import type { Clock } from '../../clock.ts';
import type { Lease, StoredToken, TokenStore } from './store.ts';

interface Entry {
  posted: { readonly generation: number; readonly sealed: string; readonly untilMs: number } | undefined;
  turn: { readonly owner: string; readonly untilMs: number } | undefined;
  fencingNumber: number;
  lastPosted: number;
}

/** A store in the memory of one process, for every credential: what the workers of a primary share. */
export class MemoryStores {
  readonly #clock: Clock;
  readonly #tell: (name: string, news: string) => void;
  readonly #entries = new Map<string, Entry>();

  /** `tell` is called with all news. */
  constructor(clock: Clock, tell: (name: string, news: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The store of a credential. News goes to `tell` alone. */
  storeOf(name: string): Omit<TokenStore, 'subscribe'> {
    const entry = this.#entries.get(name) ?? { posted: undefined, turn: undefined, fencingNumber: 0, lastPosted: 0 };
    this.#entries.set(name, entry);
    return {
      read: async () => this.#posted(entry),
      acquire: async (owner, lockMs, above) => this.#acquire(entry, owner, lockMs, above),
      renew: async (owner, lockMs) => {
        const kept = this.#turnOf(entry)?.owner === owner;
        if (kept) entry.turn = { owner, untilMs: this.#clock.now() + lockMs };
        return kept;
      },
      save: async (owner, posted, news) => {
        if (this.#turnOf(entry)?.owner === owner) entry.turn = undefined;
        const { generation, encrypted: sealed, remainingMs } = posted;
        if (generation <= entry.lastPosted) return false;
        entry.lastPosted = generation;
        entry.posted = { generation, sealed, untilMs: this.#clock.now() + remainingMs };
        this.#tell(name, news);
        return true;
      },
      release: async (owner, news) => {
        if (this.#turnOf(entry)?.owner !== owner) return;
        entry.turn = undefined;
        if (news !== undefined) this.#tell(name, news);
      },
    };
  }

  /** Ends every turn of an owner that is no more. */
  forget(owner: string): void {
    for (const entry of this.#entries.values()) if (entry.turn?.owner === owner) entry.turn = undefined;
  }

  #acquire(entry: Entry, owner: string, lockMs: number, above: number): Lease {
    const posted = this.#posted(entry);
    if (this.#turnOf(entry) !== undefined) return { fencingNumber: undefined, stored: posted };
    entry.fencingNumber = Math.max(entry.fencingNumber, above) + 1;
    entry.turn = { owner, untilMs: this.#clock.now() + lockMs };
    return { fencingNumber: entry.fencingNumber, stored: posted };
  }

  #turnOf(entry: Entry): Entry['turn'] {
    return entry.turn !== undefined && entry.turn.untilMs > this.#clock.now() ? entry.turn : undefined;
  }

  #posted({ posted }: Entry): StoredToken | undefined {
    const remainingMs = posted === undefined ? 0 : posted.untilMs - this.#clock.now();
    if (posted === undefined || remainingMs <= 0) return undefined;
    return { generation: posted.generation, encrypted: posted.sealed, remainingMs };
  }
}

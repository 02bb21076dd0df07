import type { Clock } from '../../clock.ts';
import type { Lease, StoredToken, TokenStore } from './store.ts';

interface Entry {
  posted: { readonly generation: number; readonly sealed: string; readonly untilMs: number } | undefined;
  turn: { readonly owner: string; readonly untilMs: number } | undefined;
  fence: number;
  lastPosted: number;
}

/** A board in the memory of one process, for every credential: what the workers of a primary share. */
export class MemoryStores {
  readonly #clock: Clock;
  readonly #tell: (name: string, news: string) => void;
  readonly #entries = new Map<string, Entry>();

  /** `tell` is called with all news. */
  constructor(clock: Clock, tell: (name: string, news: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The board of a credential. News goes to `tell` alone. */
  board(name: string): Omit<TokenStore, 'subscribe'> {
    const entry = this.#entries.get(name) ?? { posted: undefined, turn: undefined, fence: 0, lastPosted: 0 };
    this.#entries.set(name, entry);
    return {
      read: async () => this.#posted(entry),
      acquire: async (owner, lockMs, above) => this.#acquire(entry, owner, lockMs, above),
      renew: async (owner, lockMs) => {
        const kept = this.#turnOf(entry)?.owner === owner;
        if (kept) entry.turn = { owner, untilMs: this.#clock.now() + lockMs };
        return kept;
      },
      post: async (owner, posted, news) => {
        if (this.#turnOf(entry)?.owner === owner) entry.turn = undefined;
        const { generation, sealed, remainingMs } = posted;
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
    if (this.#turnOf(entry) !== undefined) return { fence: undefined, posted };
    entry.fence = Math.max(entry.fence, above) + 1;
    entry.turn = { owner, untilMs: this.#clock.now() + lockMs };
    return { fence: entry.fence, posted };
  }

  #turnOf(entry: Entry): Entry['turn'] {
    return entry.turn !== undefined && entry.turn.untilMs > this.#clock.now() ? entry.turn : undefined;
  }

  #posted({ posted }: Entry): StoredToken | undefined {
    const remainingMs = posted === undefined ? 0 : posted.untilMs - this.#clock.now();
    if (posted === undefined || remainingMs <= 0) return undefined;
    return { generation: posted.generation, sealed: posted.sealed, remainingMs };
  }
}

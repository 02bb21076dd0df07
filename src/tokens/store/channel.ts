import type { MemoryStores } from './memory.ts';
import { type Lease, type StoredToken, StoreUnavailable, type TokenStore } from './store.ts';

/** What a worker asks its primary for, by number. */
export interface StoreCall {
  readonly kind: 'board';
  readonly id: number;
  readonly name: string;
  readonly call: 'read' | 'acquire' | 'renew' | 'save' | 'release';
  readonly args: readonly unknown[];
}

export interface StoreReply {
  readonly kind: 'board answer';
  readonly id: number;
  readonly result: unknown;
}

export interface StoreNotice {
  readonly kind: 'board news';
  readonly name: string;
  readonly news: string;
}

/** Answers a worker's call. Messages between a primary and its workers are trusted: they are one program. */
export async function answerCall(stores: MemoryStores, { id, name, call, args }: StoreCall): Promise<StoreReply> {
  const store = stores.storeOf(name);
  const run = store[call] as (...args: readonly unknown[]) => Promise<unknown>;
  return { kind: 'board answer', id, result: await run(...args) };
}

/** The primary's stores as a worker sees them. */
export class ChannelStores {
  readonly #send: (call: StoreCall) => void;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #listeners = new Map<string, Set<(news: string) => void>>();
  #calls = 0;
  #closed = false;

  constructor(send: (call: StoreCall) => void) {
    this.#send = send;
  }

  /** Takes what came from the primary. */
  onMessage(message: StoreReply | StoreNotice): void {
    if (message.kind === 'board news') {
      for (const listener of [...(this.#listeners.get(message.name) ?? [])]) listener(message.news);
      return;
    }
    this.#waiting.get(message.id)?.resolve(message.result);
    this.#waiting.delete(message.id);
  }

  storeOf(name: string): TokenStore {
    const call = (what: StoreCall['call'], ...args: unknown[]) => this.#call(name, what, args);
    return {
      read: async () => (await call('read')) as StoredToken | undefined,
      acquire: async (owner, lockMs, above) => (await call('acquire', owner, lockMs, above)) as Lease,
      renew: async (owner, lockMs) => (await call('renew', owner, lockMs)) as boolean,
      save: async (owner, posted, news) => (await call('save', owner, posted, news)) as boolean,
      release: async (owner, news) => {
        await call('release', owner, news);
      },
      subscribe: (onNews) => {
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners.add(onNews));
        return () => listeners.delete(onNews);
      },
    };
  }

  /** From now on the store is down, also for calls under way: the primary is no more. */
  close(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) reject(new StoreUnavailable('the primary is gone'));
    this.#waiting.clear();
  }

  #call(name: string, call: StoreCall['call'], args: readonly unknown[]): Promise<unknown> {
    if (this.#closed) return Promise.reject(new StoreUnavailable('the primary is gone'));
    const id = this.#calls++;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    this.#send({ kind: 'board', id, name, call, args });
    return waiting.promise;
  }
}

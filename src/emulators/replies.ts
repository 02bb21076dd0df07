import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';

const MAX_REPLIES = 1000;

/** Remembers what an `Idempotency-Key` was answered with. */
export class Replies<T extends JsonObject> {
  readonly #byKey = new LRUCache<string, T>({ max: MAX_REPLIES });

  /** The first answer under this key for this operation; without a key, a new one each time. */
  once(operation: string, key: string | undefined, make: () => T): T {
    if (key === undefined || key === '') return make();
    const id = `${operation} ${key}`;
    const answer = this.#byKey.get(id) ?? make();
    this.#byKey.set(id, answer);
    return answer;
  }
}

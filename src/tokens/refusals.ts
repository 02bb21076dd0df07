import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { RefusedCall } from './tally.ts';

/** How long a call whose fresh token was refused may force no refresh, and how far apart forced refreshes then lie. */
const QUIET_MS = 30_000;

/** Fresh tokens in a row that were refused before they served anyone, from which on forced refreshes are rationed. */
const FRESH_REFUSALS_LIMIT = 2;

const MAX_CALLS = 1000;

/**
 * Tells a dead token from a call that is refused whatever the token is. M-Pesa says "invalid token" for a product the
 * app lacks; refreshing for that would kill the token of every other call, over and over.
 */
export class Refusals {
  readonly #clock: Clock;
  /** Calls (method and path) that were refused with a fresh token, and until when they force nothing. */
  readonly #quiet = new LRUCache<string, number>({ max: MAX_CALLS });
  #served = false;
  #forcedInARow = 0;
  #lastForcedMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True while refusals of this call pass as they are: its last fresh token was refused as well. */
  isQuiet(method: string, path: string): boolean {
    const untilMs = this.#quiet.get(callOf(method, path));
    return untilMs !== undefined && this.#clock.now() < untilMs;
  }

  /** The calls that are refused for good, as far as one can tell. */
  refusedCalls(): RefusedCall[] {
    const now = this.#clock.now();
    return [...this.#quiet.entries()].flatMap(([call, untilMs]) => (now < untilMs ? [{ call, untilMs }] : []));
  }

  /** True if a refusal of the current token is ground for asking for another. */
  mayForce(): boolean {
    if (this.#served || this.#forcedInARow < FRESH_REFUSALS_LIMIT) return true;
    return this.#clock.now() - this.#lastForcedMs >= QUIET_MS;
  }

  forced(): void {
    this.#forcedInARow += 1;
    this.#lastForcedMs = this.#clock.now();
  }

  /** There is another token now: it has served nobody yet. */
  renewed(): void {
    this.#served = false;
  }

  refusedAgain(method: string, path: string): void {
    this.#quiet.set(callOf(method, path), this.#clock.now() + QUIET_MS);
  }

  served(method: string, path: string): void {
    if (!this.#served) {
      this.#served = true;
      this.#forcedInARow = 0;
    }
    if (this.#quiet.size > 0) this.#quiet.delete(callOf(method, path));
  }
}

function callOf(method: string, path: string): string {
  return `${method} ${path}`;
}

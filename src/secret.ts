import { createHash, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

const REDACTED = '[redacted]';

/**
 * A string that cannot be printed by accident: template strings, JSON, `util.inspect` and loggers see `[redacted]`. Only
 * `reveal()` returns the value, so a search for that name finds every place that uses it.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  /** First 8 hex digits of the SHA-256: enough to distinguish two secrets, useless to an attacker. */
  fingerprint(): string {
    return createHash('sha256').update(this.#value).digest('hex').slice(0, 8);
  }

  /** Takes the same time wherever the two differ, and whatever their lengths are. */
  equals(other: string): boolean {
    const digest = (value: string) => createHash('sha256').update(value).digest();
    return timingSafeEqual(digest(this.#value), digest(other));
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

import type { Clock } from '../clock.ts';
import { networkCode, ProxyError } from '../errors.ts';
import { MAX_RETRY_AFTER_S } from './answer.ts';
import type { TokenFailure } from './tally.ts';

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;

/** When to ask again after failures: 1 s doubling to 30 s, less up to half by chance, `Retry-After` honoured. */
export class Backoff {
  readonly #clock: Clock;
  readonly #random: () => number;
  #failures = 0;
  #untilMs = 0;
  #error: ProxyError | undefined;
  #failedAtMs = 0;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  failed(error: ProxyError): void {
    const whole = Math.min(FIRST_MS * 2 ** this.#failures, LONGEST_MS);
    const delayMs = whole * (1 - this.#random() / 2);
    this.#failures += 1;
    this.#failedAtMs = this.#clock.now();
    this.#untilMs = this.#clock.now() + Math.max(delayMs, retryAfterMs(error));
    this.#error = error;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#untilMs = 0;
    this.#error = undefined;
  }

  /** Milliseconds until the next question may be asked; 0 if now. */
  remainingMs(): number {
    return Math.max(0, this.#untilMs - this.#clock.now());
  }

  /** When the next question may be asked, epoch milliseconds; 0 if now. */
  get retryAtMs(): number {
    return this.remainingMs() === 0 ? 0 : this.#untilMs;
  }

  /** The last failure, if nothing succeeded since. */
  failure(): TokenFailure | undefined {
    const last = this.#error;
    if (last === undefined) return undefined;
    const cause = last.cause === undefined ? undefined : networkCode(last.cause);
    return { code: last.code, detail: last.message, cause, atMs: this.#failedAtMs };
  }

  /** What everyone gets who asks before the time: the last failure, saying how long to wait. */
  refusal(): ProxyError | undefined {
    const remainingMs = this.remainingMs();
    const last = this.#error;
    if (last === undefined || remainingMs === 0) return undefined;
    return new ProxyError(last.code, last.message, { cause: last.cause, retryAfterS: Math.ceil(remainingMs / 1000) });
  }
}

/** 0 for what is no positive number: another replica may have published it. */
function retryAfterMs({ retryAfterS = 0 }: ProxyError): number {
  return retryAfterS > 0 ? Math.min(retryAfterS, MAX_RETRY_AFTER_S) * 1000 : 0;
}

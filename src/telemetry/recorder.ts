import { Trail } from './trail.ts';

/** Of requests that go well, no more are recorded in a second: under load they would push out the others at once. */
const WELL_PER_SECOND = 100;

/** How long after somebody looked the headers of all requests are kept. */
const LOOKED_MS = 60_000;

/**
 * The last requests of this process, the oldest overwritten by the newest. They are copied into places that were made
 * before: a trail that lives on would have to be moved out of the way again and again when memory is cleaned up
 * (docs/decisions/0010-what-is-seen.md).
 */
export class Recorder {
  readonly #ring: Trail[];
  #count = 0;
  #lookedAt = -Infinity;
  #passedOver = 0;
  #secondAt = -Infinity;
  #wellInSecond = 0;

  constructor(size: number) {
    this.#ring = Array.from({ length: size }, () => new Trail('', '', []));
  }

  /**
   * Keeps what a trail says now, unless it went well as so many did in this second. Headers are kept of requests that
   * failed or whose bodies are kept, and of all while somebody looks.
   */
  add(trail: Trail): void {
    const failed = trail.status < 200 || trail.status >= 400 || trail.code !== undefined;
    if (!failed && this.#isOneTooMany(trail.endedAt)) {
      this.#passedOver += 1;
      return;
    }
    this.#count += 1;
    trail.number = this.#count;
    const withHeaders = failed || trail.keepsBodies || trail.endedAt - this.#lookedAt < LOOKED_MS;
    this.#ring[this.#count % this.#ring.length]?.copy(trail, withHeaders);
  }

  /** How many are not here any more, or never were. */
  get dropped(): number {
    return this.#overwritten + this.#passedOver;
  }

  get #overwritten(): number {
    return Math.max(0, this.#count - this.#ring.length);
  }

  /** Those with higher numbers than `after`, newest first. */
  since(after: number): Trail[] {
    this.#lookedAt = performance.now();
    const oldest = Math.max(after, this.#overwritten);
    const found: Trail[] = [];
    for (let number = this.#count; number > oldest; number--) {
      const kept = this.#ring[number % this.#ring.length];
      if (kept === undefined) continue;
      kept.redact();
      found.push(new Trail('', '', []).copy(kept, true));
    }
    return found;
  }

  #isOneTooMany(now: number): boolean {
    if (now - this.#secondAt >= 1000) {
      this.#secondAt = now;
      this.#wellInSecond = 0;
    }
    this.#wellInSecond += 1;
    return this.#wellInSecond > WELL_PER_SECOND;
  }
}

import type { Trail } from './trail.ts';

/** The last requests of this process, the oldest overwritten by the newest. */
export class Recorder {
  readonly #ring: (Trail | undefined)[];
  #count = 0;

  constructor(size: number) {
    this.#ring = new Array<Trail | undefined>(size);
  }

  add(trail: Trail): void {
    this.#count += 1;
    trail.number = this.#count;
    this.#ring[this.#count % this.#ring.length] = trail;
  }

  /** How many were recorded and then overwritten. */
  get dropped(): number {
    return Math.max(0, this.#count - this.#ring.length);
  }

  /** Number of the newest; 0 if there is none. */
  get newest(): number {
    return this.#count;
  }

  /** Those with higher numbers than `after`, newest first. */
  since(after: number): Trail[] {
    const oldest = Math.max(after, this.dropped);
    const found: Trail[] = [];
    for (let number = this.#count; number > oldest; number--) {
      const trail = this.#ring[number % this.#ring.length];
      if (trail !== undefined) found.push(trail);
    }
    return found;
  }

  clear(): void {
    this.#ring.fill(undefined);
  }
}

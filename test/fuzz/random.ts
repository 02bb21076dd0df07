import { Random } from '../support/random.ts';

/** The seed of a run. `WAKALA_FUZZ_SEED` repeats a run; the default is random. */
export const SEED = Number(process.env['WAKALA_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Multiplies the number of inputs: `WAKALA_FUZZ_FACTOR=100` runs overnight. */
export const FACTOR = Number(process.env['WAKALA_FUZZ_FACTOR'] ?? 1);

/** Repeatable random choices. */
export class Chance extends Random {
  /** An integer from 0 to `end - 1`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  /** Up to `max` random elements, possibly repeated. */
  pickSome<T>(from: readonly T[], max: number): T[] {
    return Array.from({ length: this.below(max + 1) }, () => this.pick(from));
  }

  /** Characters from `low` to `high`. */
  text(max: number, low = 0x20, high = 0x7e): string {
    const codes = Array.from({ length: this.below(max + 1) }, () => low + this.below(high - low + 1));
    return String.fromCharCode(...codes);
  }

  /** Changes the text in up to `max` places: inserts pieces, removes, repeats or swaps parts, or replaces a character. */
  mutate(text: string, pieces: readonly string[], max = 4): string {
    let changed = text;
    for (let left = 1 + this.below(max); left > 0; left--) changed = this.#mutateOnce(changed, pieces);
    return changed;
  }

  #mutateOnce(text: string, pieces: readonly string[]): string {
    const at = this.below(text.length + 1);
    const to = Math.min(text.length, at + 1 + this.below(8));
    const [before, within, after] = [text.slice(0, at), text.slice(at, to), text.slice(to)];
    switch (this.below(6)) {
      case 0:
        return before + after;
      case 1:
        return before + within + within + after;
      case 2:
        return before + this.pick(pieces) + after;
      case 3:
        return before + String.fromCharCode(this.below(256)) + text.slice(at + 1);
      case 4:
        return after + within + before;
      default:
        return before + this.pick(pieces) + within + after;
    }
  }
}

/** A kind of input and its check. */
export interface FuzzTest<T> {
  readonly name: string;
  readonly count: number;
  readonly make: (chance: Chance) => T;
  /** @throws Error if the property does not hold */
  readonly check: (input: T) => void | Promise<void>;
  /** Formats an input for an error message. */
  readonly show?: (input: T) => string;
}

/** Creates inputs and checks them. The error of a failure contains the input and how to repeat it. */
export async function fuzz<T>({ name, count, make, check, show = JSON.stringify }: FuzzTest<T>): Promise<void> {
  const runs = Math.ceil(count * FACTOR);
  console.log(`${name}: ${runs} inputs, WAKALA_FUZZ_SEED=${SEED}`);
  for (let i = 0; i < runs; i++) {
    // Each input has its own seed, so that a change of one kind of input does not change the others.
    const input = make(new Chance((SEED ^ Math.imul(i + 1, 0x9e3779b1) ^ hashOf(name)) >>> 0));
    try {
      const checked = check(input);
      if (checked !== undefined) await checked;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${name}, input ${i} of WAKALA_FUZZ_SEED=${SEED}: ${why}\n${show(input)}`, { cause });
    }
  }
}

function hashOf(name: string): number {
  let hash = 0;
  for (const character of name) hash = Math.imul(hash, 31) + (character.codePointAt(0) ?? 0);
  return hash;
}

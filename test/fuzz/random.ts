import { Random } from '../support/random.ts';

/** Where every run begins: `WAKALA_FUZZ_SEED` repeats one, otherwise each is another. */
export const SEED = Number(process.env['WAKALA_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** How many times the usual number of inputs: `WAKALA_FUZZ_FACTOR=100` for a night. */
export const FACTOR = Number(process.env['WAKALA_FUZZ_FACTOR'] ?? 1);

/** Chance that can be repeated. */
export class Chance extends Random {
  /** A whole number from 0 up to, but not, `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  /** Up to `most` of them, in any order, with repetitions. */
  some<T>(from: readonly T[], most: number): T[] {
    return Array.from({ length: this.below(most + 1) }, () => this.pick(from));
  }

  /** Characters from `low` to `high`. */
  text(most: number, low = 0x20, high = 0x7e): string {
    const codes = Array.from({ length: this.below(most + 1) }, () => low + this.below(high - low + 1));
    return String.fromCharCode(...codes);
  }

  /** Changed in up to `most` places: pieces put in, cut out, doubled, swapped, or a letter replaced. */
  mutated(text: string, pieces: readonly string[], most = 4): string {
    let changed = text;
    for (let left = 1 + this.below(most); left > 0; left--) changed = this.#mutatedOnce(changed, pieces);
    return changed;
  }

  #mutatedOnce(text: string, pieces: readonly string[]): string {
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

/** One kind of input: how it is made, and what must hold for each. */
export interface Fuzzed<T> {
  readonly name: string;
  readonly count: number;
  readonly make: (chance: Chance) => T;
  /** Throws if what must hold does not. */
  readonly check: (input: T) => void | Promise<void>;
  /** As it is shown in a failure. */
  readonly show?: (input: T) => string;
}

/** Makes inputs and checks them. A failure says which input it was, and how to get it again. */
export async function fuzz<T>({ name, count, make, check, show = JSON.stringify }: Fuzzed<T>): Promise<void> {
  const runs = Math.ceil(count * FACTOR);
  console.log(`${name}: ${runs} inputs, WAKALA_FUZZ_SEED=${SEED}`);
  for (let i = 0; i < runs; i++) {
    // Each input has a seed of its own, so that changing one kind of input leaves the others as they were.
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

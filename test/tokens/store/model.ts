import type { Clock } from '../../../src/clock.ts';
import type { Log } from '../../../src/logger.ts';
import { Secret } from '../../../src/secret.ts';
import { TokenCipher } from '../../../src/tokens/store/cipher.ts';
import { SharedTokenFetcher, MAX_LEASE_WAIT_MS } from '../../../src/tokens/store/coordinator.ts';
import type { Lease, StoredToken, TokenStore } from '../../../src/tokens/store/store.ts';
import { makeToken, type Token } from '../../../src/tokens/token.ts';

/** What the explorer may let happen beside the next step of a replica. */
export interface Faults {
  /** How many replicas may die, at any step. */
  readonly crashes: number;
  /** How many turns may run out while their owner is held up. */
  readonly expiries: number;
  /** How many replicas may have waited long enough for the turns of others. */
  readonly lateWaits?: number;
  /** Someone else has the turn, and it never ends. */
  readonly endlessTurn?: boolean;
}

export interface Run {
  /** Tokens that the provider issued, in order: each kills the one before. */
  readonly issued: readonly string[];
  /** Generations in the order in which they were posted. */
  readonly generations: readonly number[];
  /** What each replica that lived came to hold. */
  readonly held: readonly (string | undefined)[];
  /** What lies on the store in the end. */
  readonly posted: string | undefined;
  readonly faults: number;
}

/** One thing that may happen next. */
interface Choice {
  readonly name: string;
  readonly happen: () => void;
}

const MAX_RUNS = 100_000;

const LIFETIME_MS = 3_600_000;
const SEAL = new TokenCipher([new Secret('a key for the model check, long enough')]);
const NAME = 'credential';
const STRANGER = 'a stranger';
const SILENT: Log = { debug: noop, info: noop, warn: noop, error: noop };

/** The world of one run: a provider that kills old tokens, a store, and replicas that take one step at a time. */
class World {
  readonly issued: string[] = [];
  readonly generations: number[] = [];
  faults = 0;
  #token: StoredToken | undefined;
  #turn: { owner: string; fencingNumber: number } | undefined;
  #fencingNumber = 1;
  #lastPosted = 1;
  readonly #fenced: boolean;
  readonly #allowed: Faults;
  readonly #listeners = new Map<string, Set<(news: string) => void>>();
  readonly #pending = new Map<string, { what: string; step: () => void }[]>();
  readonly #timers = new Map<string, { callback: () => void; version: number }[]>();
  /** How often the store has changed: whoever looks again at the same sees the same. */
  #version = 0;
  readonly #alive = new Set<string>();
  /** Ends the wait of a replica for the turns of others. */
  readonly #waits = new Map<string, () => void>();
  #crashes = 0;
  #expiries = 0;
  #lateWaits = 0;

  constructor(fenced: boolean, allowed: Faults) {
    this.#fenced = fenced;
    this.#allowed = allowed;
    if (allowed.endlessTurn === true) this.#turn = { owner: STRANGER, fencingNumber: 0 };
  }

  get posted(): StoredToken | undefined {
    return this.#token;
  }

  /** Starts a replica; `done` gets what it came to hold. */
  start(owner: string, after: Token | undefined, done: (token: Token | undefined) => void): void {
    this.#alive.add(owner);
    const own = {
      fetch: () =>
        this.#step(owner, 'exchange', () => {
          this.issued.push(`token-${this.issued.length + 1}-by-${owner}`);
          return makeToken(this.issued.at(-1) ?? '', undefined, { lifetimeMs: LIFETIME_MS, source: 'expires_in' }, 0);
        }),
    };
    const context = { cipher: SEAL, name: NAME, provider: 'model', owner, log: SILENT, onForeignMessage: noop };
    const fetcher = new SharedTokenFetcher(own, { ...context, store: this.#store(owner), clock: this.#clock(owner) });
    fetcher.fetch(undefined, after).then(done, () => done(undefined));
  }

  /** All that may happen now, in a fixed order. */
  choices(): Choice[] {
    const choices: Choice[] = [];
    for (const owner of this.#alive) {
      const [next] = this.#pending.get(owner) ?? [];
      const [timer] = this.#timers.get(owner) ?? [];
      if (next !== undefined) choices.push({ name: `${owner}: ${next.what}`, happen: () => this.#run(owner) });
      else if (timer !== undefined && timer.version !== this.#version) {
        choices.push({ name: `${owner}: looks again`, happen: () => this.#fire(owner) });
      }
      const { lateWaits = 0 } = this.#allowed;
      if (timer !== undefined && this.#lateWaits < lateWaits) {
        choices.push({ name: `${owner}: has waited enough`, happen: () => this.#waitsNoMore(owner) });
      }
      if ((next ?? timer) !== undefined && this.#crashes < this.#allowed.crashes) {
        choices.push({ name: `${owner} dies`, happen: () => this.#crash(owner) });
      }
    }
    if (this.#turn?.owner === STRANGER) return choices;
    if (this.#turn !== undefined && (this.#expiries < this.#allowed.expiries || !this.#alive.has(this.#turn.owner))) {
      choices.push({ name: 'the turn runs out', happen: () => this.#expire() });
    }
    return choices;
  }

  #run(owner: string): void {
    this.#pending.get(owner)?.shift()?.step();
  }

  #fire(owner: string): void {
    this.#timers.get(owner)?.shift()?.callback();
  }

  #waitsNoMore(owner: string): void {
    this.#lateWaits += 1;
    this.faults += 1;
    this.#waits.get(owner)?.();
  }

  #crash(owner: string): void {
    this.#crashes += 1;
    this.faults += 1;
    this.#alive.delete(owner);
    this.#listeners.delete(owner);
  }

  #expire(): void {
    if (this.#turn !== undefined && this.#alive.has(this.#turn.owner)) {
      this.#expiries += 1;
      this.faults += 1;
    }
    this.#turn = undefined;
    this.#version += 1;
  }

  /** A step of a replica: it happens when it is chosen, and its outcome is known then. */
  #step<T>(owner: string, what: string, effect: () => T): Promise<T> {
    return new Promise((resolve) => {
      const queue = this.#pending.get(owner) ?? [];
      queue.push({ what, step: () => resolve(effect()) });
      this.#pending.set(owner, queue);
    });
  }

  #store(owner: string): TokenStore {
    return {
      read: () => this.#step(owner, 'read', () => this.#token),
      acquire: (_owner, _lockMs, above) => this.#step(owner, 'acquire', () => this.#acquire(owner, above)),
      renew: () => Promise.resolve(true),
      save: (_owner, posted, news) => this.#step(owner, 'post', () => this.#post(owner, posted, news)),
      release: (_owner, news) =>
        this.#step(owner, 'release', () => {
          if (this.#turn?.owner === owner) this.#turn = undefined;
          this.#version += 1;
          if (news !== undefined) this.#tell(news);
        }),
      subscribe: (onNews) => {
        const mine = this.#listeners.get(owner) ?? new Set();
        this.#listeners.set(owner, mine.add(onNews));
        return () => mine.delete(onNews);
      },
    };
  }

  #acquire(owner: string, above: number): Lease {
    if (this.#turn !== undefined) return { fencingNumber: undefined, stored: this.#token };
    this.#fencingNumber = Math.max(this.#fencingNumber, above) + 1;
    this.#version += 1;
    this.#turn = { owner, fencingNumber: this.#fencingNumber };
    return { fencingNumber: this.#fencingNumber, stored: this.#token };
  }

  #post(owner: string, posted: StoredToken, news: string): boolean {
    if (this.#turn?.owner === owner) this.#turn = undefined;
    this.#version += 1;
    if (this.#fenced && posted.generation <= this.#lastPosted) return false;
    this.#lastPosted = posted.generation;
    this.#token = posted;
    this.generations.push(posted.generation);
    this.#tell(news);
    return true;
  }

  #tell(news: string): void {
    for (const listeners of this.#listeners.values()) for (const listener of [...listeners]) listener(news);
  }

  /** Timers of a replica fire when they are chosen; renewals never do, which is the worst that can happen to them. */
  #clock(owner: string): Clock {
    return {
      now: () => 0,
      after: (delayMs, callback) => {
        if (delayMs === MAX_LEASE_WAIT_MS) this.#waits.set(owner, callback);
        if (delayMs > 500) return noop;
        const timers = this.#timers.get(owner) ?? [];
        const timer = { callback, version: this.#version };
        timers.push(timer);
        this.#timers.set(owner, timers);
        return () => {
          const at = timers.indexOf(timer);
          if (at !== -1) timers.splice(at, 1);
        };
      },
    };
  }
}

/** Runs every interleaving of replicas that all want a token other than `after`. @returns how many there were */
export async function explore(
  replicas: number,
  options: { readonly after?: Token; readonly fenced?: boolean; readonly faults?: Faults; readonly maxSteps?: number },
  check: (run: Run, trace: readonly string[]) => void,
): Promise<number> {
  const { after, fenced = true, faults = { crashes: 0, expiries: 0 }, maxSteps = 24 } = options;
  let path: number[] = [];
  for (let runs = 1; ; runs++) {
    if (runs > MAX_RUNS) throw new Error(`more than ${MAX_RUNS} interleavings`);
    const world = new World(fenced, faults);
    const held: (Token | undefined)[] = [];
    for (let i = 0; i < replicas; i++) world.start(`r${i}`, after, (token) => (held[i] = token));
    const trace: string[] = [];
    const widths: number[] = [];
    await settled();
    for (let depth = 0; depth < maxSteps; depth++) {
      const choices = world.choices();
      const choice = choices[path[depth] ?? 0];
      if (choice === undefined) break;
      widths.push(choices.length);
      trace.push(choice.name);
      choice.happen();
      await settled();
    }
    const { issued, generations, posted, faults: happened } = world;
    const name = posted === undefined ? undefined : opened(posted);
    const names = Array.from({ length: replicas }, (_, i) => held[i]?.accessToken.reveal());
    check({ issued, generations, held: names, posted: name, faults: happened }, trace);
    // The next path in depth-first order: the last choice that has a sibling left.
    const next = widths.map((_, depth) => path[depth] ?? 0);
    while (next.length > 0 && (next.at(-1) ?? 0) + 1 >= (widths[next.length - 1] ?? 0)) next.pop();
    const last = next.pop();
    if (last === undefined) return runs;
    path = [...next, last + 1];
  }
}

export function opened(posted: StoredToken): string {
  return SEAL.decrypt(posted.encrypted, NAME, posted.generation, posted.remainingMs, 0).accessToken.reveal();
}

/** Until nothing is left to do without another step. */
async function settled(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve();
}

function noop(): void {
  return;
}

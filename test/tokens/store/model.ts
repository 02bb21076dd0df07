import type { Clock } from '../../../src/clock.ts';
import type { Log } from '../../../src/logger.ts';
import { Secret } from '../../../src/secret.ts';
import { TokenCipher } from '../../../src/tokens/store/cipher.ts';
import { maxLeaseWaitMs, SharedTokenFetcher } from '../../../src/tokens/store/coordinator.ts';
import type { Lease, StoredToken, TokenStore } from '../../../src/tokens/store/store.ts';
import { makeToken, type Token } from '../../../src/tokens/token.ts';

/** What may happen besides the next step of a replica. */
export interface Faults {
  /** How many replicas may die, at any step. */
  readonly crashes: number;
  /** How many leases may expire while their holder is blocked. */
  readonly expiries: number;
  /** How many replicas may give up waiting for the leases of others. */
  readonly timedOutWaits?: number;
  /** A stranger holds the lease for ever. */
  readonly endlessLease?: boolean;
}

export interface Run {
  /** Tokens that the provider issued, in order: each kills the one before. */
  readonly issued: readonly string[];
  /** Generations in the order in which they were saved. */
  readonly generations: readonly number[];
  /** The token that each replica ended with; undefined for one that died or is not done. */
  readonly held: readonly (string | undefined)[];
  /** The token in the store at the end. */
  readonly stored: string | undefined;
  readonly faults: number;
}

/** One thing that may happen next. */
interface Choice {
  readonly name: string;
  readonly happen: () => void;
}

const MAX_RUNS = 100_000;

const LIFETIME_MS = 3_600_000;
const TOKEN_TIMEOUT_MS = 15_000;
const CIPHER = new TokenCipher([new Secret('a key for the model check, long enough')]);
const NAME = 'credential';
const STRANGER = 'a stranger';
const SILENT: Log = { debug: noop, info: noop, warn: noop, error: noop };

/** One run: a provider that kills old tokens, a store, and replicas that take one step at a time. */
class System {
  readonly issued: string[] = [];
  readonly generations: number[] = [];
  faults = 0;
  #token: StoredToken | undefined;
  #lease: { owner: string; fencingNumber: number } | undefined;
  #fencingNumber = 1;
  #lastGeneration = 1;
  readonly #fenced: boolean;
  readonly #allowed: Faults;
  readonly #listeners = new Map<string, Set<(event: string) => void>>();
  readonly #pending = new Map<string, { what: string; step: () => void }[]>();
  readonly #timers = new Map<string, { callback: () => void; version: number }[]>();
  /** How often the store has changed. A replica need not read the same version twice. */
  #version = 0;
  readonly #alive = new Set<string>();
  /** By replica: ends its wait for the leases of others. */
  readonly #waits = new Map<string, () => void>();
  #crashes = 0;
  #expiries = 0;
  #timedOutWaits = 0;

  constructor(fenced: boolean, allowed: Faults) {
    this.#fenced = fenced;
    this.#allowed = allowed;
    if (allowed.endlessLease === true) this.#lease = { owner: STRANGER, fencingNumber: 0 };
  }

  get stored(): StoredToken | undefined {
    return this.#token;
  }

  /** Starts a replica. `done` gets its token. */
  start(owner: string, after: Token | undefined, done: (token: Token | undefined) => void): void {
    this.#alive.add(owner);
    const provider = {
      timeoutMs: TOKEN_TIMEOUT_MS,
      configuredRefreshToken: undefined,
      fetch: () =>
        this.#step(owner, 'exchange', () => {
          this.issued.push(`token-${this.issued.length + 1}-by-${owner}`);
          return makeToken(this.issued.at(-1) ?? '', undefined, { lifetimeMs: LIFETIME_MS, source: 'expires_in' }, 0);
        }),
    };
    const context = { cipher: CIPHER, name: NAME, provider: 'model', owner, log: SILENT, onForeignMessage: noop };
    const fetcher = new SharedTokenFetcher(provider, {
      ...context,
      store: this.#store(owner),
      clock: this.#clock(owner),
    });
    fetcher.fetch(undefined, after).then(done, () => done(undefined));
  }

  /** Everything that may happen now, in a fixed order. */
  choices(): Choice[] {
    const choices: Choice[] = [];
    for (const owner of this.#alive) {
      const [next] = this.#pending.get(owner) ?? [];
      const [timer] = this.#timers.get(owner) ?? [];
      if (next !== undefined) choices.push({ name: `${owner}: ${next.what}`, happen: () => this.#run(owner) });
      else if (timer !== undefined && timer.version !== this.#version) {
        choices.push({ name: `${owner}: reads again`, happen: () => this.#fire(owner) });
      }
      const { timedOutWaits = 0 } = this.#allowed;
      if (timer !== undefined && this.#timedOutWaits < timedOutWaits) {
        choices.push({ name: `${owner}: gives up waiting`, happen: () => this.#giveUpWaiting(owner) });
      }
      if ((next ?? timer) !== undefined && this.#crashes < this.#allowed.crashes) {
        choices.push({ name: `${owner} dies`, happen: () => this.#crash(owner) });
      }
    }
    if (this.#lease?.owner === STRANGER) return choices;
    if (this.#lease !== undefined && (this.#expiries < this.#allowed.expiries || !this.#alive.has(this.#lease.owner))) {
      choices.push({ name: 'the lease expires', happen: () => this.#expire() });
    }
    return choices;
  }

  #run(owner: string): void {
    this.#pending.get(owner)?.shift()?.step();
  }

  #fire(owner: string): void {
    this.#timers.get(owner)?.shift()?.callback();
  }

  #giveUpWaiting(owner: string): void {
    this.#timedOutWaits += 1;
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
    if (this.#lease !== undefined && this.#alive.has(this.#lease.owner)) {
      this.#expiries += 1;
      this.faults += 1;
    }
    this.#lease = undefined;
    this.#version += 1;
  }

  /** A step of a replica, which happens when it is chosen. */
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
      acquire: (_owner, _durationMs, above) => this.#step(owner, 'acquire', () => this.#acquire(owner, above)),
      renew: () => Promise.resolve(true),
      save: (_owner, token, event) => this.#step(owner, 'save', () => this.#save(owner, token, event)),
      release: (_owner, event) =>
        this.#step(owner, 'release', () => {
          if (this.#lease?.owner === owner) this.#lease = undefined;
          this.#version += 1;
          if (event !== undefined) this.#send(event);
        }),
      subscribe: (onEvent) => {
        const mine = this.#listeners.get(owner) ?? new Set();
        this.#listeners.set(owner, mine.add(onEvent));
        return () => mine.delete(onEvent);
      },
    };
  }

  #acquire(owner: string, above: number): Lease {
    if (this.#lease !== undefined) return { fencingNumber: undefined, stored: this.#token };
    this.#fencingNumber = Math.max(this.#fencingNumber, above) + 1;
    this.#version += 1;
    this.#lease = { owner, fencingNumber: this.#fencingNumber };
    return { fencingNumber: this.#fencingNumber, stored: this.#token };
  }

  #save(owner: string, token: StoredToken, event: string): boolean {
    if (this.#lease?.owner === owner) this.#lease = undefined;
    this.#version += 1;
    if (this.#fenced && token.generation <= this.#lastGeneration) return false;
    this.#lastGeneration = token.generation;
    this.#token = token;
    this.generations.push(token.generation);
    this.#send(event);
    return true;
  }

  #send(event: string): void {
    for (const listeners of this.#listeners.values()) for (const listener of [...listeners]) listener(event);
  }

  /** The timers of a replica fire when they are chosen. Those that renew the lease never fire, which is the worst case. */
  #clock(owner: string): Clock {
    return {
      now: () => 0,
      after: (delayMs, callback) => {
        if (delayMs === maxLeaseWaitMs(TOKEN_TIMEOUT_MS)) this.#waits.set(owner, callback);
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
    const system = new System(fenced, faults);
    const held: (Token | undefined)[] = [];
    for (let i = 0; i < replicas; i++) system.start(`r${i}`, after, (token) => (held[i] = token));
    const trace: string[] = [];
    const widths: number[] = [];
    await settled();
    for (let depth = 0; depth < maxSteps; depth++) {
      const choices = system.choices();
      const choice = choices[path[depth] ?? 0];
      if (choice === undefined) break;
      widths.push(choices.length);
      trace.push(choice.name);
      choice.happen();
      await settled();
    }
    const { issued, generations, stored, faults: happened } = system;
    const name = stored === undefined ? undefined : decrypted(stored);
    const names = Array.from({ length: replicas }, (_, i) => held[i]?.accessToken.reveal());
    check({ issued, generations, held: names, stored: name, faults: happened }, trace);
    // The next path in depth-first order: the last choice that has a sibling left.
    const next = widths.map((_, depth) => path[depth] ?? 0);
    while (next.length > 0 && (next.at(-1) ?? 0) + 1 >= (widths[next.length - 1] ?? 0)) next.pop();
    const last = next.pop();
    if (last === undefined) return runs;
    path = [...next, last + 1];
  }
}

function decrypted(stored: StoredToken): string {
  return CIPHER.decrypt(stored.encrypted, NAME, stored.generation, stored.remainingMs, 0).accessToken.reveal();
}

/** Resolves when only another step can continue the run. */
async function settled(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve();
}

function noop(): void {
  return;
}

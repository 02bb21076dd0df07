import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { RefusedCall } from './tally.ts';
import type { TokenCall } from './token.ts';

/** From this many unproven exchanges on, each makes the rule wary for this long. */
const WARY_FROM = 2;
const WARY_MS = 30_000;
/** Without another one, unproven exchanges are forgotten after this time. */
const FORGET_MS = 10 * 60_000;
/** While wary, how long a refused call waits for a later call to be accepted. */
const WAIT_MS = 1000;
/** While wary, the shortest time between two forced exchanges of the credential, and of one named client. */
const CREDENTIAL_MS = 5000;
const CLIENT_MS = 30_000;
/** How long a call is quiet. */
const QUIET_MS = 30_000;

const MAX_CLIENTS = 1000;
const MAX_QUIET = 1000;
const MAX_QUIET_CHARACTERS = 256 * 1024;

/**
 * Decides whether a refusal of the current token forces an exchange.
 *
 * A refusal means that the token is dead, or that the provider refuses this call with any token. An exchange for the
 * second kind does harm: the new token may kill the old one for all other calls, and the token endpoint may throttle. So
 * each forced exchange counts as unproven until the call that forced it is accepted with the fresh token. The count goes
 * back to 0 with a proven exchange, and after 10 minutes without an unproven one.
 *
 * - Calm: a refusal forces an exchange at once.
 * - Wary, for 30 s after an unproven exchange if two or more are counted: the refused call waits up to 1 s. If a call that
 *   was sent later is accepted with the same token, the token is alive and the refusal passes. If none is, the call
 *   forces an exchange: at most one per 5 s for the credential, and one per 30 s for each named client.
 * - Quiet: a call whose fresh token was refused too forces nothing for 30 s, or until it is accepted.
 *
 * The reasons and the figures are in docs/decisions/0002-forced-refreshes.md.
 */
export class Refusals {
  readonly #clock: Clock;
  #unproven = 0;
  #lastUnprovenMs = -Infinity;
  /** The call that forced the last exchange, while that is unproven. */
  #forcedBy: TokenCall | undefined;
  /** When the latest call that was accepted with the current token was sent. */
  #acceptedSentAtMs = -Infinity;
  readonly #waiting = new Set<WaitingCall>();
  // These reserve memory for all that they may hold, so they are made when they are needed: most tokens are never refused.
  /** When each client last forced an exchange that is unproven. */
  #lastByClient: LRUCache<string, number> | undefined;
  /** By client, method and path. */
  #quiet: LRUCache<string, RefusedCall> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether this call may force an exchange now. While wary, only if `waitForAcceptance` was false. */
  mayForce(call: TokenCall): boolean {
    const quiet = this.#quiet?.get(keyOf(call));
    if (quiet !== undefined && this.#isQuiet(quiet)) return false;
    if (!this.isWary()) return true;
    if (this.#isWithin(CREDENTIAL_MS, this.#lastUnprovenMs)) return false;
    return call.client === undefined || !this.#isWithin(CLIENT_MS, this.#lastByClient?.get(call.client) ?? -Infinity);
  }

  isWary(): boolean {
    return this.#unproven >= WARY_FROM && this.#isWithin(WARY_MS, this.#lastUnprovenMs);
  }

  /** Whether a call that was sent after `refused` was accepted with the current token: then the token is alive. */
  isAcceptedAfter(refused: TokenCall): boolean {
    return this.#acceptedSentAtMs > refused.sentAtMs;
  }

  /** Waits up to 1 s for `isAcceptedAfter` to become true; ends early when the token is replaced. */
  async waitForAcceptance(refused: TokenCall): Promise<boolean> {
    if (this.isAcceptedAfter(refused)) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiting = { sentAtMs: refused.sentAtMs, resolve };
    const cancelTimer = this.#clock.after(WAIT_MS, () => resolve(false));
    this.#waiting.add(waiting);
    const accepted = await promise;
    this.#waiting.delete(waiting);
    cancelTimer();
    return accepted;
  }

  /** The exchange that this call forced gave a token. */
  forced(call: TokenCall): void {
    this.#unproven = this.#isWithin(FORGET_MS, this.#lastUnprovenMs) ? this.#unproven + 1 : 1;
    this.#lastUnprovenMs = this.#clock.now();
    if (call.client !== undefined) {
      this.#lastByClient ??= new LRUCache({ max: MAX_CLIENTS });
      this.#lastByClient.set(call.client, this.#lastUnprovenMs);
    }
    this.#forcedBy = call;
  }

  /** The current token was replaced. */
  renewed(): void {
    this.#acceptedSentAtMs = -Infinity;
    for (const { resolve } of this.#waiting) resolve(false);
  }

  /** The provider accepted this call: if it forced the last exchange, that exchange is proven. */
  proves(call: TokenCall): void {
    if (call !== this.#forcedBy) return;
    this.#forcedBy = undefined;
    this.#unproven = 0;
    if (call.client !== undefined) this.#lastByClient?.delete(call.client);
  }

  /** The provider accepted the current token on this call. */
  accepted(call: TokenCall): void {
    if (call.sentAtMs > this.#acceptedSentAtMs) {
      this.#acceptedSentAtMs = call.sentAtMs;
      if (this.#waiting.size > 0) this.#endWaits();
    }
    if (this.#quiet !== undefined && this.#quiet.size > 0) this.#quiet.delete(keyOf(call));
  }

  /** The provider refused the fresh token on this call too. */
  refusedAgain(call: TokenCall): void {
    const { client, method, path } = call;
    this.#quiet ??= new LRUCache({
      max: MAX_QUIET,
      maxSize: MAX_QUIET_CHARACTERS,
      sizeCalculation: (_, key) => key.length,
    });
    this.#quiet.set(keyOf(call), { client, call: `${method} ${path}`, untilMs: this.#clock.now() + QUIET_MS });
  }

  /** The calls that are quiet now. */
  refusedCalls(): RefusedCall[] {
    return [...(this.#quiet?.values() ?? [])].filter((call) => this.#isQuiet(call));
  }

  #endWaits(): void {
    for (const { sentAtMs, resolve } of this.#waiting) if (sentAtMs < this.#acceptedSentAtMs) resolve(true);
  }

  #isQuiet({ untilMs }: RefusedCall): boolean {
    return this.#isWithin(QUIET_MS, untilMs - QUIET_MS);
  }

  /** False for a time in the future: the clock was set back. */
  #isWithin(ms: number, sinceMs: number): boolean {
    const elapsedMs = this.#clock.now() - sinceMs;
    return elapsedMs >= 0 && elapsedMs < ms;
  }
}

interface WaitingCall {
  readonly sentAtMs: number;
  readonly resolve: (accepted: boolean) => void;
}

function keyOf({ client = '', method, path }: TokenCall): string {
  return `${client}\n${method} ${path}`;
}

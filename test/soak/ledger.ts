import type { Outcome } from './payment-client.ts';
import { recordFailure, type ScenarioResult } from './scenario-result.ts';

/** What the upstream received of one payment. */
interface Entry {
  /** Requests whose head was received. */
  received: number;
  /** Requests that got 401. */
  refused: number;
  /** Requests whose body was received completely and that did not get 401. */
  executed: number;
}

const EMPTY: Entry = { received: 0, refused: 0, executed: 0 };

/** The upstream's record of payments. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  /** Requests whose body belongs to another payment than their head. */
  mixedUp = 0;

  of(id: string): Readonly<Entry> {
    return this.#entries.get(id) ?? EMPTY;
  }

  count(id: string, what: keyof Entry): void {
    const entry = this.#entries.get(id) ?? { ...EMPTY };
    entry[what] += 1;
    this.#entries.set(id, entry);
  }

  get ids(): Iterable<string> {
    return this.#entries.keys();
  }

  /** Removes a payment that was checked. */
  forget(id: string): void {
    this.#entries.delete(id);
  }
}

/** Records a payment that was executed twice or resent without a 401. Call it when no request is in progress. */
export function checkExecutions(result: ScenarioResult, id: string, ledger: Ledger): void {
  const { received, refused, executed } = ledger.of(id);
  if (executed > 1) recordFailure(result, 'doubled', `${id} was executed ${executed} times`);
  else if (received > 2 || received - refused > 1)
    recordFailure(result, 'doubled', `${id} was sent ${received} times, ${refused} refused`);
}

/** Counts a client's outcome, and records a failure if it contradicts the ledger. */
export function checkOutcome(result: ScenarioResult, id: string, outcome: Outcome, ledger: Ledger): void {
  const error = outcomeError(id, outcome, ledger);
  result.tried += 1;
  if (error !== undefined) recordFailure(result, 'lost', `${id}: ${error}`);
  else if (outcome.kind === 'response') result.answered += 1;
  else result.survived += 1;
}

function outcomeError(id: string, outcome: Outcome, ledger: Ledger): string | undefined {
  const { received, refused, executed } = ledger.of(id);
  switch (outcome.kind) {
    case 'response': {
      const { status, echoed } = outcome;
      if (status === 401) return executed > 0 || refused === 0 ? 'a 401 that the upstream did not send' : undefined;
      if (echoed !== id) return `${status} with the response to ${echoed ?? 'nothing'}`;
      return status < 300 && executed === 0 ? `${status}, but it was not executed` : undefined;
    }
    case 'problem': {
      const { status, code, outcome: stated } = outcome;
      if (!/^(upstream|token)_/.test(code)) return `${status} ${code}`;
      if (stated === 'not_sent') return received > refused ? `${code} says not_sent, but it arrived` : undefined;
      return stated === 'unknown' ? undefined : `${code} has the outcome ${stated ?? 'undefined'}`;
    }
    case 'broken':
      return outcome.headSeen ? undefined : `the connection ended before a response (${outcome.code})`;
  }
}

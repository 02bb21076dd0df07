import type { Outcome } from './payment-client.ts';
import { type Row, wrong } from './scenario-result.ts';

/** What the upstream saw of one payment. */
interface Entry {
  /** How often its head came in. */
  sighted: number;
  /** How often it was answered with 401. */
  refused: number;
  /** How often its body was read to the end and not answered with 401. */
  executed: number;
}

const NOTHING: Entry = { sighted: 0, refused: 0, executed: 0 };

/** The upstream's own book. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  /** Requests whose body was not that of their head. */
  mixedUp = 0;

  of(id: string): Readonly<Entry> {
    return this.#entries.get(id) ?? NOTHING;
  }

  count(id: string, what: keyof Entry): void {
    const entry = this.#entries.get(id) ?? { ...NOTHING };
    entry[what] += 1;
    this.#entries.set(id, entry);
  }

  get ids(): Iterable<string> {
    return this.#entries.keys();
  }

  /** Forgets payments that are over and judged. */
  forget(id: string): void {
    this.#entries.delete(id);
  }
}

/** Counts a payment that ran twice, or was sent again without ground. To be asked once nothing is under way. */
export function judgeSendings(row: Row, id: string, ledger: Ledger): void {
  const { sighted, refused, executed } = ledger.of(id);
  if (executed > 1) wrong(row, 'doubled', `${id} was executed ${executed} times`);
  else if (sighted > 2 || sighted - refused > 1)
    wrong(row, 'doubled', `${id} was sent ${sighted} times, ${refused} refused`);
}

/** Counts what a client was told, and whether it is true. */
export function judgeOutcome(row: Row, id: string, outcome: Outcome, ledger: Ledger): void {
  const falsehood = falsehoodOf(id, outcome, ledger);
  row.tried += 1;
  if (falsehood !== undefined) wrong(row, 'lost', `${id}: ${falsehood}`);
  else if (outcome.kind === 'answer') row.answered += 1;
  else row.survived += 1;
}

function falsehoodOf(id: string, outcome: Outcome, ledger: Ledger): string | undefined {
  const { sighted, refused, executed } = ledger.of(id);
  switch (outcome.kind) {
    case 'answer': {
      const { status, echoed } = outcome;
      if (status === 401) return executed > 0 || refused === 0 ? 'a 401 that nobody gave' : undefined;
      if (echoed !== id) return `${status} with the answer to ${echoed ?? 'nothing'}`;
      return status < 300 && executed === 0 ? `${status}, but it was never executed` : undefined;
    }
    case 'problem': {
      const { status, code, outcome: told } = outcome;
      if (!/^(upstream|token)_/.test(code)) return `${status} ${code}`;
      if (told === 'not_sent') return sighted > refused ? `${code} says not_sent, but it arrived` : undefined;
      return told === 'unknown' ? undefined : `${code} says ${told ?? 'nothing'} of the outcome`;
    }
    case 'broken':
      return outcome.headSeen ? undefined : `the connection broke before any answer (${outcome.code})`;
  }
}

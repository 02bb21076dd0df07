/** What came of a scenario. It held if nothing was lost, doubled or leaked. */
export interface Row {
  readonly scenario: string;
  readonly seed: number;
  tried: number;
  /** Got the provider's answer, or the one that was due. */
  answered: number;
  /** Met a fault that could not be hidden, and were told the truth about it. */
  survived: number;
  /** Got no answer, a wrong one, or were told what is not so. */
  lost: number;
  /** Sent or executed more than once. */
  doubled: number;
  /** Sockets, slots, memory or secrets that stayed or got out. */
  leaked: number;
  /** Measurements, and what was wrong. */
  readonly notes: string[];
}

export function newRow(scenario: string, seed: number): Row {
  return { scenario, seed, tried: 0, answered: 0, survived: 0, lost: 0, doubled: 0, leaked: 0, notes: [] };
}

export type Wrong = 'lost' | 'doubled' | 'leaked';

/** Of each kind. */
const MAX_NOTES = 8;

/** Counts something that must not be, and says what it was. */
export function wrong(row: Row, kind: Wrong, what: string, count = 1): void {
  row[kind] += count;
  const said = row.notes.filter((note) => note.startsWith(kind)).length;
  if (said < MAX_NOTES) row.notes.push(`${kind}: ${what}`);
}

/** Counts it unless it holds. */
export function must(row: Row, kind: Wrong, holds: boolean, what: string): void {
  if (!holds) wrong(row, kind, what);
}

export function held(row: Row): boolean {
  return row.lost + row.doubled + row.leaked === 0;
}

/** For the message of a test that fails. */
export function saidOf({ seed, notes }: Row): string {
  return [`seed ${seed}`, ...notes].join('\n');
}

const COLUMNS = ['scenario', 'tried', 'answered', 'survived', 'lost', 'doubled', 'leaked', 'seed'] as const;

/** As a Markdown table. */
export function tableOf(rows: readonly Row[]): string {
  const cells = [[...COLUMNS], ...rows.map((row) => COLUMNS.map((column) => String(row[column])))];
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)));
  const lines = cells.map((line) =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))),
  );
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [lines[0]!, rule, ...lines.slice(1)].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** Counts things by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  count(name: string): void {
    this.#counts.set(name, this.of(name) + 1);
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The most frequent first. */
  shown(): string {
    const sorted = [...this.#counts].sort(([, a], [, b]) => b - a);
    return sorted.map(([name, count]) => `${count} ${name}`).join(', ');
  }
}

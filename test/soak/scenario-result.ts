/** The result of a scenario. It passed if nothing was lost, doubled or leaked. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly seed: number;
  tried: number;
  /** Got the provider's response, or the expected one. */
  answered: number;
  /** Met a fault that the proxy cannot hide, and got a correct error. */
  survived: number;
  /** Got no response, a wrong response or a false error. */
  lost: number;
  /** Sent or executed more than once. */
  doubled: number;
  /** Sockets, slots or memory that were not released, and secrets that were revealed. */
  leaked: number;
  /** Measurements and failures. */
  readonly notes: string[];
}

export function newResult(scenario: string, seed: number): ScenarioResult {
  return { scenario, seed, tried: 0, answered: 0, survived: 0, lost: 0, doubled: 0, leaked: 0, notes: [] };
}

export type FailureKind = 'lost' | 'doubled' | 'leaked';

/** Notes for each kind of failure. */
const MAX_NOTES = 8;

/** Counts a failure and notes it. */
export function recordFailure(result: ScenarioResult, kind: FailureKind, what: string, count = 1): void {
  result[kind] += count;
  const noted = result.notes.filter((note) => note.startsWith(kind)).length;
  if (noted < MAX_NOTES) result.notes.push(`${kind}: ${what}`);
}

/** Records a failure unless the condition holds. */
export function expectThat(result: ScenarioResult, kind: FailureKind, holds: boolean, what: string): void {
  if (!holds) recordFailure(result, kind, what);
}

export function hasPassed(result: ScenarioResult): boolean {
  return result.lost + result.doubled + result.leaked === 0;
}

/** The message of a failed test. */
export function failureMessage({ seed, notes }: ScenarioResult): string {
  return [`seed ${seed}`, ...notes].join('\n');
}

const COLUMNS = ['scenario', 'tried', 'answered', 'survived', 'lost', 'doubled', 'leaked', 'seed'] as const;

/** The results as a Markdown table. */
export function markdownTable(results: readonly ScenarioResult[]): string {
  const cells = [[...COLUMNS], ...results.map((result) => COLUMNS.map((column) => String(result[column])))];
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)));
  const lines = cells.map((line) =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))),
  );
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [lines[0]!, rule, ...lines.slice(1)].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** Counts by name. */
export class Counts {
  readonly #counts = new Map<string, number>();

  add(name: string): void {
    this.#counts.set(name, this.of(name) + 1);
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** `3 timeout, 1 reset`: the most frequent first. */
  describe(): string {
    const sorted = [...this.#counts].sort(([, a], [, b]) => b - a);
    return sorted.map(([name, count]) => `${count} ${name}`).join(', ');
  }
}

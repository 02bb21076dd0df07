import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { cellsOf, type Figures, SCENARIOS, simulate } from './forced-refreshes.ts';

const PAGE = new URL('../../docs/decisions/0002-forced-refreshes.md', import.meta.url);

/** The new figures in the decision, by the title of the scenario. */
function figuresOnPage(): Map<string, string[]> {
  const rows = readFileSync(PAGE, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|') && line.includes('→'))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  return new Map(
    rows.map(([, title = '', ...cells]) => [title, cells.slice(0, -1).map((cell) => cell.split('→ ')[1]!)]),
  );
}

describe('ten simulated minutes', { timeout: 60_000 }, () => {
  const figures = new Map<string, Figures>();
  const of = (title: string) => figures.get(title)!;

  beforeAll(async () => {
    for (const scenario of SCENARIOS) figures.set(scenario.title, await simulate(scenario));
  }, 60_000);

  it('have the results that the decision states', () => {
    const measured = [...figures].map(([title, row]) => [title, cellsOf(row)]);
    expect(new Map(measured as [string, string[]][])).toEqual(figuresOnPage());
  });

  it.each(['attack', 'attack; kills', 'attack, named clients; kills', 'attack by handshakes; kills'])(
    'of an attack cost an exchange per 25 s at most, and no honest call: %s',
    (title) => {
      expect(of(title).exchanges).toBeLessThanOrEqual(24);
      expect(of(title)).toMatchObject({ refused: 0, unavailable: 0 });
      expect(of(title).replayed).toBeLessThan(10);
    },
  );

  it('of an attack cause at most one exchange per 5 s if no one else calls', () => {
    expect(of('attack, no honest calls').exchanges).toBeLessThanOrEqual(120);
    expect(of('attack, no honest calls, named clients').exchanges).toBeLessThanOrEqual(24);
  });

  it('of an attack cause no 503 if the token endpoint throttles', () => {
    expect(of('attack; kills, throttles')).toMatchObject({ replayed: 0, refused: 0, unavailable: 0 });
  });

  it.each([
    ['no attack; tokens revoked', 1000],
    ['attack; kills, tokens revoked', 6500],
    ['attack, slow honest calls; kills, tokens revoked', 6500],
    ['attack, with calls that any token passes; kills, tokens revoked', 31_000],
  ])('have no longer outage: %s, %i ms', (title, limitMs) => {
    expect(of(title).longestDeadMs).toBeLessThanOrEqual(limitMs);
  });
});

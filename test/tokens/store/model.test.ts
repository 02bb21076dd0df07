import { describe, expect, it } from 'vitest';
import { makeToken, type Token } from '../../../src/tokens/token.ts';
import { explore, type Run } from './model.ts';

/** The token that all replicas held, and that the provider refuses by now. */
const DEAD: Token = {
  ...makeToken('dead', undefined, { lifetimeMs: 3_600_000, source: 'expires_in' }, 0),
  generation: 1,
};

/** What must hold in every run, whatever went wrong in it. */
function expectSound(run: Run, trace: readonly string[]): void {
  const sorted = [...run.generations].sort((a, b) => a - b);
  if (run.generations.join() !== sorted.join()) {
    throw new Error(`an older token was posted over a newer one:\n${trace.join('\n')}`);
  }
}

describe('every interleaving of replicas that share a token', { timeout: 120_000 }, () => {
  it.each([2, 3])('%i replicas without faults: one exchange, and all hold its token', async (replicas) => {
    const runs = await explore(replicas, { maxSteps: 20 + replicas * 2 }, (run, trace) => {
      expectSound(run, trace);
      if (run.held.includes(undefined)) return;
      expect(run.issued, trace.join('\n')).toHaveLength(1);
      expect(new Set([...run.held, run.posted])).toEqual(new Set(run.issued));
    });
    expect(runs).toBeGreaterThan(20);
  });

  it('the same where all hold a token that the provider calls dead', async () => {
    let finished = 0;
    await explore(2, { after: DEAD }, (run, trace) => {
      expectSound(run, trace);
      if (run.held.includes(undefined)) return;
      finished += 1;
      expect(run.issued, trace.join('\n')).toHaveLength(1);
    });
    expect(finished).toBeGreaterThan(20);
  });

  it('one dies at any step: the other still gets a token, with one more exchange at most', async () => {
    let crashed = 0;
    await explore(2, { faults: { crashes: 1, expiries: 0 } }, (run, trace) => {
      expectSound(run, trace);
      if (run.faults === 0) return;
      crashed += 1;
      expect(run.issued.length, trace.join('\n')).toBeLessThanOrEqual(2);
      // The one that lives holds the token that the provider issued last, unless the other died with it in its hands.
      const lives = run.held.filter((token) => token !== undefined);
      for (const token of lives) expect(run.issued).toContain(token);
    });
    expect(crashed).toBeGreaterThan(100);
  });

  it('a turn runs out while its owner is held up: no older token is posted over a newer one', async () => {
    let expired = 0;
    await explore(2, { faults: { crashes: 0, expiries: 1 } }, (run, trace) => {
      expectSound(run, trace);
      if (run.faults > 0) expired += 1;
      expect(run.issued.length, trace.join('\n')).toBeLessThanOrEqual(2);
    });
    expect(expired).toBeGreaterThan(100);
  });

  it('a replica waits no longer for the turn of another: one exchange more at most, and all hold a token', async () => {
    let late = 0;
    await explore(2, { faults: { crashes: 0, expiries: 0, lateWaits: 1 } }, (run, trace) => {
      expectSound(run, trace);
      if (run.faults === 0 || run.held.includes(undefined)) return;
      late += 1;
      expect(run.issued.length, trace.join('\n')).toBeLessThanOrEqual(2);
      // Whoever waited no longer asked alone: its token is nobody else's, and was not posted.
      expect(run.generations, trace.join('\n')).toHaveLength(1);
      for (const token of run.held) expect(run.issued).toContain(token);
    });
    expect(late).toBeGreaterThan(20);
  });

  it('a stranger has the turn for ever: each replica gets a token alone, and nothing is posted', async () => {
    let finished = 0;
    const faults = { crashes: 0, expiries: 0, lateWaits: 2, endlessTurn: true };
    await explore(2, { after: DEAD, faults }, (run, trace) => {
      expect(run.generations).toEqual([]);
      if (run.held.includes(undefined)) return;
      finished += 1;
      expect(new Set(run.held), trace.join('\n')).toEqual(new Set(run.issued));
      expect(run.issued).toHaveLength(2);
    });
    expect(finished).toBeGreaterThan(5);
  });

  it('finds the older token over the newer one where the fencing is taken out', async () => {
    const exploring = explore(2, { fenced: false, faults: { crashes: 0, expiries: 1 } }, expectSound);
    await expect(exploring).rejects.toThrow('an older token was posted over a newer one');
  });
});

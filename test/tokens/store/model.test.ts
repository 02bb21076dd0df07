import { describe, expect, it } from 'vitest';
import { makeToken, type Token } from '../../../src/tokens/token.ts';
import { explore, type Run } from './model.ts';

/** The token of all replicas, which the provider refuses now. */
const DEAD: Token = {
  ...makeToken('dead', undefined, { lifetimeMs: 3_600_000, source: 'expires_in' }, 0),
  generation: 1,
};

/** Holds in every run, whatever the faults. */
function expectSound(run: Run, trace: readonly string[]): void {
  const sorted = [...run.generations].sort((a, b) => a - b);
  if (run.generations.join() !== sorted.join()) {
    throw new Error(`an older token replaced a newer one:\n${trace.join('\n')}`);
  }
}

describe('every interleaving of replicas that share a token', { timeout: 120_000 }, () => {
  it.each([2, 3])('%i replicas without faults: one exchange, and all use its token', async (replicas) => {
    const runs = await explore(replicas, { maxSteps: 20 + replicas * 2 }, (run, trace) => {
      expectSound(run, trace);
      if (run.held.includes(undefined)) return;
      expect(run.issued, trace.join('\n')).toHaveLength(1);
      expect(new Set([...run.held, run.stored])).toEqual(new Set(run.issued));
    });
    expect(runs).toBeGreaterThan(20);
  });

  it('two replicas with a dead token: one exchange', async () => {
    let finished = 0;
    await explore(2, { after: DEAD }, (run, trace) => {
      expectSound(run, trace);
      if (run.held.includes(undefined)) return;
      finished += 1;
      expect(run.issued, trace.join('\n')).toHaveLength(1);
    });
    expect(finished).toBeGreaterThan(20);
  });

  it('one replica dies at any step: the other still gets a token, with one more exchange at most', async () => {
    let crashed = 0;
    await explore(2, { faults: { crashes: 1, expiries: 0 } }, (run, trace) => {
      expectSound(run, trace);
      if (run.faults === 0) return;
      crashed += 1;
      expect(run.issued.length, trace.join('\n')).toBeLessThanOrEqual(2);
      // The other has the token that the provider issued last, unless the first died with that one.
      const lives = run.held.filter((token) => token !== undefined);
      for (const token of lives) expect(run.issued).toContain(token);
    });
    expect(crashed).toBeGreaterThan(100);
  });

  it('a lease expires while its holder is blocked: no older token replaces a newer one', async () => {
    let expired = 0;
    await explore(2, { faults: { crashes: 0, expiries: 1 } }, (run, trace) => {
      expectSound(run, trace);
      if (run.faults > 0) expired += 1;
      expect(run.issued.length, trace.join('\n')).toBeLessThanOrEqual(2);
    });
    expect(expired).toBeGreaterThan(100);
  });

  it('a replica gives up waiting for the lease of another: one more exchange at most, and all have a token', async () => {
    let gaveUp = 0;
    await explore(2, { faults: { crashes: 0, expiries: 0, timedOutWaits: 1 } }, (run, trace) => {
      expectSound(run, trace);
      if (run.faults === 0 || run.held.includes(undefined)) return;
      gaveUp += 1;
      expect(run.issued.length, trace.join('\n')).toBeLessThanOrEqual(2);
      // That replica requested its own token, which was not saved.
      expect(run.generations, trace.join('\n')).toHaveLength(1);
      for (const token of run.held) expect(run.issued).toContain(token);
    });
    expect(gaveUp).toBeGreaterThan(20);
  });

  it('a stranger holds the lease for ever: each replica requests its own token, and none is saved', async () => {
    let finished = 0;
    const faults = { crashes: 0, expiries: 0, timedOutWaits: 2, endlessLease: true };
    await explore(2, { after: DEAD, faults }, (run, trace) => {
      expect(run.generations).toEqual([]);
      if (run.held.includes(undefined)) return;
      finished += 1;
      expect(new Set(run.held), trace.join('\n')).toEqual(new Set(run.issued));
      expect(run.issued).toHaveLength(2);
    });
    expect(finished).toBeGreaterThan(5);
  });

  it('finds a run in which an older token replaces a newer one if fencing is turned off', async () => {
    const exploring = explore(2, { fenced: false, faults: { crashes: 0, expiries: 1 } }, expectSound);
    await expect(exploring).rejects.toThrow('an older token replaced a newer one');
  });
});

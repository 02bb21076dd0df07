import { describe, expect, it } from 'vitest';
import { drains, killed } from './drain.ts';
import { saidOf } from './scenario-result.ts';

const SEED = 20260107;

describe.skipIf(process.platform !== 'linux')('under 40 clients that make payments', () => {
  it('SIGTERM loses no answer to a payment that the upstream took, and the exit code is 0', async () => {
    const row = await drains({ count: 1, seed: SEED });
    expect(row, saidOf(row)).toMatchObject({ lost: 0, doubled: 0 });
    expect(row.answered).toBeGreaterThanOrEqual(200);
  }, 60_000);

  it('kill -9 and a restart on the same port work at once, and nothing is sent again', async () => {
    const row = await killed({ count: 2, seed: SEED });
    expect(row, saidOf(row)).toMatchObject({ answered: 2, lost: 0, doubled: 0 });
  }, 60_000);
});

import { describe, expect, it } from 'vitest';
import { drains, killed } from './drain.ts';
import { failureMessage } from './scenario-result.ts';

const SEED = 20260107;

describe.skipIf(process.platform !== 'linux')('with 40 clients that make payments', () => {
  it('SIGTERM loses no response to a payment that the upstream received, and the exit code is 0', async () => {
    const result = await drains({ count: 1, seed: SEED });
    expect(result, failureMessage(result)).toMatchObject({ lost: 0, doubled: 0 });
    expect(result.answered).toBeGreaterThanOrEqual(200);
  }, 60_000);

  it('a restart on the same port works immediately after kill -9, and nothing is sent again', async () => {
    const result = await killed({ count: 2, seed: SEED });
    expect(result, failureMessage(result)).toMatchObject({ answered: 2, lost: 0, doubled: 0 });
  }, 60_000);
});

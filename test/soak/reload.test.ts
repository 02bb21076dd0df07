import { describe, expect, it } from 'vitest';
import { reloads, rotatedSecret } from './reload.ts';
import { failureMessage } from './scenario-result.ts';

const SEED = 20260106;

describe.skipIf(process.platform !== 'linux')('a changed file', () => {
  it('is loaded under load without a failed request; an invalid file changes nothing, and /readyz says why', async () => {
    const result = await reloads({ count: 20, seed: SEED });
    expect(result, failureMessage(result)).toMatchObject({ tried: 20, lost: 0 });
    expect(result.answered).toBeGreaterThan(100);
  }, 60_000);

  it('of a mounted secret is used for the next token after each rotation', async () => {
    const result = await rotatedSecret({ count: 4, seed: SEED });
    expect(result, failureMessage(result)).toMatchObject({ answered: 5, lost: 0, doubled: 0, leaked: 0 });
  }, 60_000);
});

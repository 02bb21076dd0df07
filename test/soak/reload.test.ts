import { describe, expect, it } from 'vitest';
import { reloads, rotatedSecret } from './reload.ts';
import { saidOf } from './scenario-result.ts';

const SEED = 20260106;

describe.skipIf(process.platform !== 'linux')('a changed file', () => {
  it('is taken over under load without a failed request; a bad one changes nothing, and /readyz says why', async () => {
    const row = await reloads({ count: 20, seed: SEED });
    expect(row, saidOf(row)).toMatchObject({ tried: 20, lost: 0 });
    expect(row.answered).toBeGreaterThan(100);
  }, 60_000);

  it('of a mounted secret is used for the next token, rotation after rotation', async () => {
    const row = await rotatedSecret({ count: 4, seed: SEED });
    expect(row, saidOf(row)).toMatchObject({ answered: 5, lost: 0, doubled: 0, leaked: 0 });
  }, 60_000);
});

import { describe, expect, it } from 'vitest';
import { largeBodies } from './large-bodies.ts';
import { saidOf } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('large bodies', () => {
  it('are refused with 413 above max_body, pass below it, and are never held in memory', async () => {
    const row = await largeBodies({ refusedMiB: 64, passedMiB: 100, seed: 20260104 });
    expect(row, saidOf(row)).toMatchObject({ tried: 6, answered: 6, lost: 0, leaked: 0 });
  }, 60_000);
});

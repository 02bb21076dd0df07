import { describe, expect, it } from 'vitest';
import { neverTwice } from './never-twice.ts';
import { saidOf } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('1,500 POSTs to an upstream that breaks in every way', () => {
  it('are executed once at most, answered with their own answers, and told the truth where they failed', async () => {
    const row = await neverTwice({ count: 1500, seed: 20260101 });
    expect(row, saidOf(row)).toMatchObject({ tried: 1500, lost: 0, doubled: 0, leaked: 0 });
    expect(row.answered).toBeGreaterThan(900);
    expect(row.survived).toBeGreaterThan(50);
  }, 60_000);
});

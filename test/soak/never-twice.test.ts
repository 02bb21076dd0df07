import { describe, expect, it } from 'vitest';
import { neverTwice } from './never-twice.ts';
import { failureMessage } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('1,500 POSTs to an upstream with every fault', () => {
  it('are executed at most once and get their own response or a correct error', async () => {
    const result = await neverTwice({ count: 1500, seed: 20260101 });
    expect(result, failureMessage(result)).toMatchObject({ tried: 1500, lost: 0, doubled: 0, leaked: 0 });
    expect(result.answered).toBeGreaterThan(900);
    expect(result.survived).toBeGreaterThan(50);
  }, 60_000);
});

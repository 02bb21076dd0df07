import { describe, expect, it } from 'vitest';
import { largeBodies } from './large-bodies.ts';
import { failureMessage } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('large bodies', () => {
  it('are refused with 413 above max_body, pass below it, and are never kept in memory', async () => {
    const result = await largeBodies({ refusedMiB: 64, passedMiB: 100, seed: 20260104 });
    expect(result, failureMessage(result)).toMatchObject({ tried: 6, answered: 6, lost: 0, leaked: 0 });
  }, 60_000);
});

import { describe, expect, it } from 'vitest';
import { concurrencyLimit, connectionLimit } from './limits.ts';
import { failureMessage } from './scenario-result.ts';

const SEED = 20260105;

describe.skipIf(process.platform !== 'linux')('100 at once with a limit of 20', () => {
  it.each([
    ['requests', concurrencyLimit],
    ['connections', connectionLimit],
  ])(
    'of %s: 20 pass, 80 get 503 with Retry-After, and the slots are released',
    async (_, scenario) => {
      const result = await scenario({ count: 100, seed: SEED });
      expect(result, failureMessage(result)).toMatchObject({
        tried: 200,
        answered: 40,
        survived: 160,
        lost: 0,
        leaked: 0,
      });
    },
    60_000,
  );
});

import { describe, expect, it } from 'vitest';
import { hasTool } from '../support/tools.ts';
import { replicasAtOnce, replicasExpired } from './replicas.ts';
import { failureMessage } from './scenario-result.ts';

const SEED = 20260109;

describe.skipIf(process.platform !== 'linux' || !hasTool('redis-server'))(
  'replicas that share a token',
  { timeout: 90_000 },
  () => {
    it('make one exchange for all waiting requests, and one after the token expired', async () => {
      const result = await replicasAtOnce({ count: 160, seed: SEED });
      expect(result, failureMessage(result)).toMatchObject({ tried: 320, answered: 320, lost: 0, doubled: 0 });
    });

    it('serve every call while the provider expires their tokens, and replace each token once', async () => {
      const result = await replicasExpired({ forMs: 7000, seed: SEED });
      expect(result, failureMessage(result)).toMatchObject({ lost: 0, doubled: 0 });
      expect(result.answered).toBeGreaterThan(100);
    });
  },
);

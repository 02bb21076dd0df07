import { describe, expect, it } from 'vitest';
import { hasTool } from '../support/tools.ts';
import { replicasAtOnce, replicasKilled } from './replicas.ts';
import { saidOf } from './scenario-result.ts';

const SEED = 20260109;

describe.skipIf(process.platform !== 'linux' || !hasTool('redis-server'))(
  'replicas that share a token',
  { timeout: 90_000 },
  () => {
    it('make one exchange for all that wait, and one when it dies', async () => {
      const row = await replicasAtOnce({ count: 160, seed: SEED });
      expect(row, saidOf(row)).toMatchObject({ tried: 320, answered: 320, lost: 0, doubled: 0 });
    });

    it('answer every call while the provider kills their tokens, and replace each once', async () => {
      const row = await replicasKilled({ forMs: 7000, seed: SEED });
      expect(row, saidOf(row)).toMatchObject({ lost: 0, doubled: 0 });
      expect(row.answered).toBeGreaterThan(100);
    });
  },
);

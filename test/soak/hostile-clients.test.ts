import { describe, expect, it } from 'vitest';
import { hostileClients } from './hostile-clients.ts';
import { failureMessage } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('clients that break, stall and flood connections in every state', () => {
  it('crash no process, use no memory and affect no payment', async () => {
    const result = await hostileClients({
      seed: 20260114,
      connections: 200,
      forMs: 60_000,
      parallel: 24,
      maxIdleMs: 150,
      timed: false,
    });
    expect(result, failureMessage(result)).toMatchObject({ lost: 0, doubled: 0, leaked: 0 });
    expect(result.answered).toBeGreaterThan(100);
    expect(result.answered).toBe(result.tried);
  }, 240_000);
});

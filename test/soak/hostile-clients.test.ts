import { describe, expect, it } from 'vitest';
import { strangers } from './hostile-clients.ts';
import { saidOf } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('strangers that break, stall and fill connections in every state', () => {
  it('end no process, take no memory, and disturb no payment', async () => {
    const row = await strangers({
      seed: 20260114,
      connections: 200,
      forMs: 60_000,
      atATime: 24,
      mostHeldMs: 150,
      timed: false,
    });
    expect(row, saidOf(row)).toMatchObject({ lost: 0, doubled: 0, leaked: 0 });
    expect(row.answered).toBeGreaterThan(100);
    expect(row.answered).toBe(row.tried);
  }, 240_000);
});

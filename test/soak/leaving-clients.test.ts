import { describe, expect, it } from 'vitest';
import { leavingClients } from './leaving-clients.ts';
import { saidOf } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('150 clients that leave at every moment', () => {
  it('leave no socket, no taken place and no memory behind, and disturb nobody who stays', async () => {
    const row = await leavingClients({ count: 150, seed: 20260102 });
    expect(row, saidOf(row)).toMatchObject({ tried: 150, lost: 0, doubled: 0, leaked: 0 });
    expect(row.answered).toBeGreaterThan(10);
    expect(row.survived).toBeGreaterThan(80);
  }, 60_000);
});

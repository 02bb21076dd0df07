import { describe, expect, it } from 'vitest';
import { leavingClients } from './leaving-clients.ts';
import { failureMessage } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('150 clients that disconnect at every moment', () => {
  it('leave no socket, slot or memory behind and do not affect other clients', async () => {
    const result = await leavingClients({ count: 150, seed: 20260102 });
    expect(result, failureMessage(result)).toMatchObject({ tried: 150, lost: 0, doubled: 0, leaked: 0 });
    expect(result.answered).toBeGreaterThan(10);
    expect(result.survived).toBeGreaterThan(80);
  }, 60_000);
});

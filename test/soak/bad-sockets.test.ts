import { describe, expect, it } from 'vitest';
import { badSockets } from './bad-sockets.ts';
import { failureMessage } from './scenario-result.ts';

describe.skipIf(process.platform !== 'linux')('150 slow and 80 silent connections', () => {
  it('are closed by the proxy, and ordinary requests succeed meanwhile', async () => {
    const result = await badSockets({
      loris: 150,
      silent: 80,
      normal: 200,
      seed: 20260103,
      reapedInMs: 40_000,
      timed: false,
    });
    expect(result, failureMessage(result)).toMatchObject({ tried: 230, survived: 230, lost: 0, leaked: 0 });
    expect(result.answered).toBe(7 * 200);
  }, 60_000);
});

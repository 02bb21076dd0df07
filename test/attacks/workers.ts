import { eventually } from '../soak/scope.ts';
import type { Attack } from './attack.ts';
import { PAYER_KEY, type Target } from './target.ts';

const RESTART_TIMEOUT_MS = 30_000;

export const workersKilled: Attack = {
  row: 2,
  promise: 'the port is served again after all workers were killed, also with `admin: false`',
  appliesTo: ({ workers }) => workers === 2,
  prepare: () => ({
    run: (running) =>
      running.withOther({ admin: false }, async (target) => {
        const killed: number[] = [];
        // The second workers die so soon that the primary waits before it starts the third.
        for (let round = 0; round < 2; round++) {
          const alive = () => target.workerPids().filter((pid) => !killed.includes(pid));
          await eventually(RESTART_TIMEOUT_MS, () => target.hasEnded || alive().length === 2);
          for (const pid of alive()) {
            process.kill(pid, 'SIGKILL');
            killed.push(pid);
          }
        }
        const isBack = await eventually(RESTART_TIMEOUT_MS, async () => target.hasEnded || (await isServing(target)));
        if (!isBack) throw new Error('the port is no longer served');
      }),
  }),
};

async function isServing(target: Target): Promise<boolean> {
  return target.sendRequest('/payments/after', { key: PAYER_KEY, timeoutMs: 5000 }).then(
    ({ status }) => status === 200,
    () => false,
  );
}

import { eventually } from '../soak/scope.ts';
import type { Attack } from './attack.ts';
import { PAYER_KEY, type Target } from './target.ts';

const BACK_IN_MS = 30_000;

export const workersKilled: Attack = {
  row: 2,
  promise: 'the port is served again after all workers died, also with `admin: false`',
  appliesTo: ({ workers }) => workers === 2,
  prepare: () => ({
    run: (running) =>
      running.withOther({ admin: false }, async (target) => {
        const killed: number[] = [];
        // Those that follow on the first live so shortly that the next ones start after a pause.
        for (let round = 0; round < 2; round++) {
          const alive = () => target.workerPids().filter((pid) => !killed.includes(pid));
          await eventually(BACK_IN_MS, () => target.hasEnded || alive().length === 2);
          for (const pid of alive()) {
            process.kill(pid, 'SIGKILL');
            killed.push(pid);
          }
        }
        const isBack = await eventually(BACK_IN_MS, async () => target.hasEnded || (await isServing(target)));
        if (!isBack) throw new Error('the port is not served any more');
      }),
  }),
};

async function isServing(target: Target): Promise<boolean> {
  return target.sendRequest('/honest/after', { key: PAYER_KEY, timeoutMs: 5000 }).then(
    ({ status }) => status === 200,
    () => false,
  );
}

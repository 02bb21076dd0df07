import type { ProcessSnapshot, ServingProcess } from './snapshot.ts';

/** What every process that serves has to tell; one that gives no answer is left out. */
export async function snapshotsOf(processes: readonly ServingProcess[]): Promise<ProcessSnapshot[]> {
  const answers = await Promise.allSettled(processes.map((serving) => serving.snapshot()));
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
}

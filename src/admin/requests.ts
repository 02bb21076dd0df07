import type { RecordedDetails } from '../telemetry/recorder.ts';
import type { AdminProblem } from './problem.ts';
import { fits, type RequestFilter, requestView, type RequestView } from './request-view.ts';
import type { ServingProcess } from './snapshot.ts';

/** How many requests are listed at most. */
export const MOST_REQUESTS = 1000;

export const NOT_KEPT: AdminProblem = {
  status: 404,
  code: 'no_such_request',
  detail: 'No such request is kept: only the last 500 of each process are.',
};

/** A request and the process that recorded it. */
export interface FoundRequest {
  readonly serving: ServingProcess;
  readonly details: RecordedDetails;
}

/** The last requests of all processes that fit, newest first. A process that gives no answer is left out. */
export async function requestsOf(
  processes: readonly ServingProcess[],
  filter: RequestFilter,
  limit: number,
): Promise<{ readonly requests: readonly RequestView[]; readonly fitting: number }> {
  const answers = await Promise.allSettled(
    processes.map(async (serving) => (await serving.records(0)).map((recorded) => requestView(serving.pid, recorded))),
  );
  const all = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const fitting = all.filter((view) => fits(view, filter)).sort((a, b) => b.atMs - a.atMs);
  return { requests: fitting.slice(0, limit), fitting: fitting.length };
}

/** The request of an id, `<pid>-<number>`; undefined if it is not kept any more. */
export async function requestOf(processes: readonly ServingProcess[], id: string): Promise<FoundRequest | undefined> {
  const [, pid, text] = /^(\d{1,10})-(\d{1,15})$/.exec(id) ?? [];
  const serving = processes.find((known) => String(known.pid) === pid);
  if (serving === undefined) return undefined;
  const details = await serving.details(Number(text)).catch(() => undefined);
  return details && { serving, details };
}

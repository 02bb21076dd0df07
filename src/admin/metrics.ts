import type { AdminContext } from './listener.ts';
import { Exposition } from './metrics/exposition.ts';
import { CounterAccumulator } from './metrics/ledger.ts';
import { configMetrics, connectionMetrics, processMetrics } from './metrics/processes.ts';
import { routeMetrics } from './metrics/routes.ts';
import { tokenMetrics } from './metrics/tokens.ts';
import type { ProcessSnapshot } from './snapshot.ts';

/** The metrics of all processes together, as Prometheus reads them. */
export class Metrics {
  readonly #context: AdminContext;
  readonly #ledger = new CounterAccumulator();

  constructor(context: AdminContext) {
    this.#context = context;
  }

  async render(
    snapshots: readonly ProcessSnapshot[],
  ): Promise<{ readonly contentType: string; readonly text: string }> {
    const context = this.#context;
    const pids = context.processes().map(({ pid }) => pid);
    const totals = this.#ledger.totals(snapshots, new Set(pids));
    const exposition = new Exposition();
    configMetrics(exposition, context);
    routeMetrics(exposition, context.config().routes, snapshots, totals);
    tokenMetrics(exposition, snapshots, totals, context.clock.now());
    connectionMetrics(exposition, snapshots);
    processMetrics(exposition, snapshots, totals);
    return { contentType: exposition.contentType, text: await exposition.text() };
  }
}

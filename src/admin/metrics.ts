import type { AdminContext } from './listener.ts';
import { Exposition } from './metrics/exposition.ts';
import { Ledger } from './metrics/ledger.ts';
import { configMetrics, connectionMetrics, processMetrics } from './metrics/processes.ts';
import { routeMetrics } from './metrics/routes.ts';
import { tokenMetrics } from './metrics/tokens.ts';
import type { ProcessSnapshot } from './snapshot.ts';

/** One for each admin listener, for as long as there is that. */
const LEDGERS = new WeakMap<AdminContext, Ledger>();

/** The metrics of all processes together, as Prometheus reads them. */
export async function renderMetrics(
  context: AdminContext,
  snapshots: readonly ProcessSnapshot[],
): Promise<{ readonly contentType: string; readonly text: string }> {
  const pids = context.processes().map(({ pid }) => pid);
  const totals = ledgerOf(context).totals(snapshots, new Set(pids));
  const exposition = new Exposition();
  configMetrics(exposition, context);
  routeMetrics(exposition, context.config().routes, snapshots, totals);
  tokenMetrics(exposition, snapshots, totals, context.clock.now());
  connectionMetrics(exposition, snapshots);
  processMetrics(exposition, snapshots, totals);
  return { contentType: exposition.contentType, text: await exposition.text() };
}

function ledgerOf(context: AdminContext): Ledger {
  const known = LEDGERS.get(context);
  if (known !== undefined) return known;
  const ledger = new Ledger();
  LEDGERS.set(context, ledger);
  return ledger;
}

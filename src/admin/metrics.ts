import type { AdminContext } from './listener.ts';
import type { ProcessSnapshot } from './snapshot.ts';

/** The metrics of all processes together, as Prometheus reads them. */
export async function renderMetrics(
  _context: AdminContext,
  _snapshots: readonly ProcessSnapshot[],
): Promise<{ readonly contentType: string; readonly text: string }> {
  return { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: '' };
}

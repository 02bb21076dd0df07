import type { AdminContext } from '../listener.ts';
import type { ProcessSnapshot } from '../snapshot.ts';
import type { Exposition } from './exposition.ts';
import type { Totals } from './totals.ts';

/** Which wakala this is, and whether it serves what lies on the disk. */
export function configMetrics(exposition: Exposition, { version, commit, reloads }: AdminContext): void {
  const build = 'The version of wakala that runs, and the commit it was built from. Always 1.';
  exposition.gauge('wakala_build_info', build, ['version', 'commit']).set({ version, commit }, 1);
  const { taken, refused, failure } = reloads();
  const help = 'Changed configurations, by whether they were taken over or refused.';
  const total = exposition.counter('wakala_config_reloads_total', help, ['outcome']);
  total.inc({ outcome: 'taken' }, taken);
  total.inc({ outcome: 'refused' }, refused);
  const stale = '1 if the configuration on the disk was refused, so that the one before it still serves; else 0.';
  exposition.gauge('wakala_config_stale', stale).set(failure === undefined ? 0 : 1);
}

export function connectionMetrics(exposition: Exposition, snapshots: readonly ProcessSnapshot[]): void {
  const sum = (of: (snapshot: ProcessSnapshot) => number) => snapshots.reduce((total, one) => total + of(one), 0);
  exposition.gauge('wakala_client_connections', 'Open connections of clients.').set(sum((one) => one.connections));
  exposition.gauge('wakala_websockets', 'Open WebSockets.').set(sum((one) => one.websockets));
  upstreamMetrics(exposition, snapshots);
  const stores = snapshots.flatMap(({ tokenStore }) => tokenStore ?? []);
  if (stores.length === 0) return;
  const help = '1 if every process is connected to the token store, else 0. Absent where there is no store.';
  const connected = stores.every((store) => store.connected);
  exposition.gauge('wakala_token_store_connected', help).set(connected ? 1 : 0);
}

function upstreamMetrics(exposition: Exposition, snapshots: readonly ProcessSnapshot[]): void {
  const connections = exposition.gauge(
    'wakala_upstream_connections',
    'Connections to the provider: busy with a request, or idle and ready for one.',
    ['upstream', 'state'],
  );
  const waiting = exposition.gauge(
    'wakala_upstream_requests_waiting',
    'Requests that wait for a connection to the provider.',
    ['upstream'],
  );
  for (const upstream of snapshots.flatMap(({ upstreams }) => upstreams)) {
    const { origin } = upstream;
    connections.inc({ upstream: origin, state: 'busy' }, upstream.busy);
    connections.inc({ upstream: origin, state: 'idle' }, upstream.idle);
    waiting.inc({ upstream: origin }, upstream.waiting);
  }
}

/** Of the processes that serve. A primary, which only looks after them, is not among them. */
export function processMetrics(
  exposition: Exposition,
  snapshots: readonly ProcessSnapshot[],
  { recordsDropped, cpuSeconds }: Totals,
): void {
  exposition
    .gauge('wakala_workers', 'Processes that serve and answered this scrape; 1 without workers.')
    .set(snapshots.length);
  exposition
    .counter(
      'wakala_recorder_dropped_total',
      'Requests that are not in the list of the last requests: newer ones pushed them out, or so many went well at once.',
    )
    .inc(recordsDropped);
  exposition
    .gauge('process_resident_memory_bytes', 'Memory that the serving processes hold, in bytes.')
    .set(snapshots.reduce((total, { rssBytes }) => total + rssBytes, 0));
  exposition
    .counter('process_cpu_seconds_total', 'Seconds of CPU time that the serving processes have used.')
    .inc(cpuSeconds);
  if (snapshots.length === 0) return;
  exposition
    .gauge('process_start_time_seconds', 'When the first of the serving processes started, in Unix time.')
    .set(Math.min(...snapshots.map(({ startedAtMs }) => startedAtMs)) / 1000);
}

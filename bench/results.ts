import type { ManyRoutes } from './extras.ts';
import { type LoadName, median, type Window } from './load.ts';
import { HTTP_PROXY_3, NGINX, type Subject, WAKALA } from './proxies.ts';

/** What a run of the benchmark measured. */
export interface Results {
  readonly windows: ReadonlyMap<Subject, ReadonlyMap<LoadName, readonly Window[]>>;
  /** Subjects that failed their check, with the reason. */
  readonly skipped: ReadonlyMap<Subject, string>;
  /** Subjects that failed their check over TLS, with the reason. */
  readonly skippedOverTls: ReadonlyMap<Subject, string>;
  readonly start: { readonly readyMs: number; readonly rssIdleMb: number };
  /** Absent from a quick run. */
  readonly extras:
    | {
        readonly bulk: { readonly downMb: number; readonly upMb: number };
        readonly burst: { readonly exchanges: number; readonly allSentMs: number };
        /** Undefined if Wakala did not start with 10,000 routes. */
        readonly routes: ManyRoutes | undefined;
        readonly million: { readonly requests: number; readonly grownMb: number };
      }
    | undefined;
}

export function windowsOf(results: Results, subject: Subject, load: LoadName): readonly Window[] {
  return results.windows.get(subject)?.get(load) ?? [];
}

/** CPU microseconds per request, the median of all rounds. NaN if not measured. */
export function cpuUsOf(results: Results, subject: Subject, load: LoadName): number {
  return median(windowsOf(results, subject, load).map((window) => window.cpuUs));
}

/** Median latency in microseconds, the median of all rounds. NaN if not measured. */
export function p50UsOf(results: Results, subject: Subject, load: LoadName): number {
  return median(windowsOf(results, subject, load).map((window) => window.p50Us));
}

/** CPU of Wakala per request as a multiple of others'. NaN if one of the two was not measured. */
export interface Ratios {
  readonly httpProxy3: number;
  readonly bestPeer: number;
  readonly bestPeerName: string;
  readonly nginx: number;
}

export function ratiosOf(results: Results, load: LoadName): Ratios {
  const wakala = cpuUsOf(results, WAKALA, load);
  const [best] = [...results.windows.keys()]
    .filter((subject) => subject.kind === 'peer')
    .map((peer) => ({ name: peer.name, cpuUs: cpuUsOf(results, peer, load) }))
    .filter(({ cpuUs }) => !Number.isNaN(cpuUs))
    .sort((a, b) => a.cpuUs - b.cpuUs);
  return {
    httpProxy3: wakala / cpuUsOf(results, HTTP_PROXY_3, load),
    bestPeer: wakala / (best?.cpuUs ?? NaN),
    bestPeerName: best?.name ?? '',
    nginx: wakala / cpuUsOf(results, NGINX, load),
  };
}

/** Latency that Wakala adds to a request on one quiet connection, compared with nginx. Microseconds. */
export function addedP50Us(results: Results): number {
  return p50UsOf(results, WAKALA, 'one') - p50UsOf(results, NGINX, 'one');
}

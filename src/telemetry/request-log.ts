import { hintFor } from '../diagnosis/diagnosis.ts';
import { failureFields, type ProxyError } from '../errors.ts';
import type { Log, LogEvent, LogFields } from '../logger.ts';
import { maskedPath, maskedUnknownPath } from './mask.ts';
import { RecentRequests } from './recent-requests.ts';
import type { RequestRecord } from './request-record.ts';
import { RouteStats } from './route-stats.ts';

interface RequestLogOptions {
  readonly log: Log;
  /** Largest number of requests to keep for the inspector; 0: none. */
  readonly keep: number;
}

/** Records the requests of this process: counters for each route, the last requests, and lines in the log. */
export class RequestLog {
  readonly recentRequests: RecentRequests | undefined;
  /** Whether successful requests get a line in the log. */
  logsSuccess = false;
  /** Counters of requests that match no route. */
  readonly unrouted = new RouteStats();
  readonly #log: Log;
  readonly #stats = new Map<string, RouteStats>();

  constructor({ log, keep }: RequestLogOptions) {
    this.#log = log;
    this.recentRequests = keep > 0 ? new RecentRequests(keep) : undefined;
  }

  /** The statistics of a route: the same object after a reload of the configuration. */
  statsOf(route: string): RouteStats {
    const known = this.#stats.get(route);
    if (known !== undefined) return known;
    const stats = new RouteStats();
    this.#stats.set(route, stats);
    return stats;
  }

  /** Requests in flight on all routes. */
  get inFlight(): number {
    return [...this.#stats.values()].reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  /** Logs an event of a request. */
  log(level: 'info' | 'warn' | 'error', event: LogEvent, record: RequestRecord, more: LogFields = {}): void {
    this.#log[level](event, { ...requestFields(record), ...more });
  }

  /** Ends a bucket of the time series of all routes. `exchanges`: token requests of a route so far. */
  tick(index: number, exchanges: (route: string) => number): void {
    for (const [route, stats] of this.#stats) stats.tick(index, exchanges(route));
  }

  /** Notes an error of Wakala on the record, and logs it. */
  failed(event: LogEvent, record: RequestRecord, error: ProxyError): void {
    record.code = error.code;
    record.outcome = error.outcome;
    record.reason = error.reason;
    record.detail = error.message;
    const level = error.status === 500 ? 'error' : error.status > 500 ? 'warn' : 'info';
    // The hint of a token failure is logged with the token request.
    const hint = error.code === 'token_unavailable' ? undefined : hintFor(error);
    this.log(level, event, record, {
      ...durationFields(record),
      ...failureFields(error),
      ...(hint !== undefined && { hint }),
    });
  }

  /**
   * Records a request that was refused before it was sent. `target` is the original request target. It may be a token
   * path with a refresh token in it, so it is not logged, and the inspector shows it masked.
   */
  refused(event: LogEvent, record: RequestRecord, error: ProxyError, target: string): void {
    record.path = undefined;
    this.failed(event, record, error);
    record.path = maskedTargetPath(target, record.route);
    record.status = error.status;
    this.#endedHere(record);
  }

  /** Records a request to which Wakala responded itself. */
  finishedLocally(record: RequestRecord): void {
    const { status, code } = record;
    this.#endedHere(record);
    if (!this.logsSuccess && status < 400) return;
    this.log('info', 'request_finished', record, {
      status,
      ...(code === undefined ? {} : { code }),
      ...durationFields(record),
    });
  }

  #endedHere(record: RequestRecord): void {
    record.endedAt = performance.now();
    this.recentRequests?.add(record);
    if (record.code === undefined) return;
    const stats = record.route === undefined ? this.unrouted : this.statsOf(record.route);
    stats.refused(record.status, record.code);
  }

  /** Records the end of a request on a route. */
  finished(record: RequestRecord, stats: RouteStats): void {
    record.endedAt = performance.now();
    stats.finished(record);
    this.recentRequests?.add(record);
    if (record.code !== undefined || record.clientLeft) return;
    if (this.logsSuccess || record.status >= 400) this.log('info', 'request_finished', record, durationFields(record));
  }
}

/** The path of a target without the route's prefix, masked. */
function maskedTargetPath(target: string, route: string | undefined): string {
  const [path = ''] = target.split('?', 1);
  const prefix = route?.replace(/\/\*$/, '') ?? '';
  return maskedUnknownPath(path.startsWith(prefix) ? path.slice(prefix.length) : path);
}

function durationFields({ use, attempts, startedAt }: RequestRecord): LogFields {
  const duration_ms = Math.round(performance.now() - startedAt);
  return { duration_ms, ...(use === undefined ? {} : { token: use }), attempts: attempts.length };
}

/** `status` is that of the provider. */
function requestFields(record: RequestRecord): LogFields {
  const { requestId, route, client, method, path, attempts } = record;
  const status = attempts.at(-1)?.status;
  return {
    request_id: requestId,
    route,
    ...(client !== undefined && { client }),
    method,
    path: path && record.redacted(maskedPath(path)),
    ...(status !== 0 && { status }),
  };
}

import { hintFor } from '../diagnosis/diagnosis.ts';
import { failureFields, type ProxyError } from '../errors.ts';
import type { Log, LogEvent, LogFields } from '../logger.ts';
import { maskedPath, maskedUnknownPath } from './mask.ts';
import { RecentRequests } from './recent-requests.ts';
import type { RequestRecord } from './request-record.ts';
import { RouteStats } from './route-stats.ts';

interface RequestLogOptions {
  readonly log: Log;
  /** How many of the last requests are kept; 0: none. */
  readonly keep: number;
}

/** What this process knows of its requests: counts for each route, the last requests, and lines in the log. */
export class RequestLog {
  readonly recentRequests: RecentRequests | undefined;
  /** Whether requests that went well get a line in the log. */
  logsSuccess = false;
  /** Of requests that no route took. */
  readonly unrouted = new RouteStats();
  readonly #log: Log;
  readonly #activities = new Map<string, RouteStats>();

  constructor({ log, keep }: RequestLogOptions) {
    this.#log = log;
    this.recentRequests = keep > 0 ? new RecentRequests(keep) : undefined;
  }

  /** The activity of a route, the same for as long as this process lives. */
  statsOf(route: string): RouteStats {
    const known = this.#activities.get(route);
    if (known !== undefined) return known;
    const activity = new RouteStats();
    this.#activities.set(route, activity);
    return activity;
  }

  /** Requests of all routes that are under way. */
  get inFlight(): number {
    return [...this.#activities.values()].reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  /** Logs an event of a request. */
  log(level: 'info' | 'warn' | 'error', event: LogEvent, record: RequestRecord, more: LogFields = {}): void {
    this.#log[level](event, { ...lineOf(record), ...more });
  }

  /** Ends a step of the last quarter of an hour. `exchanges`: how many token exchanges a route has seen so far. */
  tick(step: number, exchanges: (route: string) => number): void {
    for (const [route, activity] of this.#activities) activity.tick(step, exchanges(route));
  }

  /** Notes on the record why wakala fails or refuses a request, and says it in the log. */
  failed(event: LogEvent, record: RequestRecord, error: ProxyError): void {
    record.code = error.code;
    record.outcome = error.outcome;
    record.reason = error.reason;
    record.detail = error.message;
    const level = error.status === 500 ? 'error' : error.status > 500 ? 'warn' : 'info';
    // The hint of a token failure is logged with the token request.
    const hint = error.code === 'token_unavailable' ? undefined : hintFor(error);
    this.log(level, event, record, {
      ...tookOf(record),
      ...failureFields(error),
      ...(hint !== undefined && { hint }),
    });
  }

  /**
   * A request that was refused before it went anywhere. `target` is as it came: it may be a token path with a refresh
   * token in it, so it is not logged, and masked where it is shown.
   */
  refused(event: LogEvent, record: RequestRecord, error: ProxyError, target: string): void {
    record.path = undefined;
    this.failed(event, record, error);
    record.path = shownPath(target, record.route);
    record.status = error.status;
    this.#endedHere(record);
  }

  /** A request that was no provider's business, and was answered. */
  finishedLocally(record: RequestRecord): void {
    const { status, code } = record;
    this.#endedHere(record);
    if (!this.logsSuccess && status < 400) return;
    this.log('info', 'request_finished', record, {
      status,
      ...(code === undefined ? {} : { code }),
      ...tookOf(record),
    });
  }

  #endedHere(record: RequestRecord): void {
    record.endedAt = performance.now();
    this.recentRequests?.add(record);
    if (record.code === undefined) return;
    const activity = record.route === undefined ? this.unrouted : this.statsOf(record.route);
    activity.refused(record.status, record.code);
  }

  /** A request is over; `activity` is that of its route. */
  finished(record: RequestRecord, activity: RouteStats): void {
    record.endedAt = performance.now();
    activity.finished(record);
    this.recentRequests?.add(record);
    if (record.code !== undefined || record.clientLeft) return;
    if (this.logsSuccess || record.status >= 400) this.log('info', 'request_finished', record, tookOf(record));
  }
}

/** Of a target, the path below the route's prefix, masked. */
function shownPath(target: string, route: string | undefined): string {
  const [path = ''] = target.split('?', 1);
  const prefix = route?.replace(/\/\*$/, '') ?? '';
  return maskedUnknownPath(path.startsWith(prefix) ? path.slice(prefix.length) : path);
}

/** What a request took so far. */
function tookOf({ use, attempts, startedAt }: RequestRecord): LogFields {
  const duration_ms = Math.round(performance.now() - startedAt);
  return { duration_ms, ...(use === undefined ? {} : { token: use }), attempts: attempts.length };
}

/** `status` is the provider's. */
function lineOf(record: RequestRecord): LogFields {
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

import { failureFields, type ProxyError } from '../errors.ts';
import type { Log, LogFields } from '../logger.ts';
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
  readonly recorder: RecentRequests | undefined;
  /** Whether requests that went well get a line in the log. */
  logsSuccess = false;
  /** Of requests that no route took. */
  readonly unrouted = new RouteStats();
  readonly #log: Log;
  readonly #activities = new Map<string, RouteStats>();

  constructor({ log, keep }: RequestLogOptions) {
    this.#log = log;
    this.recorder = keep > 0 ? new RecentRequests(keep) : undefined;
  }

  /** The activity of a route, the same for as long as this process lives. */
  activity(route: string): RouteStats {
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

  /** Says in the log what happens to a request. */
  say(level: 'info' | 'warn' | 'error', trail: RequestRecord, message: string, more: LogFields = {}): void {
    this.#log[level]({ ...lineOf(trail), ...more }, message);
  }

  /** Ends a step of the last quarter of an hour. `exchanges`: how many token exchanges a route has seen so far. */
  tick(step: number, exchanges: (route: string) => number): void {
    for (const [route, activity] of this.#activities) activity.tick(step, exchanges(route));
  }

  /** Notes on the trail why wakala fails or refuses a request, and says it in the log. */
  failed(trail: RequestRecord, error: ProxyError, message: string): void {
    trail.code = error.code;
    trail.outcome = error.outcome;
    trail.detail = error.message;
    const level = error.status === 500 ? 'error' : error.status > 500 ? 'warn' : 'info';
    this.say(level, trail, message, { ...tookOf(trail), ...failureFields(error) });
  }

  /**
   * A request that was refused before it went anywhere. `target` is as it came: it may be a token path with a refresh
   * token in it, so it is not logged, and masked where it is shown.
   */
  refused(trail: RequestRecord, error: ProxyError, message: string, target: string): void {
    trail.path = undefined;
    this.failed(trail, error, message);
    trail.path = shownPath(target, trail.route);
    trail.status = error.status;
    this.#endedHere(trail);
  }

  /** A request that was no provider's business, and was answered. */
  answeredHere(trail: RequestRecord): void {
    const { status, code } = trail;
    this.#endedHere(trail);
    if (!this.logsSuccess && status < 400) return;
    this.say('info', trail, 'request', { status, ...(code === undefined ? {} : { code }), ...tookOf(trail) });
  }

  #endedHere(trail: RequestRecord): void {
    trail.endedAt = performance.now();
    this.recorder?.add(trail);
    if (trail.code === undefined) return;
    const activity = trail.route === undefined ? this.unrouted : this.activity(trail.route);
    activity.refused(trail.status, trail.code);
  }

  /** A request is over; `activity` is that of its route. */
  finished(trail: RequestRecord, activity: RouteStats): void {
    trail.endedAt = performance.now();
    activity.finished(trail);
    this.recorder?.add(trail);
    if (trail.code !== undefined || trail.clientLeft) return;
    if (this.logsSuccess || trail.status >= 400) this.say('info', trail, 'request', tookOf(trail));
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
function lineOf(trail: RequestRecord): LogFields {
  const { requestId, route, client, method, path, attempts } = trail;
  const status = attempts.at(-1)?.status;
  return {
    request_id: requestId,
    route,
    ...(client !== undefined && { client }),
    method,
    path: path && trail.redacted(maskedPath(path)),
    ...(status !== 0 && { status }),
  };
}

import type { RecordedRequest } from '../telemetry/recorder.ts';
import type { TokenUse } from '../telemetry/trail.ts';

/** A recorded request as a row shows it, everything masked. */
export interface RequestView {
  /** `<pid>-<number>`: unique over all processes. */
  readonly id: string;
  readonly requestId: string;
  readonly atMs: number;
  readonly method: string;
  /** What the client asked for: the route's prefix, the rest of the path, and the query. */
  readonly path: string;
  readonly route: string | undefined;
  /** 0: the client left before it got one. */
  readonly status: number;
  readonly durationMs: number;
  readonly use: TokenUse | undefined;
  readonly attempts: number;
  readonly client: string | undefined;
  /** Of wakala's own answer. */
  readonly code: string | undefined;
}

/** Which requests are looked for; all that are given must fit. */
export interface RequestFilter {
  readonly route?: string | undefined;
  /** `200`, `4xx`, or `error`: 5xx, wakala's own refusals, and clients that left. */
  readonly status?: string | undefined;
  readonly method?: string | undefined;
  readonly token?: string | undefined;
  /** Text in the path, the request id or the error code. */
  readonly q?: string | undefined;
}

/** @param pid of the process that recorded it */
export function requestView(pid: number, recorded: RecordedRequest): RequestView {
  return {
    id: `${pid}-${recorded.number}`,
    requestId: recorded.requestId,
    atMs: recorded.atMs,
    method: recorded.method,
    path: pathOf(recorded),
    route: recorded.route,
    status: recorded.status,
    durationMs: recorded.endedAt - recorded.startedAt,
    use: recorded.use,
    attempts: recorded.attempts.length,
    client: recorded.client,
    code: recorded.code,
  };
}

function pathOf({ route = '', path = '', query }: RecordedRequest): string {
  return route.replace(/\/\*$/, '') + path + query || '/';
}

/** Searches what is shown, not what is hidden. */
export function fits(view: RequestView, { route, status, method, token, q }: RequestFilter): boolean {
  if (route !== undefined && view.route !== route) return false;
  if (method !== undefined && view.method !== method.toUpperCase()) return false;
  if (token !== undefined && view.use !== token) return false;
  if (status !== undefined && !fitsStatus(view, status)) return false;
  if (q === undefined) return true;
  const text = q.toLowerCase();
  return [view.path, view.requestId, view.code ?? ''].some((shown) => shown.toLowerCase().includes(text));
}

function fitsStatus({ status, code }: RequestView, wanted: string): boolean {
  if (wanted === 'error') return status === 0 || status >= 500 || code !== undefined;
  if (/^[1-5]xx$/i.test(wanted)) return Math.floor(status / 100) === Number(wanted[0]);
  return String(status) === wanted;
}

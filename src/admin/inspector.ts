import type { Config } from '../config/config.ts';
import { formatHostPort } from '../http/host-port.ts';
import { CUT, HIDDEN } from '../telemetry/mask-text.ts';
import type { RecordedDetails, RecordedMessage, RecordedRequest } from '../telemetry/recent-requests.ts';
import type { AttemptRecord, TokenUse } from '../telemetry/request-record.ts';
import type { ServingProcess } from '../telemetry/snapshot.ts';
import type { AdminProblem } from './problem-response.ts';

/** Whether a Host header is valid: a name or an address, optionally with a port. */
export function isHost(text: string): boolean {
  return /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(text);
}

/** What a request was waiting for. */
export type SpanKind = 'client body' | 'token' | 'signing' | 'connecting' | 'first byte' | 'response body';

/** A part of a request's time. Milliseconds from its start. */
export interface Span {
  readonly kind: SpanKind;
  readonly fromMs: number;
  readonly lengthMs: number;
}

/** Splits the time of a request into spans without gaps. */
function spansOf(recorded: RecordedRequest): Span[] {
  const spans: Span[] = [];
  let at = recorded.startedAt;
  const until = (kind: SpanKind, end: number) => {
    spans.push({ kind, fromMs: at - recorded.startedAt, lengthMs: Math.max(0, end - at) });
    at = Math.max(at, end);
  };
  // 0: it did not happen, so the wait lasted until the end.
  const orEnd = (moment: number) => (moment === 0 ? recorded.endedAt : moment);
  const beforeSending = (signingAt: number, end: number) => {
    until('token', signingAt === 0 ? end : signingAt);
    if (signingAt > 0) until('signing', end);
  };
  until('client body', orEnd(recorded.receivedAt));
  if (recorded.receivedAt === 0) return spans;
  for (const attempt of recorded.attempts) {
    beforeSending(attempt.signingAt, attempt.sentAt);
    until('connecting', orEnd(attempt.connectedAt));
    if (attempt.connectedAt === 0) return spans;
    until('first byte', orEnd(attempt.respondedAt));
    if (attempt.respondedAt === 0) return spans;
  }
  const { attempts, signingAt, endedAt } = recorded;
  if (attempts.length === 0 || signingAt > 0) beforeSending(signingAt, endedAt);
  else until('response body', endedAt);
  return spans;
}

/** Total time of all spans of a kind. Milliseconds. */
export function totalMs(spans: readonly Span[], kind: SpanKind): number {
  return spans.reduce((sum, span) => (span.kind === kind ? sum + span.lengthMs : sum), 0);
}

/** A recorded request as a row of the list, masked. */
export interface RequestView {
  /** `<pid>-<number>`: unique over all processes. */
  readonly id: string;
  readonly requestId: string;
  readonly atMs: number;
  readonly method: string;
  /** The route's prefix, the rest of the path, and the query. */
  readonly path: string;
  readonly route: string | undefined;
  /** 0: the client disconnected before the response. */
  readonly status: number;
  readonly durationMs: number;
  readonly use: TokenUse | undefined;
  readonly attempts: number;
  readonly client: string | undefined;
  /** Error code, if Wakala responded with an error. */
  readonly code: string | undefined;
}

/** Filters the list of requests. A request must match all given fields. */
export interface RequestFilter {
  readonly route?: string | undefined;
  /** `200`, `4xx`, or `error`: 5xx, errors of Wakala, and clients that disconnected. */
  readonly status?: string | undefined;
  readonly method?: string | undefined;
  readonly token?: string | undefined;
  /** Text in the path, the request id or the error code. */
  readonly q?: string | undefined;
}

/** @param pid the process that recorded it */
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

/** Matches the masked values. */
export function matchesFilter(view: RequestView, { route, status, method, token, q }: RequestFilter): boolean {
  if (route !== undefined && view.route !== route) return false;
  if (method !== undefined && view.method !== method.toUpperCase()) return false;
  if (token !== undefined && view.use !== token) return false;
  if (status !== undefined && !matchesStatus(view, status)) return false;
  if (q === undefined) return true;
  const text = q.toLowerCase();
  return [view.path, view.requestId, view.code ?? ''].some((shown) => shown.toLowerCase().includes(text));
}

function matchesStatus({ status, code }: RequestView, wanted: string): boolean {
  if (wanted === 'error') return status === 0 || status >= 500 || code !== undefined;
  if (/^[1-5]xx$/i.test(wanted)) return Math.floor(status / 100) === Number(wanted[0]);
  return String(status) === wanted;
}

/** Largest number of requests in a list. */
export const MAX_LISTED_REQUESTS = 1000;

export const NOT_KEPT: AdminProblem = {
  status: 404,
  code: 'no_such_request',
  detail: 'There is no such request. Each process keeps only its last 500.',
};

/** A request and the process that recorded it. */
interface FoundRequest {
  readonly process: ServingProcess;
  readonly details: RecordedDetails;
}

/** Requests of all processes that match a filter, newest first. Processes that do not respond are left out. */
export async function requestsOf(
  processes: readonly ServingProcess[],
  filter: RequestFilter,
  limit: number,
): Promise<{ readonly requests: readonly RequestView[]; readonly matchCount: number }> {
  const results = await Promise.allSettled(
    processes.map(async (process) => (await process.records(0)).map((recorded) => requestView(process.pid, recorded))),
  );
  const all = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  const matching = all.filter((view) => matchesFilter(view, filter)).sort((a, b) => b.atMs - a.atMs);
  return { requests: matching.slice(0, limit), matchCount: matching.length };
}

/** The request with the id `<pid>-<number>`; undefined if it is not kept any more. */
export async function requestOf(processes: readonly ServingProcess[], id: string): Promise<FoundRequest | undefined> {
  const [, pid, text] = /^(\d{1,10})-(\d{1,15})$/.exec(id) ?? [];
  const process = processes.find((known) => String(known.pid) === pid);
  if (process === undefined) return undefined;
  const details = await process.details(Number(text)).catch(() => undefined);
  return details && { process, details };
}

/** Request headers that curl generates, or that belong to this one request. */
const NOT_COPIED =
  /^(host|connection|keep-alive|content-length|transfer-encoding|user-agent|accept-encoding|upgrade|via|expect|traceparent|origin|age)$|^sec-|^x-request-id$/;

/**
 * A curl command for a POSIX shell that sends the request to the proxy again, without hidden headers such as
 * Authorization. Masked values must be replaced by hand.
 */
function curlOf(view: RequestView, headers: RequestDetails['requestHeaders'], body: ShownBody, config: Config): string {
  const [, host = ''] = headers.find(([name]) => name.toLowerCase() === 'host') ?? [];
  const proxy = isHost(host) ? host : formatHostPort(config.listen);
  const scheme = config.tls === undefined ? 'http' : 'https';
  const sent = headers.filter(
    ([name, value]) =>
      !NOT_COPIED.test(name.toLowerCase()) && name !== CUT && value !== HIDDEN && !/^\*(\/\*)?$/.test(value),
  );
  const hasBody = body.kind === 'text' && body.cut === 0 && !body.text.endsWith(CUT);
  const method = view.method === 'GET' || (view.method === 'POST' && hasBody) ? [] : ['-X', quoted(view.method)];
  return [
    'curl',
    '-sS',
    // -g: curl would expand brackets in the URL.
    ...(/[[\]{}]/.test(view.path) ? ['-g'] : []),
    ...method,
    quoted(`${scheme}://${proxy}${view.path}`),
    ...sent.flatMap(([name, value]) => ['-H', quoted(`${name}: ${value}`)]),
    ...(hasBody ? ['--data-raw', quoted(compact(body.text))] : []),
  ].join(' ');
}

/** JSON in one line; other text unchanged. */
function compact(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

function quoted(text: string): string {
  return /^[\w:/.\-=]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Everything that the inspector shows of a request. */
export interface RequestDetails {
  readonly view: RequestView;
  readonly outcome: string | undefined;
  /** The `detail` of the problem that Wakala sent to the client. */
  readonly detail: string | undefined;
  readonly clientLeft: boolean;
  readonly spans: readonly Span[];
  readonly attempts: readonly AttemptRecord[];
  /** Responses in which the provider refused the token. */
  readonly refusals: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Headers of successful requests are kept only while the inspector is in use. */
  readonly hasHeaders: boolean;
  readonly requestHeaders: readonly (readonly [name: string, value: string])[];
  readonly responseHeaders: readonly (readonly [name: string, value: string])[];
  readonly requestBody: ShownBody;
  readonly responseBody: ShownBody;
  /** Undefined if the path was not kept. */
  readonly curl: string | undefined;
}

/** A masked body, or the reason why there is none. */
export type ShownBody =
  | { readonly kind: 'text'; readonly text: string; /** Number of bytes that were not kept. */ readonly cut: number }
  | { readonly kind: 'none'; readonly why: string };

/** @param pid the process that recorded it */
export function requestDetails(pid: number, recorded: RecordedDetails, config: Config): RequestDetails {
  const view = requestView(pid, recorded);
  const { request, response, requestBytes, responseBytes, path } = recorded;
  const why = bodyAbsence(recorded, config);
  const requestBody = shownBody(request, requestBytes, why);
  return {
    view,
    outcome: recorded.outcome,
    detail: recorded.detail,
    clientLeft: recorded.clientLeft,
    spans: spansOf(recorded),
    attempts: recorded.attempts,
    refusals: recorded.refusals,
    requestBytes,
    responseBytes,
    hasHeaders: recorded.hasHeaders,
    requestHeaders: request.headers,
    responseHeaders: response.headers,
    requestBody,
    responseBody: shownBody(response, responseBytes, why),
    curl: path === undefined ? undefined : curlOf(view, request.headers, requestBody, config),
  };
}

function bodyAbsence({ route: name }: RecordedDetails, { routes }: Config): string {
  const route = routes.find((known) => known.name === name);
  if (route === undefined) return 'The request matches no route, so its body was not kept.';
  if (route.inspectBodies) return 'It was not kept.';
  if (route.environment === 'production') return 'Bodies of production routes are never kept.';
  return 'Bodies are not kept. To keep those of sandbox routes, set `inspect_bodies: true` in the configuration.';
}

function shownBody({ body }: RecordedMessage, size: number, why: string): ShownBody {
  if (size === 0) return { kind: 'none', why: 'Empty.' };
  return body === undefined ? { kind: 'none', why } : { kind: 'text', ...body };
}

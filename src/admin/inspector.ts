import type { Config, ListenAddress } from '../config/config.ts';
import { CUT, HIDDEN } from '../telemetry/mask-text.ts';
import type { RecordedDetails, RecordedMessage, RecordedRequest } from '../telemetry/recent-requests.ts';
import type { AttemptRecord, TokenUse } from '../telemetry/request-record.ts';
import type { ServingProcess } from '../telemetry/snapshot.ts';
import type { AdminProblem } from './problem-response.ts';

/** Whether a Host header is one: a name or an address, perhaps with a port. */
export function isHost(text: string): boolean {
  return /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(text);
}

function formatHost({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What a request waited for. */
export type SpanKind = 'client body' | 'token' | 'connecting' | 'first byte' | 'answer body';

/** A stretch of a request's time. Milliseconds from its start. */
export interface Span {
  readonly kind: SpanKind;
  readonly fromMs: number;
  readonly lengthMs: number;
}

/** The whole time of a request in stretches, one after another without a gap. */
function spansOf(recorded: RecordedRequest): Span[] {
  const spans: Span[] = [];
  let at = recorded.startedAt;
  const until = (kind: SpanKind, end: number) => {
    spans.push({ kind, fromMs: at - recorded.startedAt, lengthMs: Math.max(0, end - at) });
    at = Math.max(at, end);
  };
  // A moment that never came is 0: what was waited for then lasted to the end.
  const orEnd = (moment: number) => (moment === 0 ? recorded.endedAt : moment);
  until('client body', orEnd(recorded.receivedAt));
  if (recorded.receivedAt === 0) return spans;
  for (const attempt of recorded.attempts) {
    until('token', attempt.sentAt);
    until('connecting', orEnd(attempt.connectedAt));
    if (attempt.connectedAt === 0) return spans;
    until('first byte', orEnd(attempt.respondedAt));
    if (attempt.respondedAt === 0) return spans;
  }
  until(recorded.attempts.length === 0 ? 'token' : 'answer body', recorded.endedAt);
  return spans;
}

/** Milliseconds in all stretches of a kind. */
export function total(spans: readonly Span[], kind: SpanKind): number {
  return spans.reduce((sum, span) => (span.kind === kind ? sum + span.lengthMs : sum), 0);
}

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
export function matchesFilter(view: RequestView, { route, status, method, token, q }: RequestFilter): boolean {
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

/** How many requests are listed at most. */
export const MOST_REQUESTS = 1000;

export const NOT_KEPT: AdminProblem = {
  status: 404,
  code: 'no_such_request',
  detail: 'No such request is kept: only the last 500 of each process are.',
};

/** A request and the process that recorded it. */
interface FoundRequest {
  readonly serving: ServingProcess;
  readonly details: RecordedDetails;
}

/** The last requests of all processes that fit, newest first. A process that gives no answer is left out. */
export async function requestsOf(
  processes: readonly ServingProcess[],
  filter: RequestFilter,
  limit: number,
): Promise<{ readonly requests: readonly RequestView[]; readonly fitting: number }> {
  const answers = await Promise.allSettled(
    processes.map(async (serving) => (await serving.records(0)).map((recorded) => requestView(serving.pid, recorded))),
  );
  const all = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const fitting = all.filter((view) => matchesFilter(view, filter)).sort((a, b) => b.atMs - a.atMs);
  return { requests: fitting.slice(0, limit), fitting: fitting.length };
}

/** The request of an id, `<pid>-<number>`; undefined if it is not kept any more. */
export async function requestOf(processes: readonly ServingProcess[], id: string): Promise<FoundRequest | undefined> {
  const [, pid, text] = /^(\d{1,10})-(\d{1,15})$/.exec(id) ?? [];
  const serving = processes.find((known) => String(known.pid) === pid);
  if (serving === undefined) return undefined;
  const details = await serving.details(Number(text)).catch(() => undefined);
  return details && { serving, details };
}

/** Headers of a request that curl makes itself, or that tell of this one request only. */
const OWN =
  /^(host|connection|keep-alive|content-length|transfer-encoding|user-agent|accept-encoding|upgrade|via|expect|traceparent|origin|age)$|^sec-|^x-request-id$/;

/**
 * A line for a POSIX shell that sends a request to the proxy again, without the Authorization or any other hidden
 * header. What is masked in it has to be put in by hand.
 */
function curlOf(view: RequestView, headers: RequestDetails['requestHeaders'], body: ShownBody, config: Config): string {
  const [, host = ''] = headers.find(([name]) => name.toLowerCase() === 'host') ?? [];
  const proxy = isHost(host) ? host : formatHost(config.listen);
  const scheme = config.tls === undefined ? 'http' : 'https';
  const sent = headers.filter(
    ([name, value]) => !OWN.test(name.toLowerCase()) && name !== CUT && value !== HIDDEN && !/^\*(\/\*)?$/.test(value),
  );
  const hasBody = body.kind === 'text' && body.cut === 0 && !body.text.endsWith(CUT);
  const method = view.method === 'GET' || (view.method === 'POST' && hasBody) ? [] : ['-X', quoted(view.method)];
  return [
    'curl',
    '-sS',
    // Brackets in a URL mean something to curl otherwise.
    ...(/[[\]{}]/.test(view.path) ? ['-g'] : []),
    ...method,
    quoted(`${scheme}://${proxy}${view.path}`),
    ...sent.flatMap(([name, value]) => ['-H', quoted(`${name}: ${value}`)]),
    ...(hasBody ? ['--data-raw', quoted(compact(body.text))] : []),
  ].join(' ');
}

/** JSON in one line; anything else as it is. */
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

/** All that may be shown of a request. */
export interface RequestDetails {
  readonly view: RequestView;
  readonly outcome: string | undefined;
  /** What wakala told the client. */
  readonly detail: string | undefined;
  readonly clientLeft: boolean;
  readonly spans: readonly Span[];
  readonly attempts: readonly AttemptRecord[];
  /** How often the provider called the token dead. */
  readonly refusals: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Those of requests that went well are kept only while somebody looks. */
  readonly hasHeaders: boolean;
  readonly requestHeaders: readonly (readonly [name: string, value: string])[];
  readonly responseHeaders: readonly (readonly [name: string, value: string])[];
  readonly requestBody: ShownBody;
  readonly responseBody: ShownBody;
  /** A line that sends it to the proxy again; undefined where its path was not kept. */
  readonly curl: string | undefined;
}

/** A body, masked, or why there is none. */
export type ShownBody =
  | { readonly kind: 'text'; readonly text: string; /** Bytes left out. */ readonly cut: number }
  | { readonly kind: 'none'; readonly why: string };

/** @param pid of the process that recorded it */
export function requestDetails(pid: number, recorded: RecordedDetails, config: Config): RequestDetails {
  const view = requestView(pid, recorded);
  const { request, response, requestBytes, responseBytes: responseBytes, path } = recorded;
  const why = whyNoBodies(recorded, config);
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

function whyNoBodies({ route: name }: RecordedDetails, { routes }: Config): string {
  const route = routes.find((known) => known.name === name);
  if (route === undefined) return 'It went to no route, so its body was not kept.';
  if (route.inspectBodies) return 'It was not kept.';
  if (route.environment === 'production') return 'Bodies of production routes are never kept.';
  return 'Bodies are not kept. `inspect_bodies: true` in the configuration keeps those of sandbox routes.';
}

function shownBody({ body }: RecordedMessage, size: number, why: string): ShownBody {
  if (size === 0) return { kind: 'none', why: 'Empty.' };
  return body === undefined ? { kind: 'none', why } : { kind: 'text', ...body };
}

import { formatIso } from '../format.ts';
import { latencyAt } from '../telemetry/latency.ts';
import { PROCESS_METRIC_ENTRIES, ROUTE_COUNTER_ENTRIES, type RouteCounts } from '../telemetry/metrics.ts';
import { type Bucket, BUCKET_MS } from '../telemetry/route-stats.ts';
import { type CredentialSnapshot, MAX_REFUSED_CALLS, type ProcessSnapshot } from '../telemetry/snapshot.ts';
import type { StoreStatus } from '../tokens/store/store.ts';
import { type RequestDetails, type RequestView, type ShownBody, totalMs } from './inspector.ts';
import type { Overview, RouteView, TokenState, Traffic } from './overview.ts';
import type { Diagnostic } from './route-health.ts';

/** JSON of the API: snake_case names, times in ISO 8601, null for missing values. */
export type Json = Record<string, unknown>;

/** @param routes JSON of the routes to include */
export function overviewJson(overview: Overview, routes: readonly Json[]): Json {
  const { atMs, version, commit, emulated, processes, diagnostics } = overview;
  return {
    at: formatIso(atMs),
    version,
    commit: commit === '' ? null : commit,
    emulated,
    problems: diagnostics.map(diagnosticJson),
    token_store: storeJson(overview.tokenStore),
    processes: processes.map(processJson),
    routes,
  };
}

function processJson(process: ProcessSnapshot): Json {
  const { pid, startedAtMs, upstreams } = process;
  return {
    pid,
    started_at: formatIso(startedAtMs),
    ...metricsJson(PROCESS_METRIC_ENTRIES, process),
    token_store: storeJson(process.tokenStore),
    upstreams,
    unrouted: process.unrouted,
  };
}

function storeJson(store: StoreStatus | undefined): Json | null {
  return store === undefined ? null : { connected: store.connected, failure: store.failure ?? null };
}

export function routeJson(view: RouteView): Json {
  const { config, snapshot, credential } = view;
  return {
    name: config.name,
    provider: config.provider.name,
    title: config.provider.title,
    environment: config.environment,
    upstream: config.upstream,
    state: view.state,
    problems: view.diagnostics.map(diagnosticJson),
    credential: snapshot?.credential ?? null,
    token: tokenJson(view),
    asking: credential?.isFetching ?? false,
    retry_at: formatIso(credential?.retryAtMs),
    exchanges: credential === undefined ? null : exchangesJson(credential),
    clock_skew_ms: credential?.clockSkewMs ?? null,
    refused_calls: refusedCallsJson(credential),
    refused_call_count: credential?.refusedCallCount ?? 0,
    in_flight: snapshot?.inFlight ?? 0,
    requests: snapshot?.counts === undefined ? null : countsJson(snapshot.counts),
    recent: recentJson(view.traffic),
  };
}

function diagnosticJson({ code, state, what, hint, atMs, untilMs }: Diagnostic): Json {
  return { code, state, what, todo: hint, at: formatIso(atMs), until: formatIso(untilMs) };
}

/** The public names of the token states. */
const TOKEN_STATES: Readonly<Record<TokenState, string>> = {
  none: 'none',
  fetching: 'asking',
  valid: 'valid',
  expired: 'lapsed',
  fixed: 'fixed',
  unused: 'unused',
};

function tokenJson({ tokenState, credential }: RouteView): Json {
  const token = credential?.token;
  return {
    state: TOKEN_STATES[tokenState],
    fingerprint: token?.fingerprint ?? null,
    issued_at: formatIso(token?.issuedAtMs),
    expires_at: formatIso(token?.expiresAtMs),
    refresh_at: formatIso(token?.refreshAtMs),
    lifetime_source: token?.lifetimeSource ?? null,
    generation: token?.generation ?? null,
  };
}

function refusedCallsJson(credential: CredentialSnapshot | undefined): Json[] {
  const calls = credential?.refusedCalls.slice(0, MAX_REFUSED_CALLS) ?? [];
  return calls.map(({ client, call, untilMs }) => ({ client: client ?? null, call, until: formatIso(untilMs) }));
}

function exchangesJson({ exchanges: { credentials, refresh } }: CredentialSnapshot): Json {
  return {
    ok: credentials.ok + refresh.ok,
    denied: credentials.denied + refresh.denied,
    unavailable: credentials.unavailable + refresh.unavailable,
    by_grant: { credentials, refresh },
  };
}

function countsJson(counts: RouteCounts): Json {
  return {
    total: counts.statuses.reduce((sum, n) => sum + n, 0),
    by_status: statusesJson(counts.statuses),
    ...metricsJson(ROUTE_COUNTER_ENTRIES, counts),
  };
}

/** The values of the metrics that have a field in the API. */
function metricsJson<Key extends string>(
  metrics: readonly (readonly [Key, { readonly json?: string }])[],
  values: { readonly [Name in NoInfer<Key>]: unknown },
): Json {
  return Object.fromEntries(metrics.flatMap(([key, { json }]) => (json === undefined ? [] : [[json, values[key]]])));
}

function statusesJson([left = 0, , s2 = 0, s3 = 0, s4 = 0, s5 = 0]: readonly number[]): Json {
  return { '2xx': s2, '3xx': s3, '4xx': s4, '5xx': s5, client_left: left };
}

function recentJson({ perSecond, p50Ms, p95Ms, p99Ms }: Traffic): Json {
  return { per_second: perSecond, p50_ms: p50Ms ?? null, p95_ms: p95Ms ?? null, p99_ms: p99Ms ?? null };
}

export function bucketJson({ index: step, statuses, latency, refusals, exchanges }: Bucket): Json {
  return {
    at: formatIso(step * BUCKET_MS),
    by_status: statusesJson(statuses),
    p50_ms: latencyAt(latency, 0.5) ?? null,
    p95_ms: latencyAt(latency, 0.95) ?? null,
    p99_ms: latencyAt(latency, 0.99) ?? null,
    token_refusals: refusals,
    exchanges,
  };
}

export function requestJson(view: RequestView): Json {
  const { id, requestId, atMs, method, path, route, status, durationMs, use, attempts, client, code } = view;
  return {
    id,
    request_id: requestId,
    at: formatIso(atMs),
    method,
    path,
    route: route ?? null,
    status: status === 0 ? null : status,
    duration_ms: rounded(durationMs),
    token: use ?? null,
    attempts,
    client: client ?? null,
    code: code ?? null,
  };
}

export function detailsJson(details: RequestDetails): Json {
  const { view, spans } = details;
  return {
    ...requestJson(view),
    outcome: details.outcome ?? null,
    detail: details.detail ?? null,
    client_left: details.clientLeft,
    token_refusals: details.refusals,
    timing: {
      client_body_ms: rounded(totalMs(spans, 'client body')),
      token_ms: rounded(totalMs(spans, 'token')),
      signing_ms: rounded(totalMs(spans, 'signing')),
      connecting_ms: rounded(totalMs(spans, 'connecting')),
      first_byte_ms: rounded(totalMs(spans, 'first byte')),
      answer_body_ms: rounded(totalMs(spans, 'response body')),
    },
    statuses: details.attempts.map(({ status }) => (status === 0 ? null : status)),
    request: {
      bytes: details.requestBytes,
      headers: details.requestHeaders,
      body: bodyJson(details.requestBody),
    },
    answer: { bytes: details.responseBytes, headers: details.responseHeaders, body: bodyJson(details.responseBody) },
    curl: details.curl ?? null,
  };
}

function bodyJson(body: ShownBody): Json {
  return body.kind === 'text'
    ? { text: body.text, bytes_cut: body.cut, why_not: null }
    : { text: null, bytes_cut: 0, why_not: body.why };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

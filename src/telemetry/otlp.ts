import { randomUUID } from 'node:crypto';
import { Agent as TlsAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { networkCode } from '../errors.ts';
import { http } from '../http/node-internals.ts';
import type { Log } from '../logger.ts';
import { maskedPath } from './mask.ts';
import type { AttemptRecord, RequestRecord } from './request-record.ts';

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * The client's span, from its `traceparent` header (W3C Trace Context 3.2).
 * @param headers names and values, alternating
 * @returns undefined without exactly one valid `traceparent`
 */
export function parentOf(headers: readonly string[]): SpanContext | undefined {
  let line: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name.length !== 11 || name.toLowerCase() !== 'traceparent') continue;
    if (line !== undefined) return undefined;
    line = headers[i + 1] ?? '';
  }
  return line === undefined ? undefined : parse(line.trim());
}

/** Later versions may have more fields after the flags. `ff` is not a valid version. */
function parse(line: string): SpanContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(line) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: parseInt(flags, 16) & 1, isRemote: true };
}

/** The value of a `traceparent` header for a span. */
export function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & 1}`;
}

/**
 * Time limit for a batch with its retry. Spans that are not sent by then are lost. It is shorter than `CLOSE_MS`, so that
 * no export keeps a stopped process alive.
 */
const EXPORT_TIMEOUT_MS = 1800;

/** Concurrent batches. When a process stops, all remaining batches are sent at once. */
const MAX_BATCHES = 12;

type Spans = Parameters<SpanExporter['export']>[0];
type Done = Parameters<SpanExporter['export']>[1];

/** Sends batches to a collector. Logs the first batch that fails, and the first that succeeds afterwards. */
class CollectorExporter implements SpanExporter {
  readonly #exporter: OTLPTraceExporter;
  readonly #agent: InstanceType<typeof http.Agent>;
  readonly #log: Log;
  /** Spans lost since the last successful batch. */
  #lost = 0;

  /** `otlp`: the collector's base URL. `userAgent` precedes that of the exporter. */
  constructor(otlp: string, userAgent: string, log: Log) {
    // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED does not turn verification off.
    const agent = otlp.startsWith('https:')
      ? new TlsAgent({ keepAlive: true, rejectUnauthorized: true })
      : new http.Agent({ keepAlive: true });
    this.#agent = agent;
    this.#log = log;
    this.#exporter = new OTLPTraceExporter({
      url: `${otlp}/v1/traces`,
      timeoutMillis: EXPORT_TIMEOUT_MS,
      concurrencyLimit: MAX_BATCHES,
      userAgent,
      httpAgentOptions: () => agent,
    });
  }

  export(spans: Spans, done: Done): void {
    this.#exporter.export(spans, (result) => {
      if (result.error === undefined) this.#onSent();
      else this.#onLost(spans.length, result.error);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }

  /** Closes its connections at once. */
  destroy(): void {
    this.#agent.destroy();
  }

  #onSent(): void {
    if (this.#lost > 0) this.#log.info('trace_export_recovered', { lost: this.#lost });
    this.#lost = 0;
  }

  #onLost(count: number, error: Error): void {
    if (this.#lost === 0) this.#log.warn('trace_export_failed', { error: failureText(error) });
    this.#lost += count;
  }
}

/** The status of the collector's response, never its text. An error without a code is one of the exporter. */
function failureText(error: Error): string {
  if (!('code' in error)) return error.message;
  return typeof error.code === 'number' ? `status ${error.code}` : networkCode(error);
}

/** What the spans of all requests on a route have in common. */
interface RouteSpans {
  readonly name: string;
  readonly prefix: string;
  /** Attributes of the span of the whole request. */
  readonly server: Attributes;
  /** Attributes of the span of each attempt. */
  readonly client: Attributes;
}

/** Methods of RFC 9110, and PATCH. OpenTelemetry's semantic conventions want `_OTHER` for all others. */
const KNOWN_METHODS = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT']);

/** A wait for a token. */
interface Wait {
  readonly span: Span;
  readonly from: number;
  /** `tokenMs` of the record before the wait. */
  readonly tokenMs: number;
}

/** The spans of one request, with the times of its record. Text of the client or the provider is masked. */
class OtlpTrace implements RequestTrace {
  readonly continued: boolean;
  readonly #tracer: Tracer;
  readonly #record: RequestRecord;
  readonly #route: RouteSpans;
  readonly #method: string;
  readonly #span: Span;
  readonly #context: Context;
  #wait: Wait | undefined;
  #attempt: Span | undefined;
  #attempts = 0;

  constructor(tracer: Tracer, record: RequestRecord, route: RouteSpans) {
    const parent = parentOf(record.requestHeaders);
    const known = KNOWN_METHODS.has(record.method);
    this.continued = parent !== undefined;
    this.#tracer = tracer;
    this.#record = record;
    this.#route = route;
    this.#method = known ? record.method : '_OTHER';
    this.#span = tracer.startSpan(
      `${known ? record.method : 'HTTP'} ${route.name}`,
      { kind: SpanKind.SERVER, startTime: this.#epochMs(record.startedAt) },
      parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
    );
    this.#context = trace.setSpan(ROOT_CONTEXT, this.#span);
  }

  waitsForToken(): void {
    const from = performance.now();
    this.#endAttempt(from, undefined);
    const span = this.#child('token wait', SpanKind.INTERNAL, from);
    this.#wait = { span, from, tokenMs: this.#record.tokenMs };
  }

  attempt(): string {
    const now = performance.now();
    this.#endWait(now);
    this.#attempts += 1;
    this.#attempt = this.#child(`attempt ${this.#attempts}`, SpanKind.CLIENT, now);
    return traceparentOf(this.#attempt.spanContext());
  }

  end(): void {
    const { code, endedAt, status } = this.#record;
    this.#endWait(endedAt);
    this.#endAttempt(endedAt, code);
    if (this.#span.isRecording()) {
      this.#span.setAttributes(this.#attributes());
      const error = code ?? (status >= 500 ? String(status) : undefined);
      // A 4xx is not an error of a server span.
      if (error !== undefined) markFailed(this.#span, error, status < 400 || status >= 500);
    }
    this.#span.end(this.#epochMs(endedAt));
  }

  #attributes(): Attributes {
    const { requestId, path = '', use, status, outcome, clientLeft } = this.#record;
    return {
      ...this.#route.server,
      'http.request.method': this.#method,
      'url.path': this.#route.prefix + maskedPath(path),
      'wakala.request_id': requestId,
      ...(status === 0 ? {} : { 'http.response.status_code': status }),
      ...(use === undefined ? {} : { 'wakala.token': use }),
      ...(outcome === undefined ? {} : { 'wakala.outcome': outcome }),
      ...(clientLeft ? { 'wakala.client_left': true } : {}),
    };
  }

  /** A wait that added nothing to the record failed. */
  #endWait(at: number): void {
    const wait = this.#wait;
    if (wait === undefined) return;
    this.#wait = undefined;
    const waitedMs = this.#record.tokenMs - wait.tokenMs;
    if (waitedMs === 0 && this.#record.code !== undefined) markFailed(wait.span, this.#record.code);
    wait.span.end(this.#epochMs(waitedMs > 0 ? Math.min(wait.from + waitedMs, at) : at));
  }

  /** `code`: the error code of the request, if this is its last attempt. */
  #endAttempt(at: number, code: string | undefined): void {
    const span = this.#attempt;
    if (span === undefined) return;
    this.#attempt = undefined;
    if (span.isRecording()) this.#setAttemptAttributes(span, code);
    span.end(this.#epochMs(at));
  }

  #setAttemptAttributes(span: Span, code: string | undefined): void {
    const times: AttemptRecord | undefined = this.#record.attempts[this.#attempts - 1];
    // A WebSocket handshake has its status only on the record.
    const status = times?.status || (code === undefined ? this.#record.status : 0);
    span.setAttributes({ ...this.#route.client, 'http.request.method': this.#method });
    if (this.#attempts > 1) span.setAttribute('http.request.resend_count', this.#attempts - 1);
    if (times !== undefined && times.connectedAt > 0) span.addEvent('connected', this.#epochMs(times.connectedAt));
    if (times !== undefined && times.respondedAt > 0) span.addEvent('answered', this.#epochMs(times.respondedAt));
    if (status > 0) span.setAttribute('http.response.status_code', status);
    if (code !== undefined) markFailed(span, code);
    else if (status >= 400) markFailed(span, String(status));
    else if (status === 0) markFailed(span, 'cancelled');
  }

  #child(name: string, kind: SpanKind, from: number): Span {
    return this.#tracer.startSpan(name, { kind, startTime: this.#epochMs(from) }, this.#context);
  }

  /** Converts a monotonic time: the record has its start on both clocks. */
  #epochMs(at: number): number {
    return this.#record.atMs + (at - this.#record.startedAt);
  }
}

function markFailed(span: Span, type: string, isError = true): void {
  span.setAttribute('error.type', type);
  if (isError) span.setStatus({ code: SpanStatusCode.ERROR });
}

/** How long a stopping process waits for its last spans. */
const CLOSE_MS = 2000;

/** Queue of spans; more are dropped. Batches are sent one after the other. */
const QUEUE = { maxQueueSize: 2048, maxExportBatchSize: 256, scheduledDelayMillis: 1000 } as const;

/** Tracing with OpenTelemetry's SDK. Nothing is registered globally, so nothing else in this process is traced. */
class OtlpTracing implements Tracing {
  readonly #options: TracingOptions;
  readonly #exporter: CollectorExporter;
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;
  readonly #routes = new WeakMap<TracedRoute, RouteSpans>();

  constructor(options: TracingOptions) {
    const { otlp, version, log } = options;
    this.#options = options;
    this.#exporter = new CollectorExporter(otlp, `wakala/${version}`, log);
    const processor = { exporter: this.#exporter, exportTimeoutMillis: CLOSE_MS, ...QUEUE };
    this.#provider = new TracerProvider({
      resource: defaultResource().merge(
        resourceFromAttributes({
          'service.name': 'wakala',
          'service.version': version,
          'service.instance.id': randomUUID(),
          'process.pid': process.pid,
        }),
      ),
      sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
      spanProcessors: [new BatchSpanProcessor(processor)],
    });
    this.#tracer = this.#provider.getTracer('wakala', version);
  }

  begin(record: RequestRecord, route: TracedRoute): RequestTrace {
    let spans = this.#routes.get(route);
    if (spans === undefined) {
      spans = routeSpans(route, this.#options);
      this.#routes.set(route, spans);
    }
    return new OtlpTrace(this.#tracer, record, spans);
  }

  async close(): Promise<void> {
    const timeUp = new AbortController();
    // The provider's shutdown stops at the first failed batch; the exporter's waits for the others.
    const sent = this.#provider.shutdown().catch(() => this.#exporter.shutdown());
    const late = sleep(CLOSE_MS, undefined, { signal: timeUp.signal }).catch(() => undefined);
    await Promise.race([sent, late]);
    timeUp.abort();
    this.#exporter.destroy();
  }
}

function routeSpans({ name, prefix, upstream }: TracedRoute, { listen, scheme }: TracingOptions): RouteSpans {
  const { hostname, port, protocol } = new URL(upstream);
  return {
    name,
    prefix,
    server: {
      'http.route': name,
      'wakala.route': name,
      'url.scheme': scheme,
      'server.address': listen.host,
      // Port 0 means any free port.
      ...(listen.port === 0 ? {} : { 'server.port': listen.port }),
    },
    client: {
      'server.address': hostname.replace(/^\[|\]$/g, ''),
      'server.port': port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    },
  };
}

export function openOtlp(options: TracingOptions): Tracing {
  return new OtlpTracing(options);
}

/** The spans of one request: a span for the whole request with a child for each wait for a token and each attempt. */
export interface RequestTrace {
  /** Whether it continues the client's trace, so that the client's `tracestate` is forwarded. */
  readonly continued: boolean;
  /** Ends the current attempt, if any, and begins a wait for a token. The next attempt ends it. */
  waitsForToken(): void;
  /** Begins an attempt. @returns its `traceparent` (W3C Trace Context 3.2) */
  attempt(): string;
  /** Ends all spans. The record must be finished. */
  end(): void;
}

/** A route, as far as its traces show it. */
interface TracedRoute {
  readonly name: string;
  readonly prefix: string;
  /** API base URL. */
  readonly upstream: string;
}

/** Traces the requests of this process. */
export interface Tracing {
  begin(record: RequestRecord, route: TracedRoute): RequestTrace;
  /** Sends the remaining spans, for up to two seconds. Never rejects. */
  close(): Promise<void>;
}

export interface TracingOptions {
  /** Base URL of a collector that accepts OTLP over HTTP; `/v1/traces` is appended. */
  readonly otlp: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly scheme: 'http' | 'https';
  /** Version of Wakala. */
  readonly version: string;
  readonly log: Log;
}

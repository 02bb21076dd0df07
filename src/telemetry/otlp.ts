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
 * The span that a client's request belongs to, by W3C Trace Context 3.2.
 * @param headers names and values by turns
 * @returns undefined where no `traceparent`, no valid one, or more than one is there
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

/** Later versions may have more behind the flags; `ff` is none. */
function parse(line: string): SpanContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(line) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: parseInt(flags, 16) & 1, isRemote: true };
}

/** The line that tells the next one of a span. */
export function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & 1}`;
}

/**
 * How long a batch may take, with another try after a failed one; what is then not sent is lost. Less than what the end
 * of a process waits, so that it leaves nothing behind that would keep the process alive.
 */
const EXPORT_TIMEOUT_MS = 1800;

/** Batches that are on their way at once: at the end of a process, all that are left. */
const MAX_BATCHES = 12;

type Spans = Parameters<SpanExporter['export']>[0];
type Done = Parameters<SpanExporter['export']>[1];

/** Sends batches to a collector. Of those that fail, the log has the first, and then the first that does not. */
class CollectorExporter implements SpanExporter {
  readonly #exporter: OTLPTraceExporter;
  readonly #agent: InstanceType<typeof http.Agent>;
  readonly #log: Log;
  /** Spans lost since the last batch that went through. */
  #lost = 0;

  /** `otlp`: the collector's base URL. `userAgent` goes in front of the exporter's own. */
  constructor(otlp: string, userAgent: string, log: Log) {
    // Said out loud, so that no environment variable turns it off.
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

  /** Ends its connections, whatever is under way on them. */
  cut(): void {
    this.#agent.destroy();
  }

  #onSent(): void {
    if (this.#lost > 0) this.#log.info('trace_export_recovered', { lost: this.#lost });
    this.#lost = 0;
  }

  #onLost(count: number, error: Error): void {
    if (this.#lost === 0) this.#log.warn('trace_export_failed', { error: whatFailed(error) });
    this.#lost += count;
  }
}

/** The collector's own words may be anything: of its answer there is the status alone. Without a code, the exporter speaks. */
function whatFailed(error: Error): string {
  if (!('code' in error)) return error.message;
  return typeof error.code === 'number' ? `status ${error.code}` : networkCode(error);
}

/** What the spans of every request on a route have in common. */
interface RouteSpans {
  readonly name: string;
  readonly prefix: string;
  /** Of the span for the whole request. */
  readonly server: Attributes;
  /** Of each attempt. */
  readonly client: Attributes;
}

/** Methods of RFC 9110, and PATCH; of any other the conventions of OpenTelemetry want `_OTHER`. */
const KNOWN = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT']);

interface Wait {
  readonly span: Span;
  readonly from: number;
  /** What the record had counted before. */
  readonly tokenMs: number;
}

/** Spans of one request, timed by its record. Nothing that a client or the provider sent is in them unmasked. */
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
    const known = KNOWN.has(record.method);
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
      // What the client did wrong is no error of a server's span.
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

  /** A wait that the record does not count came to nothing. */
  #endWait(at: number): void {
    const wait = this.#wait;
    if (wait === undefined) return;
    this.#wait = undefined;
    const waitedMs = this.#record.tokenMs - wait.tokenMs;
    if (waitedMs === 0 && this.#record.code !== undefined) markFailed(wait.span, this.#record.code);
    wait.span.end(this.#epochMs(waitedMs > 0 ? Math.min(wait.from + waitedMs, at) : at));
  }

  /** `code`: why the request failed, if it did while this attempt was its last. */
  #endAttempt(at: number, code: string | undefined): void {
    const span = this.#attempt;
    if (span === undefined) return;
    this.#attempt = undefined;
    if (span.isRecording()) this.#tellAttempt(span, code);
    span.end(this.#epochMs(at));
  }

  #tellAttempt(span: Span, code: string | undefined): void {
    const times: AttemptRecord | undefined = this.#record.attempts[this.#attempts - 1];
    // A handshake has its status on the record alone.
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

  /** All times of a request hang on the one moment that the record has on both scales. */
  #epochMs(at: number): number {
    return this.#record.atMs + (at - this.#record.startedAt);
  }
}

function markFailed(span: Span, type: string, isError = true): void {
  span.setAttribute('error.type', type);
  if (isError) span.setStatus({ code: SpanStatusCode.ERROR });
}

/** How long the end of a process waits for its last spans. */
const CLOSE_MS = 2000;

/** Spans that wait to be sent; more are dropped. They leave in batches, one after the other. */
const QUEUE = { maxQueueSize: 2048, maxExportBatchSize: 256, scheduledDelayMillis: 1000 } as const;

/** Traces over OpenTelemetry's own SDK. Nothing is registered globally, so nothing else in this process is traced. */
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
    // It gives up with the first batch that fails, when others may be on their way.
    const sent = this.#provider.shutdown().catch(() => this.#exporter.shutdown());
    const late = sleep(CLOSE_MS, undefined, { signal: timeUp.signal }).catch(() => undefined);
    await Promise.race([sent, late]);
    timeUp.abort();
    this.#exporter.cut();
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
      // 0 is any free one.
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

/** The spans of one request: one for all of it, and below that each wait for a token and each attempt. */
export interface RequestTrace {
  /** Whether it belongs to the client's own trace, and the client's `tracestate` with it. */
  readonly continued: boolean;
  /** From now until the next attempt the request waits for a token. An attempt before it is over. */
  waitsForToken(): void;
  /** Begins an attempt. @returns its `traceparent` (W3C Trace Context 3.2) */
  attempt(): string;
  /** The record is finished: what it says goes into the spans. */
  end(): void;
}

/** What a trace tells of a route. */
interface TracedRoute {
  readonly name: string;
  readonly prefix: string;
  /** API base URL. */
  readonly upstream: string;
}

/** Where the traces of this process go. */
export interface Tracing {
  begin(record: RequestRecord, route: TracedRoute): RequestTrace;
  /** Sends what is left, and waits for that two seconds at most. Never rejects. */
  close(): Promise<void>;
}

export interface TracingOptions {
  /** Base URL of a collector that takes OTLP over HTTP; `/v1/traces` comes behind it. */
  readonly otlp: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly scheme: 'http' | 'https';
  /** Of wakala. */
  readonly version: string;
  readonly log: Log;
}

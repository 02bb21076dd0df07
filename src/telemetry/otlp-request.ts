import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { maskedPath } from './mask.ts';
import { parentOf, traceparentOf } from './otlp-parent.ts';
import type { RequestTrace } from './tracing.ts';
import type { AttemptRecord, RequestRecord } from './trail.ts';

/** What the spans of every request on a route have in common. */
export interface RouteSpans {
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
  /** What the trail had counted before. */
  readonly tokenMs: number;
}

/** Spans of one request, timed by its trail. Nothing that a client or the provider sent is in them unmasked. */
export class OtlpTrace implements RequestTrace {
  readonly continued: boolean;
  readonly #tracer: Tracer;
  readonly #trail: RequestRecord;
  readonly #route: RouteSpans;
  readonly #method: string;
  readonly #span: Span;
  readonly #context: Context;
  #wait: Wait | undefined;
  #attempt: Span | undefined;
  #attempts = 0;

  constructor(tracer: Tracer, trail: RequestRecord, route: RouteSpans) {
    const parent = parentOf(trail.requestHeaders);
    const known = KNOWN.has(trail.method);
    this.continued = parent !== undefined;
    this.#tracer = tracer;
    this.#trail = trail;
    this.#route = route;
    this.#method = known ? trail.method : '_OTHER';
    this.#span = tracer.startSpan(
      `${known ? trail.method : 'HTTP'} ${route.name}`,
      { kind: SpanKind.SERVER, startTime: this.#epochMs(trail.startedAt) },
      parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
    );
    this.#context = trace.setSpan(ROOT_CONTEXT, this.#span);
  }

  waitsForToken(): void {
    const from = performance.now();
    this.#endAttempt(from, undefined);
    const span = this.#child('token wait', SpanKind.INTERNAL, from);
    this.#wait = { span, from, tokenMs: this.#trail.tokenMs };
  }

  attempt(): string {
    const now = performance.now();
    this.#endWait(now);
    this.#attempts += 1;
    this.#attempt = this.#child(`attempt ${this.#attempts}`, SpanKind.CLIENT, now);
    return traceparentOf(this.#attempt.spanContext());
  }

  end(): void {
    const { code, endedAt, status } = this.#trail;
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
    const { requestId, path = '', use, status, outcome, clientLeft } = this.#trail;
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

  /** A wait that the trail does not count came to nothing. */
  #endWait(at: number): void {
    const wait = this.#wait;
    if (wait === undefined) return;
    this.#wait = undefined;
    const waitedMs = this.#trail.tokenMs - wait.tokenMs;
    if (waitedMs === 0 && this.#trail.code !== undefined) markFailed(wait.span, this.#trail.code);
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
    const times: AttemptRecord | undefined = this.#trail.attempts[this.#attempts - 1];
    // A handshake has its status on the trail alone.
    const status = times?.status || (code === undefined ? this.#trail.status : 0);
    span.setAttributes({ ...this.#route.client, 'http.request.method': this.#method });
    if (this.#attempts > 1) span.setAttribute('http.request.resend_count', this.#attempts - 1);
    if (times !== undefined && times.connectedAt > 0) span.addEvent('connected', this.#epochMs(times.connectedAt));
    if (times !== undefined && times.answeredAt > 0) span.addEvent('answered', this.#epochMs(times.answeredAt));
    if (status > 0) span.setAttribute('http.response.status_code', status);
    if (code !== undefined) markFailed(span, code);
    else if (status >= 400) markFailed(span, String(status));
    else if (status === 0) markFailed(span, 'cancelled');
  }

  #child(name: string, kind: SpanKind, from: number): Span {
    return this.#tracer.startSpan(name, { kind, startTime: this.#epochMs(from) }, this.#context);
  }

  /** All times of a request hang on the one moment that the trail has on both scales. */
  #epochMs(at: number): number {
    return this.#trail.atMs + (at - this.#trail.startedAt);
  }
}

function markFailed(span: Span, type: string, isError = true): void {
  span.setAttribute('error.type', type);
  if (isError) span.setStatus({ code: SpanStatusCode.ERROR });
}

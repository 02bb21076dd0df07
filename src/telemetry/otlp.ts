import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Tracer } from '@opentelemetry/api';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, BatchSpanProcessor, ParentBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import { CollectorExporter } from './otlp-exporter.ts';
import { OtlpTrace, type RouteSpans } from './otlp-request.ts';
import type { RequestTrace, TracedRoute, Tracing, TracingOptions } from './tracing.ts';
import type { RequestRecord } from './trail.ts';

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

  begin(trail: RequestRecord, route: TracedRoute): RequestTrace {
    let spans = this.#routes.get(route);
    if (spans === undefined) {
      spans = routeSpans(route, this.#options);
      this.#routes.set(route, spans);
    }
    return new OtlpTrace(this.#tracer, trail, spans);
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

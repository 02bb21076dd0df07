import { Agent as TlsAgent } from 'node:https';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import type { SpanExporter } from '@opentelemetry/sdk-trace';
import { networkCode } from '../errors.ts';
import type { Log } from '../log.ts';
import { http } from '../node-http.ts';

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
export class CollectorExporter implements SpanExporter {
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
    if (this.#lost > 0) this.#log.info({ lost: this.#lost }, 'traces reach the collector again');
    this.#lost = 0;
  }

  #onLost(count: number, error: Error): void {
    if (this.#lost === 0) this.#log.warn({ error: whatFailed(error) }, 'traces do not reach the collector');
    this.#lost += count;
  }
}

/** The collector's own words may be anything: of its answer there is the status alone. Without a code, the exporter speaks. */
function whatFailed(error: Error): string {
  if (!('code' in error)) return error.message;
  return typeof error.code === 'number' ? `status ${error.code}` : networkCode(error);
}

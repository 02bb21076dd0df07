import { networkCode } from '../errors.ts';
import type { Log } from '../logger.ts';
import type { RequestRecord } from './request-record.ts';

/** The spans of one request: one for all of it, and below that each wait for a token and each attempt. */
export interface RequestTrace {
  /** Whether it belongs to the client's own trace, and the client's `tracestate` with it. */
  readonly continued: boolean;
  /** From now until the next attempt the request waits for a token. An attempt before it is over. */
  waitsForToken(): void;
  /** Begins an attempt. @returns its `traceparent` (W3C Trace Context 3.2) */
  attempt(): string;
  /** The trail is finished: what it says goes into the spans. */
  end(): void;
}

/** What a trace tells of a route. */
export interface TracedRoute {
  readonly name: string;
  readonly prefix: string;
  /** API base URL. */
  readonly upstream: string;
}

/** Where the traces of this process go. */
export interface Tracing {
  begin(trail: RequestRecord, route: TracedRoute): RequestTrace;
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

const PACKAGES =
  '@opentelemetry/api @opentelemetry/sdk-trace @opentelemetry/exporter-trace-otlp-http @opentelemetry/resources';

/**
 * OpenTelemetry is loaded for those who trace, and installed by them.
 * @param load a stand-in for the import, in tests
 * @throws Error if it is not there
 */
export async function openTracing(
  options: TracingOptions,
  load: () => Promise<{ openOtlp: (options: TracingOptions) => Tracing }> = () => import('./otlp.ts'),
): Promise<Tracing> {
  const { openOtlp } = await load().catch((cause: unknown) => {
    throw new Error(`\`tracing\` could not be loaded (${networkCode(cause)}); run: npm install ${PACKAGES}`, { cause });
  });
  return openOtlp(options);
}

import { networkCode } from '../errors.ts';
import type { Tracing, TracingOptions } from './otlp.ts';

const PACKAGES =
  '@opentelemetry/api @opentelemetry/sdk-trace @opentelemetry/exporter-trace-otlp-http @opentelemetry/resources';

/**
 * Loads OpenTelemetry, which users who want traces install themselves.
 * @param load replaces the import in tests
 * @throws Error if OpenTelemetry is not installed
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

import { networkCode } from '../errors.ts';
import type { Tracing, TracingOptions } from './otlp.ts';

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

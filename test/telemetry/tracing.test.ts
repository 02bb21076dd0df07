import { describe, expect, it } from 'vitest';
import { silentLog } from '../../src/logger.ts';
import { openTracing } from '../../src/telemetry/tracing.ts';

const OPTIONS = {
  otlp: 'http://127.0.0.1:4318',
  listen: { host: '127.0.0.1', port: 8080 },
  scheme: 'http',
  version: '1.2.3',
  log: silentLog,
} as const;

const missing = () =>
  Promise.reject(
    Object.assign(new Error("Cannot find package '@opentelemetry/api'"), { code: 'ERR_MODULE_NOT_FOUND' }),
  );

describe('tracing', () => {
  it('says what to install if OpenTelemetry is missing', async () => {
    await expect(openTracing(OPTIONS, missing)).rejects.toThrow(
      '`tracing` could not be loaded (ERR_MODULE_NOT_FOUND); run: npm install @opentelemetry/api ' +
        '@opentelemetry/sdk-trace @opentelemetry/exporter-trace-otlp-http @opentelemetry/resources',
    );
  });

  it('contacts no collector if nothing was traced', async () => {
    const tracing = await openTracing(OPTIONS);
    await expect(tracing.close()).resolves.toBeUndefined();
  });
});

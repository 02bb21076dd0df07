import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { LogEvent } from '../../src/logger.ts';
import { parentOf, traceparentOf } from '../../src/telemetry/otlp.ts';
import { issue } from '../config/certificate.ts';
import { Collector } from '../support/collector.ts';
import { freePort } from '../support/free-port.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile, runCli } from '../support/proxy-process.ts';
import { routeTo, startProxy } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('parentOf', () => {
  it.each([
    ['sampled', `00-${TRACE}-${SPAN}-01`, 1],
    ['not sampled', `00-${TRACE}-${SPAN}-00`, 0],
    ['with more flags than are known', `00-${TRACE}-${SPAN}-ff`, 1],
    ['with none of the flags that are known', `00-${TRACE}-${SPAN}-fe`, 0],
    ['of a later version', `cc-${TRACE}-${SPAN}-01`, 1],
    ['of a later version with more in it', `cc-${TRACE}-${SPAN}-01-what-the-future-will-be`, 1],
  ])('accepts a traceparent that is %s', (_, line, traceFlags) => {
    const parent = { traceId: TRACE, spanId: SPAN, traceFlags, isRemote: true };
    expect(parentOf(['Host', 'x', 'TraceParent', line])).toEqual(parent);
  });

  it.each([
    ['empty', ''],
    ['of version ff', `ff-${TRACE}-${SPAN}-01`],
    ['too long for its version', `00-${TRACE}-${SPAN}-01-more`],
    ['without flags', `00-${TRACE}-${SPAN}`],
    ['with a long flag', `00-${TRACE}-${SPAN}-001`],
    ['in capitals', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['all zeroes in the trace', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['all zeroes in the span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['something else', `${TRACE}:${SPAN}:0:1`],
  ])('ignores a traceparent that is %s', (_, line) => {
    expect(parentOf(['traceparent', line])).toBeUndefined();
  });

  it('ignores two traceparents', () => {
    const line = `00-${TRACE}-${SPAN}-01`;
    expect(parentOf(['traceparent', line, 'traceparent', line])).toBeUndefined();
    expect(parentOf(['tracestate', line])).toBeUndefined();
  });

  it('reads what traceparentOf writes', () => {
    const line = `00-${TRACE}-${SPAN}-01`;
    expect(traceparentOf(parentOf(['traceparent', line])!)).toBe(line);
  });
});

const FAILING = 'trace_export_failed';
const AGAIN = 'trace_export_recovered';

async function startWith(otlp: string) {
  const upstream = await RawUpstream.start(() => reply(200, 'paid'));
  const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream) }, tracing: { otlp } });
  const logged = (event: LogEvent) => proxy.log.filter((line) => line['event'] === event);
  return { upstream, proxy, logged };
}

/** A file that is there until the test ends. @returns its path */
function fileOf(name: string, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'wakala-tracing-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, name), text);
  return join(directory, name);
}

describe('a collector', () => {
  it('that fails is logged once, and again when it recovers', async () => {
    let status = 400;
    const collector = await Collector.start({ status: () => status });
    const { proxy, logged } = await startWith(collector.origin);
    for (let batch = 1; batch <= 3; batch++) {
      expect((await sendRequest(proxy.port, '/api/x')).status).toBe(200);
      await collector.batches(batch);
    }
    await proxy.logged(FAILING);
    status = 200;
    await sendRequest(proxy.port, '/api/x');
    expect(await proxy.logged(AGAIN)).toMatchObject({ level: 'info', lost: 7 });
    expect(logged(FAILING)).toEqual([expect.objectContaining({ level: 'warn', error: 'status 400' })]);
    expect(proxy.logText()).not.toContain('not now');
    await proxy.server.drain();
    expect(logged(AGAIN)).toHaveLength(1);
  });

  it.each([
    ['is down', async () => `http://127.0.0.1:${await freePort()}`],
    ['never responds', async () => (await Collector.start({ status: () => undefined })).origin],
    ['is always busy', async () => (await Collector.start({ status: () => 503 })).origin],
    ['has an unknown host name', () => Promise.resolve('http://collector.invalid:4318')],
  ])('that %s delays neither requests nor the end of the process', async (_, otlp) => {
    const rejected = vi.fn();
    process.on('unhandledRejection', rejected);
    onTestFinished(() => void process.off('unhandledRejection', rejected));
    const { proxy, logged } = await startWith(await otlp());
    for (let i = 0; i < 20; i++) expect((await sendRequest(proxy.port, '/api/x')).status).toBe(200);
    expect(await proxy.server.drain()).toBe(true);
    await proxy.logged(FAILING);
    expect(logged(FAILING)).toHaveLength(1);
    expect(rejected).not.toHaveBeenCalled();
  });

  it('that was stuck gets no more spans than the queue holds', async () => {
    let stuck = true;
    const collector = await Collector.start({ status: () => (stuck ? undefined : 200) });
    const { proxy } = await startWith(collector.origin);
    await sendRequest(proxy.port, '/api/x');
    await collector.batches(1);
    await Promise.all(Array.from({ length: 1500 }, () => sendRequest(proxy.port, '/api/x')));
    stuck = false;
    await proxy.server.drain();
    expect(collector.spans.length).toBeGreaterThan(1000);
    expect(collector.spans.length).toBeLessThanOrEqual(2048 + 256);
  });

  it('gets the headers of OTEL_EXPORTER_OTLP_HEADERS, but only at the configured address', async () => {
    const collector = await Collector.start();
    vi.stubEnv('OTEL_EXPORTER_OTLP_HEADERS', 'x-tenant=shop');
    vi.stubEnv('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', `http://127.0.0.1:${await freePort()}/elsewhere`);
    vi.stubEnv('OTEL_SERVICE_NAME', 'somebody-else');
    vi.stubEnv('OTEL_TRACES_SAMPLER', 'always_off');
    vi.stubEnv('OTEL_SDK_DISABLED', 'true');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { proxy } = await startWith(`${collector.origin}/otel`);
    await sendRequest(proxy.port, '/api/x');
    await proxy.server.drain();
    const [request] = collector.requests;
    expect([request?.url, request?.headers['x-tenant']]).toEqual(['/otel/v1/traces', 'shop']);
    expect(request?.headers['user-agent']).toMatch(/^wakala\/\d/);
    expect(request?.headers).not.toHaveProperty('traceparent');
    expect(collector.span('GET /api/*').resource['service.name']).toBe('wakala');
  });

  it('with an untrusted certificate gets nothing, whatever the environment says', async () => {
    const { key, cert } = issue({ name: 'localhost' });
    const collector = await Collector.start({ tls: { key, cert } });
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { proxy, logged } = await startWith(collector.origin);
    await sendRequest(proxy.port, '/api/x');
    await proxy.server.drain();
    expect(logged(FAILING)).toMatchObject([{ error: 'DEPTH_ZERO_SELF_SIGNED_CERT' }]);
    expect(collector.payloads).toEqual([]);
  });
});

describe('a process', () => {
  const settings = (upstream: RawUpstream, otlp: string, more = {}) =>
    configFile({
      listen: '127.0.0.1:0',
      admin: false,
      routes: { '/api/*': routeTo(upstream) },
      tracing: { otlp },
      ...more,
    });

  it('sends its last spans before it exits, also over TLS', async () => {
    const ca = issue({ name: 'Test CA', isCa: true });
    const { key, cert } = issue({ name: 'localhost', issuer: ca });
    const collector = await Collector.start({ tls: { key, cert } });
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const env = { NODE_EXTRA_CA_CERTS: fileOf('ca.pem', ca.cert) };
    const cli = new CliProcess(['serve', '-c', settings(upstream, collector.origin)], { env });
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    await sendRequest(Number(port), '/api/x');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect(collector.names()).toEqual(['GET /api/*', 'attempt 1', 'token wait']);
  });

  it('exits although its collector never responds', async () => {
    const collector = await Collector.start({ status: () => undefined });
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const cli = new CliProcess(['serve', '-c', settings(upstream, collector.origin)]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    await sendRequest(Number(port), '/api/x');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });

  it('with workers sends spans from each of them', async () => {
    const collector = await Collector.start();
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const cli = new CliProcess(['serve', '-c', settings(upstream, collector.origin, { workers: 2 })]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)".*"workers":2/);
    await Promise.all(Array.from({ length: 20 }, () => sendRequest(Number(port), '/api/x')));
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect(collector.spans.filter(({ kind }) => kind === 2)).toHaveLength(20);
    expect(new Set(collector.spans.map(({ resource }) => resource['service.instance.id'])).size).toBe(2);
  });

  it('without OpenTelemetry does not start, and says what to install', async () => {
    const hooks = fileOf(
      'without.mjs',
      `import { registerHooks } from 'node:module';
       registerHooks({ resolve(specifier, context, next) {
         return next(specifier.replace(/^@opentelemetry\\//, '@not-installed/'), context);
       } });`,
    );
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const env = { NODE_OPTIONS: `--import=${hooks}` };
    for (const workers of [1, 2]) {
      const file = settings(upstream, 'http://127.0.0.1:4318', { workers });
      const { code, stderr } = await runCli(['serve', '-c', file], { env });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^wakala: `tracing` could not be loaded \(ERR_MODULE_NOT_FOUND\); run: npm install @open/m,
      );
    }
  });
});

import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { CREDENTIAL_METRICS, ROUTE_METRICS, SERVER_METRICS, UPSTREAM_METRICS } from '../../src/telemetry/metrics.ts';
import { ROOT } from '../docs/documents.ts';
import { freePort } from '../support/free-port.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { scrape, startBusyProxy } from './metrics-scenario.ts';
import { Scrape } from './metrics-text.ts';

const run = promisify(execFile);

async function startQuietProxy(settings: Settings) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  return await startProxy({ routes: { '/api/*': routeTo(upstream) }, ...settings });
}

describe('/metrics of a running proxy', () => {
  it('counts requests and tokens', async () => {
    const { proxy, statuses } = await startBusyProxy();
    expect(statuses).toEqual([200, 200, 500, 200, 502, 503, 502, 200, 404]);
    const found = await scrape(proxy);
    const requests = (route: string) => found.by('status', 'wakala_requests_total', { route });
    expect(requests('/api/*')).toEqual({ left: 0, '1xx': 0, '2xx': 2, '3xx': 0, '4xx': 0, '5xx': 1 });
    expect(requests('/mpesa/*')).toMatchObject({ '4xx': 1 });
    expect(found.by('use', 'wakala_token_uses_total', { route: '/api/*' })).toMatchObject({ cached: 2, fetched: 1 });
    expect(found.by('route', 'wakala_token_refusals_total')).toMatchObject({ '/api/*': 0, '/refusing/*': 1 });
    expect(found.value('wakala_replays_total', { route: '/refusing/*', outcome: 'answered' })).toBe(1);
    expect(found.value('wakala_errors_total', { route: '/denied/*', code: 'token_denied' })).toBe(1);
    expect(found.value('wakala_errors_total', { route: '/away/*', code: 'upstream_unreachable' })).toBe(1);
    const denied = { credential: '/denied/*', provider: 'custom', grant: 'credentials', outcome: 'denied' };
    expect(found.value('wakala_token_exchanges_total', denied)).toBe(1);
    expect(found.by('credential', 'wakala_token_valid')).toEqual({
      '/api/*': 1,
      '/refusing/*': 1,
      '/denied/*': 0,
      '/failing/*': 0,
      '/fixed/*': 1,
      '/mpesa/*': 1,
      '/unused/*': 0,
    });
    expect(found.value('wakala_token_retry_seconds', { credential: '/failing/*' })).toBeGreaterThan(500);
    expect(Math.abs(found.value('wakala_token_clock_skew_seconds', { provider: 'mpesa' })!)).toBeLessThan(10);
    expect(found.value('wakala_token_store_connected')).toBe(0);
  });

  it('has the metrics of its process', async () => {
    const proxy = await startQuietProxy({ admin: '127.0.0.1:0' });
    const found = await scrape(proxy);
    expect(found.value('wakala_workers')).toBe(1);
    expect(found.value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
    const cpu = found.value('process_cpu_seconds_total')!;
    expect(cpu).toBeGreaterThan(0);
    expect(cpu).toBeLessThan(process.uptime() * 64);
    expect(Math.abs(found.value('process_start_time_seconds')! - Date.now() / 1000)).toBeLessThan(10);
  });

  it('counts requests in flight', async () => {
    const upstream = await RawUpstream.start(() => undefined);
    const proxy = await startProxy({ admin: '127.0.0.1:0', routes: { '/api/*': routeTo(upstream) } });
    const held = sendRequest(proxy.port, '/api/x');
    const request = await upstream.request();
    const found = await scrape(proxy);
    expect(found.value('wakala_requests_in_flight', { route: '/api/*' })).toBe(1);
    expect(found.value('wakala_client_connections')).toBe(1);
    expect(found.by('state', 'wakala_upstream_connections')).toEqual({ busy: 1, idle: 0 });
    request.send(reply(200, 'late'));
    await held;
    expect((await scrape(proxy)).value('wakala_requests_in_flight', { route: '/api/*' })).toBe(0);
  });

  it('has no token, secret, path, query, body or header', async () => {
    const { proxy, upstream, refusing, emulator } = await startBusyProxy();
    const { text } = await scrape(proxy);
    const credentials = [...emulator.credentials.values()].map((secret) => secret.reveal());
    const secrets = [...upstream.tokens, ...refusing.tokens, ...credentials];
    expect(secrets).toHaveLength(3 + emulator.credentials.size);
    for (const secret of secrets) expect(text).not.toContain(secret);
    expect(text).not.toMatch(/canary|real-token|bearer|\/two|\/bad\b|redis:/i);
  });

  it('is in the Prometheus text format and not cached', async () => {
    const proxy = await startQuietProxy({ admin: '127.0.0.1:0' });
    const { header } = await sendRequest(proxy.server.admin!.port, '/metrics');
    expect(header('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(header('cache-control')).toBe('no-store');
  });

  it.each([
    ['without a token', '0.0.0.0:0'],
    ['with a token', { address: '0.0.0.0:0', token: 'admin-token-0123456789' }],
  ])('is open on an address other than loopback, under any Host, %s', async (_, admin) => {
    const proxy = await startQuietProxy({ admin });
    for (const host of ['10.0.0.7:9901', 'wakala.payments.svc', 'evil.example']) {
      const response = await sendRequest(proxy.server.admin!.port, '/metrics', { headers: { host } });
      expect(response.status).toBe(200);
      expect(response.text).toContain('wakala_build_info{version=');
    }
  });

  it('is refused on a loopback address under a foreign Host', async () => {
    const { server } = await startQuietProxy({ admin: '127.0.0.1:0' });
    const { port } = server.admin!;
    for (const host of ['evil.example', `127.0.0.1.evil.example:${port}`, '10.0.0.7:9901']) {
      const response = await sendRequest(port, '/metrics', { headers: { host } });
      expect([response.status, response.text]).toEqual([403, 'host refused\n']);
    }
    for (const host of ['localhost', `127.0.0.1:${port}`, `[::1]:${port}`]) {
      expect((await sendRequest(port, '/metrics', { headers: { host } })).status).toBe(200);
    }
  });
});

describe('the descriptors in src/telemetry/metrics.ts', () => {
  it('describe every metric, with its type and labels', async () => {
    const { proxy } = await startBusyProxy();
    const found = (await scrape(proxy)).families.map(({ name, type, samples }) => {
      const labels = new Set(samples.flatMap((one) => Object.keys(one.labels)));
      labels.delete('le');
      return [name, type, [...labels].sort().join(', ')];
    });
    const metrics = [...ROUTE_METRICS, ...CREDENTIAL_METRICS, ...UPSTREAM_METRICS, ...SERVER_METRICS];
    const described = metrics.map(({ name, type, labels }) => [name, type, [...labels].sort().join(', ')]);
    expect(described.sort()).toEqual(found.sort());
  });

  it('are in docs/metrics.md as `npm run docs:metrics` writes them', { timeout: 60_000 }, async () => {
    const { stderr } = await run(process.execPath, [path.join(ROOT, 'scripts/metrics-docs.mjs'), '--check']);
    expect(stderr).toBe('');
  });
});

// Which processes there are is read from /proc.
describe.runIf(process.platform === 'linux')('/metrics of workers', { timeout: 20_000 }, () => {
  it('has the requests of all workers, even after one died, and one token', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const adminPort = await freePort();
    const admin = `127.0.0.1:${adminPort}`;
    const routes = { '/api/*': routeTo(upstream) };
    const cli = new CliProcess(['serve', '-c', configFile({ listen: '127.0.0.1:0', admin, workers: 2, routes })]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)".*"workers":2/);
    await Promise.all(Array.from({ length: 20 }, () => sendRequest(Number(port), '/api/x', { body: '{}' })));
    const found = new Scrape((await sendRequest(adminPort, '/metrics')).text);
    expect(found.value('wakala_workers')).toBe(2);
    expect(found.value('wakala_requests_total', { route: '/api/*', status: '2xx' })).toBe(20);
    expect(found.value('wakala_request_duration_seconds_count')).toBe(20);
    expect(found.value('wakala_token_exchanges_total', { outcome: 'ok' })).toBe(1);
    expect(found.all('wakala_token_valid')).toMatchObject([{ value: 1 }]);
    process.kill(cli.children()[0]!, 'SIGKILL');
    await cli.until(/"event":"worker_died"/);
    const after = new Scrape((await sendRequest(adminPort, '/metrics')).text);
    expect(after.value('wakala_requests_total', { route: '/api/*', status: '2xx' })).toBe(20);
  });
});

import { describe, expect, it } from 'vitest';
import type { AdminContext } from '../../src/admin/context.ts';
import { Metrics } from '../../src/admin/prometheus.ts';
import { LATENCY_BOUNDS_MS, latencyBucketOf, newLatencyBuckets } from '../../src/telemetry/latency.ts';
import type { RouteCounts } from '../../src/telemetry/metrics.ts';
import type { CredentialSnapshot, ProcessSnapshot } from '../../src/telemetry/snapshot.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { adminConfig, adminContext } from './context.ts';
import { Scrape } from './metrics-text.ts';
import { credentialSnapshot, ROUTE, routeCounts, tokenSnapshot } from './snapshots.ts';

const CLOCK = new ManualClock();
const NOW = CLOCK.now();

function process(written: Partial<ProcessSnapshot> = {}, ofRoute?: RouteCounts): ProcessSnapshot {
  return {
    pid: 1,
    startedAtMs: NOW - 5000,
    rssBytes: 0,
    cpuSeconds: 0,
    connections: 0,
    websockets: 0,
    recordsDropped: 0,
    logLinesDropped: 0,
    unrouted: {},
    tokenStore: undefined,
    upstreams: [],
    credentials: [credentialSnapshot()],
    routes: [{ name: ROUTE, credential: ROUTE, inFlight: 0, counts: ofRoute, failure: undefined, buckets: [] }],
    ...written,
  };
}

/** Successive scrapes of one admin listener. `pids` are those of all processes; by default, those of the snapshots. */
function scraper(context: Partial<AdminContext> = {}, file: Readonly<Record<string, unknown>> = {}) {
  const processes = (pids: readonly number[]) => pids.map((pid) => ({ pid })) as never;
  let alive: readonly number[] = [];
  const metrics = new Metrics(adminContext({ clock: CLOCK, processes: () => processes(alive), ...context }, { file }));
  return async (snapshots: readonly ProcessSnapshot[], pids = snapshots.map(({ pid }) => pid)) => {
    alive = pids;
    return new Scrape(metrics.render(snapshots).text);
  };
}

const scrapeOf = (...snapshots: readonly ProcessSnapshot[]) => scraper()(snapshots);

describe('the metrics of several processes', () => {
  it('are added up', async () => {
    const first = process(
      { pid: 1, connections: 3, websockets: 1, recordsDropped: 10, rssBytes: 100, cpuSeconds: 1.5 },
      routeCounts({
        statuses: [1, 0, 5, 0, 2, 1],
        uses: { cached: 7, fetched: 1 },
        refusals: 2,
        errors: { overloaded: 1 },
      }),
    );
    const second = process(
      { pid: 2, connections: 4, websockets: 2, recordsDropped: 5, rssBytes: 50, cpuSeconds: 0.25 },
      routeCounts({ statuses: [0, 0, 7, 1, 0, 0], uses: { cached: 8, fetched: 0 }, replays: { answered: 3 } }),
    );
    const found = await scrapeOf(first, second);
    const requests = { left: 1, '1xx': 0, '2xx': 12, '3xx': 1, '4xx': 2, '5xx': 1 };
    expect(found.by('status', 'wakala_requests_total', { route: ROUTE })).toEqual(requests);
    expect(found.by('use', 'wakala_token_uses_total')).toMatchObject({ cached: 15, fetched: 1 });
    expect(found.by('outcome', 'wakala_replays_total')).toMatchObject({ answered: 3 });
    expect(found.by('code', 'wakala_errors_total')).toEqual({ overloaded: 1 });
    expect(found.value('wakala_token_refusals_total')).toBe(2);
    expect(found.value('wakala_client_connections')).toBe(7);
    expect(found.value('wakala_websockets')).toBe(3);
    expect(found.value('wakala_recorder_dropped_total')).toBe(15);
    expect(found.value('process_resident_memory_bytes')).toBe(150);
    expect(found.value('process_cpu_seconds_total')).toBe(1.75);
    expect(found.value('wakala_workers')).toBe(2);
  });

  it('have the earliest start, and the summed connections of an origin', async () => {
    const pool = { origin: 'https://api.example', busy: 2, idle: 1, waiting: 3 };
    const found = await scrapeOf(
      process({ pid: 1, startedAtMs: NOW - 5000, upstreams: [pool, pool] }),
      process({ pid: 2, startedAtMs: NOW - 9000, upstreams: [pool] }),
    );
    expect(found.value('process_start_time_seconds')).toBe((NOW - 9000) / 1000);
    expect(found.by('state', 'wakala_upstream_connections', { upstream: pool.origin })).toEqual({ busy: 6, idle: 3 });
    expect(found.value('wakala_upstream_requests_waiting')).toBe(9);
  });

  const five = routeCounts({ statuses: [0, 0, 5, 0, 0, 0], errors: { overloaded: 2 } });
  const requestsIn = (found: Scrape) => found.value('wakala_requests_total', { status: '2xx' });

  it('keep the counts of a process that died, so that no counter falls', async () => {
    const scrape = scraper();
    const exchanged = credentialSnapshot({
      exchanges: {
        credentials: { ok: 2, denied: 0, unavailable: 0 },
        refresh: { ok: 1, denied: 0, unavailable: 0 },
      },
    });
    const dying = { pid: 2, cpuSeconds: 3, connections: 4, recordsDropped: 1, credentials: [exchanged] };
    await scrape([process({ pid: 1 }, five), process(dying, five)]);
    for (const pids of [[1], [1, 3]]) {
      const found = await scrape(pids.map((pid) => process({ pid, cpuSeconds: 1 }, pid === 1 ? five : undefined)));
      expect(requestsIn(found)).toBe(10);
      expect(found.value('wakala_errors_total')).toBe(4);
      expect(found.value('wakala_token_exchanges_total', { outcome: 'ok', grant: 'credentials' })).toBe(2);
      expect(found.value('wakala_token_exchanges_total', { outcome: 'ok', grant: 'refresh' })).toBe(1);
      expect(found.value('wakala_recorder_dropped_total')).toBe(1);
      expect(found.value('process_cpu_seconds_total')).toBe(3 + pids.length);
      expect(found.value('wakala_client_connections')).toBe(0);
    }
  });

  it('count a process that missed a scrape with its last counts, and never twice', async () => {
    const scrape = scraper();
    const both = [process({ pid: 1 }, five), process({ pid: 2, connections: 4 }, five)];
    expect(requestsIn(await scrape(both))).toBe(10);
    const late = await scrape([both[0]!], [1, 2]);
    expect([requestsIn(late), late.value('wakala_workers'), late.value('wakala_client_connections')]).toEqual([
      10, 1, 0,
    ]);
    expect(requestsIn(await scrape(both))).toBe(10);
    expect(requestsIn(await scrape(both))).toBe(10);
  });

  it('distinguish a process from an earlier one with the same pid', async () => {
    const scrape = scraper();
    await scrape([process({ pid: 7, startedAtMs: NOW - 5000 }, five)]);
    const reborn = process({ pid: 7, startedAtMs: NOW - 1000 }, routeCounts({ statuses: [0, 0, 1, 0, 0, 0] }));
    expect(requestsIn(await scrape([reborn]))).toBe(6);
    expect(requestsIn(await scrape([reborn]))).toBe(6);
  });

  it('are valid even if no process responds', async () => {
    const found = await scrapeOf();
    expect(found.value('wakala_workers')).toBe(0);
    expect(found.value('wakala_build_info', { version: '0.0.0', commit: '' })).toBe(1);
    expect(found.names).not.toContain('process_start_time_seconds');
  });

  it('have the version and the commit of the build', async () => {
    const found = await scraper({ version: '9.8.7', commit: 'abc1234' })([]);
    expect(found.value('wakala_build_info', { version: '9.8.7', commit: 'abc1234' })).toBe(1);
  });
});

describe('the histogram', () => {
  const buckets = (found: Scrape) => found.by('le', 'wakala_request_duration_seconds_bucket', { route: ROUTE });

  it('counts a duration on a bound in its bucket, and one just above it in the next', async () => {
    for (const seconds of [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60]) {
      const latency = newLatencyBuckets();
      for (const ms of [seconds * 1000, seconds * 1000 + 0.01]) latency[latencyBucketOf(ms)]! += 1;
      const found = buckets(await scrapeOf(process({}, routeCounts({ latency: { buckets: [...latency], sumMs: 0 } }))));
      const [at, all] = [found[String(seconds)], found['+Inf']];
      expect({ seconds, at, all }).toEqual({ seconds, at: 1, all: 2 });
    }
  });

  it('has the documented bounds, each of which is a bound of the counters', async () => {
    const found = Object.keys(buckets(await scrapeOf(process({}, routeCounts()))));
    const bounds = ['0.005', '0.01', '0.02', '0.05', '0.1', '0.2', '0.5', '1', '2', '5', '10', '30', '60', '+Inf'];
    expect(new Set(found)).toEqual(new Set(bounds));
    for (const bound of bounds.slice(0, -1)) expect(LATENCY_BOUNDS_MS).toContain(Number(bound) * 1000);
  });

  it('is cumulative and ends with the count', async () => {
    const buckets = LATENCY_BOUNDS_MS.map((_, i) => i + 1).concat(100);
    const found = await scrapeOf(process({}, routeCounts({ latency: { buckets, sumMs: 12_345 } })));
    const values = found.all('wakala_request_duration_seconds_bucket').map(({ value }) => value);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    const total = buckets.reduce((sum, count) => sum + count, 0);
    expect([values.at(-1), found.value('wakala_request_duration_seconds_count')]).toEqual([total, total]);
    expect(found.value('wakala_request_duration_seconds_sum')).toBe(12.345);
  });
});

describe('a token that processes share', () => {
  const expiry = (found: Scrape) => found.value('wakala_token_expiry_timestamp_seconds', { credential: ROUTE });
  const having = (pid: number, one: Partial<CredentialSnapshot>) =>
    process({ pid, credentials: [credentialSnapshot(one)] });

  it('is the one with the highest generation, whenever it was issued', async () => {
    const older = tokenSnapshot(NOW, { generation: 4, issuedAtMs: NOW, expiresAtMs: NOW + 9000 });
    const newer = tokenSnapshot(NOW, { generation: 5, issuedAtMs: NOW - 500, expiresAtMs: NOW + 5000 });
    for (const tokens of [
      [older, newer, undefined],
      [newer, older],
    ]) {
      const found = await scrapeOf(...tokens.map((one, i) => having(i, { token: one })));
      expect(expiry(found)).toBe((NOW + 5000) / 1000);
      expect(found.value('wakala_token_valid')).toBe(1);
    }
  });

  it('is the one issued last if there is no generation', async () => {
    const older = tokenSnapshot(NOW, { issuedAtMs: NOW - 500, expiresAtMs: NOW + 9000 });
    const newer = tokenSnapshot(NOW, { issuedAtMs: NOW, expiresAtMs: NOW + 5000 });
    expect(expiry(await scrapeOf(having(1, { token: newer }), having(2, { token: older })))).toBe((NOW + 5000) / 1000);
    expect(expiry(await scrapeOf(having(1, { token: older }), having(2, { token: newer })))).toBe((NOW + 5000) / 1000);
  });

  it('is valid until its last millisecond', async () => {
    const valid = async (expiresAtMs: number) =>
      (await scrapeOf(having(1, { token: tokenSnapshot(NOW, { expiresAtMs }) }))).value('wakala_token_valid');
    expect([await valid(NOW + 1), await valid(NOW), await valid(NOW - 1)]).toEqual([1, 0, 0]);
  });

  it('has the longest backoff and the largest clock skew of any process', async () => {
    const found = await scrapeOf(
      having(1, { retryAtMs: NOW + 2500, clockSkewMs: 1000 }),
      having(2, { retryAtMs: NOW + 500, clockSkewMs: -4000 }),
      having(3, { retryAtMs: 0 }),
    );
    expect(found.value('wakala_token_retry_seconds')).toBe(2.5);
    expect(found.value('wakala_token_clock_skew_seconds')).toBe(-4);
  });

  it('has no expiry, exchanges or backoff if it is a fixed key', async () => {
    const fixed = {
      fixed: true,
      token: tokenSnapshot(NOW, { expiresAtMs: Infinity, lifetimeSource: 'fixed' as const }),
    };
    const found = await scrapeOf(having(1, fixed));
    expect(found.value('wakala_token_valid')).toBe(1);
    for (const name of ['expiry_timestamp_seconds', 'retry_seconds', 'clock_skew_seconds', 'exchanges_total']) {
      expect(found.all(`wakala_token_${name}`)).toEqual([]);
    }
  });

  it('counts exchanges by grant and outcome, and leaves out an unused refresh grant', async () => {
    const none = { ok: 0, denied: 0, unavailable: 0 };
    const exchanges = { credentials: { ...none, denied: 2 }, refresh: none };
    const found = await scrapeOf(having(1, { exchanges }), having(2, { exchanges }));
    const by = (grant: string) => found.by('outcome', 'wakala_token_exchanges_total', { grant });
    expect(by('credentials')).toEqual({ ok: 0, denied: 4, unavailable: 0 });
    expect(by('refresh')).toEqual({});
    const refreshed = await scrapeOf(having(1, { exchanges: { credentials: none, refresh: { ...none, ok: 1 } } }));
    const shown = refreshed.by('outcome', 'wakala_token_exchanges_total', { grant: 'refresh' });
    expect(shown).toEqual({ ok: 1, denied: 0, unavailable: 0 });
  });
});

describe('the token store', () => {
  const connected = (...states: boolean[]) =>
    scrapeOf(...states.map((state, pid) => process({ pid, tokenStore: { connected: state, failure: undefined } })));

  it('is connected only if every process is connected to it', async () => {
    expect((await connected(true, true)).value('wakala_token_store_connected')).toBe(1);
    expect((await connected(true, false)).value('wakala_token_store_connected')).toBe(0);
  });

  it('has no metric if it is not configured', async () => {
    expect((await scrapeOf(process())).names).not.toContain('wakala_token_store_connected');
  });
});

describe('reloads', () => {
  it.each([
    ['a refused one leaves the configuration stale', { taken: 2, refused: 3, failure: 'line 3' }, 1],
    ['a good one after that ends it', { taken: 3, refused: 3, failure: undefined }, 0],
  ])('are counted: %s', async (_, reloads, stale) => {
    const found = await scraper({ reloads: () => reloads })([process()]);
    const { taken, refused } = reloads;
    expect(found.by('outcome', 'wakala_config_reloads_total')).toEqual({ taken, refused });
    expect(found.value('wakala_config_stale')).toBe(stale);
    expect(found.text).not.toContain('line 3');
  });
});

describe('the name of a route', () => {
  it('is escaped, although no configuration allows quotes and backslashes', async () => {
    const name = '/a"b\\n,c:d/*';
    const provider = { provider: 'static', upstream: 'https://api.example/v1', credentials: { token: 'made-up-key' } };
    const written = adminConfig({ file: { routes: { '/x/*': provider } } });
    const config = { ...written, routes: written.routes.map((route) => ({ ...route, name })) };
    const snapshot = process({
      credentials: [],
      routes: [{ name, credential: name, inFlight: 1, counts: routeCounts(), failure: undefined, buckets: [] }],
    });
    const found = await scraper({ config: () => config })([snapshot]);
    expect(found.text).toContain(String.raw`wakala_requests_in_flight{route="/a\"b\\n,c:d/*"} 1`);
    const info = { provider: 'static', environment: 'sandbox', upstream_host: 'api.example', credential: name };
    expect(found.all('wakala_route_info')[0]?.labels).toEqual({ route: name, ...info });
    expect(found.value('wakala_request_duration_seconds_count', { route: name })).toBe(0);
  });

  it('is left out if the route is not in the configuration', async () => {
    const gone = {
      name: '/gone/*',
      credential: ROUTE,
      inFlight: 0,
      counts: routeCounts(),
      failure: undefined,
      buckets: [],
    };
    const found = await scrapeOf(process({ routes: [gone] }));
    expect(found.all('wakala_requests_total')).toEqual([]);
  });
});

describe('10,000 routes without requests', () => {
  it('take one line per route, and five per credential', async () => {
    const route = { provider: 'mpesa', credentials: { consumer_key: 'key', consumer_secret: 'secret' } };
    const names = Array.from({ length: 10_000 }, (_, i) => `/tenant-${i}/*`);
    const routes = names.map((name) => ({
      name,
      credential: ROUTE,
      inFlight: 0,
      counts: undefined,
      failure: undefined,
      buckets: [],
    }));
    const scrape = scraper({}, { routes: Object.fromEntries(names.map((name) => [name, route])) });
    const found = await scrape([process({ routes })]);
    expect(found.samples.filter(({ labels }) => labels['route'] !== undefined)).toHaveLength(10_000);
    expect(
      found.samples.filter(({ name, labels }) => name !== 'wakala_route_info' && labels['credential']),
    ).toHaveLength(5);
    expect(found.text.length).toBeLessThan(2_000_000);
  });
});

import { describe, expect, it } from 'vitest';
import { adminApp } from '../../src/admin/app.ts';
import { requestDetails } from '../../src/admin/inspector.ts';
import { newLatencyBuckets } from '../../src/telemetry/latency.ts';
import { maskedDetails } from '../../src/telemetry/recent-requests.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';
import {
  type CredentialSnapshot,
  mergedCredential,
  mergedRoute,
  type ProcessSnapshot,
  type RouteSnapshot,
  type ServingProcess,
} from '../../src/telemetry/snapshot.ts';
import { adminConfig, adminContext } from './context.ts';
import { credentialSnapshot, ROUTE, routeCounts, tokenSnapshot } from './snapshots.ts';

function credentialOf(changes: Partial<CredentialSnapshot>): CredentialSnapshot {
  const credentials = { ok: 1, denied: 0, unavailable: 2 };
  return credentialSnapshot({ exchanges: { credentials, refresh: { ok: 1, denied: 1, unavailable: 0 } }, ...changes });
}

function routeWith(changes: Partial<RouteSnapshot>): RouteSnapshot {
  return {
    name: ROUTE,
    credential: ROUTE,
    inFlight: 0,
    counts: undefined,
    failure: undefined,
    buckets: [],
    ...changes,
  };
}

function bucketOf(index: number, statuses: number[], exchanges = 0) {
  return { index, statuses, latency: [...newLatencyBuckets()], refusals: 1, exchanges };
}

function countsOf(ok: number) {
  return routeCounts({
    statuses: [0, 0, ok, 0, 0, 0],
    latency: { buckets: [ok, ...newLatencyBuckets()].slice(0, -1), sumMs: ok },
    uses: { cached: ok },
    refusals: 1,
    replays: { answered: 1 },
    errors: { token_denied: ok },
  });
}

/** A worker without anything behind it. */
function workerOf(
  pid: number,
  routes: RouteSnapshot[],
  credentials: CredentialSnapshot[],
  records: RequestRecord[] = [],
) {
  const snapshot: ProcessSnapshot = {
    pid,
    startedAtMs: Date.now() - 60_000,
    connections: 2,
    websockets: 0,
    recordsDropped: 0,
    logLinesDropped: 0,
    rssBytes: 64 * 1024 * 1024,
    cpuSeconds: 1,
    unrouted: {},
    tokenStore: { connected: pid !== 12, failure: pid === 12 ? 'ECONNREFUSED' : undefined },
    upstreams: [],
    credentials,
    routes,
  };
  const refreshed: string[] = [];
  const serving: ServingProcess = {
    pid,
    snapshot: async () => snapshot,
    records: async (after) => records.filter(({ number }) => number > after),
    details: async (number) => records.filter((record) => record.number === number).map(maskedDetails)[0],
    refresh: async (route) => {
      refreshed.push(route);
      return { kind: 'refreshed', fingerprint: 'abcdef01', expiresAtMs: Infinity };
    },
  };
  return { serving, refreshed };
}

function recordOf(number: number, requestId: string): RequestRecord {
  const record = new RequestRecord(requestId, 'GET', ['host', 'localhost:8080']);
  return Object.assign(record, { number, route: ROUTE, path: '/x', status: 200, endedAt: performance.now() });
}

describe('several workers', () => {
  const one = workerOf(11, [routeWith({ inFlight: 1, counts: countsOf(3) })], [credentialOf({})], [recordOf(1, 'a')]);
  const other = workerOf(12, [routeWith({ inFlight: 2, counts: countsOf(4) })], [credentialOf({})], [recordOf(1, 'b')]);
  const silent: ServingProcess = { ...one.serving, pid: 13, snapshot: () => Promise.reject(new Error('late')) };
  const late: ServingProcess = {
    ...silent,
    records: () => Promise.reject(new Error('late')),
    details: () => Promise.reject(new Error('late')),
  };
  const context = adminContext({ processes: () => [one.serving, other.serving, late] });
  const headers = { host: 'localhost' };
  const get = async (path: string) => (await adminApp(context).request(path, { headers })).json();

  it('are added up, without the worker that does not respond', async () => {
    const { routes, processes, problems } = (await get('/api/routes')) as Record<string, Record<string, unknown>[]>;
    expect(processes?.map(({ pid }) => pid)).toEqual([11, 12]);
    expect(routes?.[0]).toMatchObject({
      in_flight: 3,
      requests: { total: 7, by_token: { cached: 7 }, token_refusals: 2, errors: { token_denied: 7 } },
      exchanges: { ok: 4, denied: 2, unavailable: 4 },
    });
    expect(problems?.[0]).toMatchObject({ code: 'token_store_away' });
  });

  it('each have a row on the dashboard', async () => {
    const page = await (await adminApp(context).request('/', { headers })).text();
    expect(page).toContain('<th scope="row">11</th>');
    expect(page).toContain('not connected (ECONNREFUSED)');
  });

  it('have requests with distinct ids', async () => {
    const { requests } = (await get('/api/requests')) as { requests: { id: string; request_id: string }[] };
    expect(requests.map(({ id, request_id }) => [id, request_id]).sort()).toEqual([
      ['11-1', 'a'],
      ['12-1', 'b'],
    ]);
    expect(await get('/api/requests/12-1')).toMatchObject({ request_id: 'b' });
    expect(await get('/api/requests/13-1')).toMatchObject({ status: 404 });
  });

  it('fetch a new token in one of them', async () => {
    const response = await adminApp(context).request('/api/routes/mpesa/refresh', { method: 'POST', headers });
    expect(await response.json()).toEqual({ route: ROUTE, fingerprint: 'abcdef01', expires_at: null });
    expect([one.refreshed, other.refreshed]).toEqual([[ROUTE], []]);
  });

  it('respond 503 to a refresh if none is running', async () => {
    const app = adminApp(adminContext());
    const response = await app.request('/api/routes/mpesa/refresh', { method: 'POST', headers });
    expect([response.status, await response.json()]).toMatchObject([503, { code: 'no_process' }]);
    expect((await app.request('/', { headers })).status).toBe(200);
  });
});

describe('mergedCredential', () => {
  it.each([
    ['the higher number', { generation: 7, issuedAtMs: 1 }, { generation: 6, issuedAtMs: 2 }],
    ['the later one where none has a number', { generation: 0, issuedAtMs: 2 }, { generation: 0, issuedAtMs: 1 }],
  ])('takes the token with %s', (_, newer, older) => {
    const [a, b] = [
      tokenSnapshot(Date.now(), { fingerprint: 'aaaaaaaa', ...newer }),
      tokenSnapshot(Date.now(), { fingerprint: 'bbbbbbbb', ...older }),
    ];
    expect(mergedCredential([credentialOf({ token: a }), credentialOf({ token: b })]).token).toBe(a);
    expect(mergedCredential([credentialOf({ token: b }), credentialOf({ token: a })]).token).toBe(a);
    expect(mergedCredential([credentialOf({}), credentialOf({ token: a })]).token).toBe(a);
  });

  it('keeps the last failure, and each refused call of each client once', () => {
    const refused = (client: string, call: string, untilMs: number) => ({ client, call, untilMs });
    const failure = (atMs: number) => ({ code: 'token_denied', detail: '', reason: undefined, atMs }) as const;
    const merged = mergedCredential([
      credentialOf({ failure: failure(1), refusedCalls: [refused('shop', 'GET /a', 5)], isFetching: true }),
      credentialOf({ failure: failure(2), refusedCalls: [refused('shop', 'GET /a', 4)], retryAtMs: 9 }),
      credentialOf({ refusedCalls: [refused('shop', 'GET /b', 3), refused('till', 'GET /a', 2)] }),
    ]);
    expect(merged).toMatchObject({ failure: { atMs: 2 }, isFetching: true, retryAtMs: 9 });
    expect(merged.refusedCalls).toEqual([
      refused('shop', 'GET /a', 5),
      refused('shop', 'GET /b', 3),
      refused('till', 'GET /a', 2),
    ]);
  });
});

describe('mergedRoute', () => {
  it('has the counts of the processes that had requests', () => {
    const [busy, idle] = [routeWith({ counts: countsOf(3) }), routeWith({})];
    expect([mergedRoute([busy, idle]).counts, mergedRoute([idle, busy]).counts]).toEqual([countsOf(3), countsOf(3)]);
    expect(mergedRoute([idle, idle]).counts).toBeUndefined();
  });

  it('merges buckets by their index', () => {
    const { buckets } = mergedRoute([
      routeWith({ buckets: [bucketOf(1, [0, 0, 1]), bucketOf(3, [0, 0, 1], 1)] }),
      routeWith({ buckets: [bucketOf(2, [0, 0, 5]), bucketOf(3, [0, 0, 2, 4], 1)] }),
    ]);
    expect(buckets.map(({ index, statuses, exchanges }) => [index, statuses, exchanges])).toEqual([
      [1, [0, 0, 1], 0],
      [2, [0, 0, 5], 0],
      [3, [0, 0, 3, 4], 2],
    ]);
  });
});

describe('requestDetails', () => {
  it('says of a production route that its bodies are never kept', () => {
    const credentials = { consumer_key: 'k', consumer_secret: 's' };
    const routes = { [ROUTE]: { provider: 'mpesa', environment: 'production', credentials } };
    const config = adminConfig({ file: { routes, inspect_bodies: true } });
    const record = Object.assign(recordOf(1, 'a'), { requestBytes: 10 });
    expect(requestDetails(1, maskedDetails(record), config).requestBody).toMatchObject({
      why: expect.stringMatching(/never/) as string,
    });
  });

  it.each([
    ['localhost:8080', "'http://localhost:8080/mpesa/x?a=1&b=it'\\''s'"],
    ['evil.example/$(id)', "'http://127.0.0.1:8080/mpesa/x?a=1&b=it'\\''s'"],
  ])('has a curl command with safe quoting for the Host %s', (host, url) => {
    const record = Object.assign(
      new RequestRecord('a', 'GET', ['host', host, 'authorization', 'Bearer x', 'accept', "a'b"]),
      {
        route: ROUTE,
        path: '/x',
        query: "?a=1&b=it's",
      },
    );
    expect(requestDetails(1, maskedDetails(record), adminConfig()).curl).toBe(`curl -sS ${url} -H 'accept: a'\\''b'`);
  });

  it('assigns the time of a request without a token to the token', () => {
    const record = Object.assign(recordOf(1, 'a'), { startedAt: 100, receivedAt: 110, endedAt: 150 });
    expect(requestDetails(1, maskedDetails(record), adminConfig()).spans).toEqual([
      { kind: 'client body', fromMs: 0, lengthMs: 10 },
      { kind: 'token', fromMs: 10, lengthMs: 40 },
    ]);
  });

  it('has the time of signatures apart from that of the token, and that of one that failed', () => {
    const record = Object.assign(recordOf(1, 'a'), { startedAt: 100, receivedAt: 110, signingAt: 120 });
    Object.assign(record.onAttempt(125), { connectedAt: 130, respondedAt: 140 });
    Object.assign(record, { signingAt: 150, endedAt: 180 });
    expect(requestDetails(1, maskedDetails(record), adminConfig()).spans).toEqual([
      { kind: 'client body', fromMs: 0, lengthMs: 10 },
      { kind: 'token', fromMs: 10, lengthMs: 10 },
      { kind: 'signing', fromMs: 20, lengthMs: 5 },
      { kind: 'connecting', fromMs: 25, lengthMs: 5 },
      { kind: 'first byte', fromMs: 30, lengthMs: 10 },
      { kind: 'token', fromMs: 40, lengthMs: 10 },
      { kind: 'signing', fromMs: 50, lengthMs: 30 },
    ]);
  });

  it('assigns the time of a request without its body to the body', () => {
    const record = Object.assign(recordOf(1, 'a'), { startedAt: 100, endedAt: 150 });
    expect(requestDetails(1, maskedDetails(record), adminConfig()).spans).toEqual([
      { kind: 'client body', fromMs: 0, lengthMs: 50 },
    ]);
  });
});

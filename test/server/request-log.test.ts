import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { routeTo, type Settings, startProxy, startProxyToEmulator } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const ADMIN = { admin: '127.0.0.1:0' };

async function toUpstream(
  script: Parameters<typeof RawUpstream.start>[0],
  settings: Settings = {},
  top: Settings = {},
) {
  const upstream = await RawUpstream.start(script);
  const proxy = await startProxy({ ...ADMIN, ...top, routes: { '/api/*': routeTo(upstream, settings) } });
  return { upstream, proxy, newest: async () => (await proxy.server.records(0))[0]! };
}

describe('a recorded request', () => {
  it('has its route, timing and sizes', async () => {
    const { newest, proxy } = await toUpstream(() => reply(201, 'hello'));
    await sendRequest(proxy.port, '/api/pay/x?n=1', { body: 'abc', headers: { 'x-request-id': 'id-1' } });
    const record = await newest();
    expect(record).toMatchObject({
      requestId: 'id-1',
      method: 'POST',
      route: '/api/*',
      path: '/pay/x',
      query: '?n=1',
      status: 201,
      use: 'fetched',
      requestBytes: 3,
      responseBytes: 5,
      code: undefined,
    });
    expect((await proxy.server.details(record.number))?.request.body).toBeUndefined();
    const [attempt] = record.attempts;
    const moments = [
      ...[record.startedAt, record.receivedAt, record.receivedAt + record.tokenMs],
      ...[attempt!.sentAt, attempt!.connectedAt, attempt!.respondedAt, record.endedAt],
    ];
    expect([...moments].sort((a, b) => a - b)).toEqual(moments);
    expect([record.tokenMs > 0, record.attempts.length, attempt?.status]).toEqual([true, 1, 201]);
  });

  it('has the time when its signature began, which is after the token', async () => {
    const rule = { calls: ['* /*'], values: { v: { sha256: '{body}' } }, headers: { 'X-V': '{v}' } };
    const { newest, proxy } = await toUpstream(() => reply(200, ''), { sign: [rule] });
    await sendRequest(proxy.port, '/api/pay');
    const record = await newest();
    const [attempt] = record.attempts;
    const moments = [record.receivedAt + record.tokenMs, attempt!.signingAt, attempt!.sentAt, attempt!.connectedAt];
    expect([...moments].sort((a, b) => a - b)).toEqual(moments);
    expect(record.signingAt).toBe(0);
  });

  it('has both attempts if the token was refused', async () => {
    const { emulator, proxy } = await startProxyToEmulator('jpay', {}, undefined, ADMIN);
    await sendRequest(proxy.port, '/jpay/transactions');
    emulator.control({ expire_tokens: true });
    await sendRequest(proxy.port, '/jpay/transactions');
    const [record] = await proxy.server.records(0);
    expect(record).toMatchObject({ use: 'replayed', refusals: 1 });
    expect(record?.attempts.map(({ status }) => status)).toEqual([401, record?.status]);
    expect(record?.tokenMs).toBeGreaterThan(0);
  });

  it('has the reason of an error of Wakala', async () => {
    const { newest, proxy } = await toUpstream(({ socket }) => void socket.destroy());
    await sendRequest(proxy.port, '/api/x');
    expect(await newest()).toMatchObject({ status: 502, code: 'upstream_reset', outcome: 'unknown', use: 'fetched' });
    expect((await newest()).detail).toContain('broke before the response was complete');
  });

  it('may be a refused one, with its path masked', async () => {
    const { newest, proxy } = await toUpstream(() => reply(200, ''));
    await sendRequest(proxy.port, '/api/%2e%2e/x?token=abc');
    expect(await newest()).toMatchObject({ status: 400, code: 'bad_request_target', route: undefined, query: '' });
    await sendRequest(proxy.port, '/nowhere/0123456789abcdefghij/x');
    await expect.poll(newest).toMatchObject({ status: 404, path: '/nowhere/[redacted]/x', attempts: [] });
  });

  it('says that the client disconnected', async () => {
    const { newest, upstream, proxy } = await toUpstream(() => undefined);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await upstream.request(1);
    client.socket.destroy();
    await expect.poll(newest).toMatchObject({ status: 0, clientLeft: true });
  });

  it('has bodies only if configured, and never in production', async () => {
    const { newest, proxy } = await toUpstream(() => reply(200, 'answer'), {}, { inspect_bodies: true });
    await sendJson(proxy.port, '/api/x', { amount: 1 });
    const details = await proxy.server.details((await newest()).number);
    expect([details?.request.body, details?.response.body]).toEqual([
      { text: '{\n  "amount": 1\n}', cut: 0 },
      { text: 'answer', cut: 0 },
    ]);
  });
});

describe('the counts of a route', () => {
  it('outlive a reload, and so do the requests in flight', async () => {
    const { upstream, proxy } = await toUpstream(({ target }) => (target === '/held' ? undefined : reply(200, '')), {
      max_concurrency: 1,
    });
    await sendRequest(proxy.port, '/api/x');
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/held HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await upstream.request(2);
    const written = { listen: '127.0.0.1:0', ...ADMIN, drain_timeout: '0s' };
    const routes = { '/api/*': routeTo(upstream, { max_concurrency: 1, timeout: '5s' }) };
    const readFile = () => JSON.stringify({ ...written, routes });
    proxy.server.apply(loadConfig('proxy.config.yaml', { readFile, env: {} }).config);
    expect((await sendRequest(proxy.port, '/api/x')).json()).toMatchObject({ code: 'overloaded' });
    const { routes: counted } = await proxy.server.snapshot();
    expect(counted[0]).toMatchObject({
      name: '/api/*',
      inFlight: 1,
      counts: { statuses: [0, 0, 1, 0, 0, 1], errors: { overloaded: 1 } },
    });
  });

  it('include refusals; requests without a route are counted separately', async () => {
    const { proxy } = await toUpstream(() => reply(200, ''), { allow: ['GET /x'] });
    await sendRequest(proxy.port, '/api/x');
    await sendRequest(proxy.port, '/api/y');
    await sendRequest(proxy.port, '/nowhere');
    await sendRequest(proxy.port, '/api/x', { headers: { host: 'evil.example' } });
    await expect.poll(async () => (await proxy.server.snapshot()).unrouted).toEqual({ no_route: 1, host_refused: 1 });
    const [{ counts } = {}] = (await proxy.server.snapshot()).routes;
    expect(counts).toMatchObject({ statuses: [0, 0, 1, 0, 1, 0], errors: { path_refused: 1 } });
    expect(counts?.latency.buckets.reduce((sum, count) => sum + count)).toBe(1);
  });

  it('include each credential once', async () => {
    const upstream = await RawUpstream.start(() => reply(200, ''));
    const other = { ...routeTo(upstream), credentials: { key: 'another' } };
    const routes = { '/a/*': routeTo(upstream), '/b/*': routeTo(upstream), '/c/*': other };
    const proxy = await startProxy({ ...ADMIN, routes });
    await sendRequest(proxy.port, '/b/x');
    const { credentials, routes: shown, upstreams } = await proxy.server.snapshot();
    expect(credentials.map(({ name, exchanges }) => [name, exchanges.credentials.ok])).toEqual([
      ['/a/*', 1],
      ['/c/*', 0],
    ]);
    expect(shown.map(({ name, credential }) => [name, credential])).toEqual([
      ['/a/*', '/a/*'],
      ['/b/*', '/a/*'],
      ['/c/*', '/c/*'],
    ]);
    expect(upstreams).toEqual([{ origin: upstream.origin, busy: 0, idle: 1, waiting: 0 }]);
  });
});

describe('a manual refresh', () => {
  it('fetches a new token, or says why not', async () => {
    const { emulator, proxy } = await startProxyToEmulator('mpesa', {}, undefined, ADMIN);
    const first = await proxy.server.refresh('/mpesa/*');
    const second = await proxy.server.refresh('/mpesa/*');
    expect([first.kind, second.kind]).toEqual(['refreshed', 'refreshed']);
    expect(first).not.toEqual(second);
    emulator.control({ token_endpoint: 'denied' });
    expect(await proxy.server.refresh('/mpesa/*')).toMatchObject({ kind: 'failed', code: 'token_denied' });
    expect(await proxy.server.refresh('/nowhere/*')).toEqual({ kind: 'no such route' });
  });
});

describe('log lines', () => {
  it('are written for each request if configured, with the duration', async () => {
    const { proxy } = await toUpstream(() => reply(200, ''), {}, { log: { requests: true } });
    await sendRequest(proxy.port, '/api/x', { headers: { 'x-request-id': 'id-1' } });
    const line = await proxy.logged('request_finished');
    expect(line).toMatchObject({
      ...{ level: 'info', request_id: 'id-1', route: '/api/*', method: 'GET', path: '/x', status: 200 },
      ...{ token: 'fetched', attempts: 1 },
    });
    expect(line['duration_ms']).toBeTypeOf('number');
  });

  it('are otherwise written for each status from 400', async () => {
    const { proxy } = await toUpstream(({ target }) => reply(target === '/bad' ? 409 : 200, ''));
    await sendRequest(proxy.port, '/api/x');
    await sendRequest(proxy.port, '/api/bad');
    await proxy.logged('request_finished');
    expect(
      proxy.log.filter(({ event }) => event === 'request_finished').map(({ path, status }) => [path, status]),
    ).toEqual([['/bad', 409]]);
  });

  it('hide phone numbers, card numbers and possible tokens in the path, and name the client', async () => {
    const clients = [{ name: 'shop', key: 'made-up-key-of-the-shop' }];
    const { proxy } = await toUpstream(() => reply(409, ''), {}, { clients });
    const path = `/to/254712345678/card/4111111111111111/${'x'.repeat(40)}/${'7'.repeat(20)}`;
    await sendRequest(proxy.port, `/api${path}`, { headers: { authorization: 'Bearer made-up-key-of-the-shop' } });
    const line = await proxy.logged('request_finished');
    expect(line).toMatchObject({ client: 'shop', path: `/to/254•••78/card/411•••11/[redacted]/777•••77` });
  });

  it('are written once for an error of Wakala', async () => {
    const { proxy } = await toUpstream(({ socket }) => void socket.destroy(), {}, { log: { requests: true } });
    await sendRequest(proxy.port, '/api/x', { headers: { 'x-request-id': 'id-1' } });
    const lines = proxy.log.filter(({ request_id }) => request_id === 'id-1');
    expect(lines.map(({ event, code }) => [event, code])).toEqual([['request_failed', 'upstream_reset']]);
  });
});

import { once } from 'node:events';
import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Route } from '../../src/proxy/route.ts';
import { routesSnapshot } from '../../src/server/runtime.ts';
import { RouteStats } from '../../src/telemetry/route-stats.ts';
import { ExchangeStats } from '../../src/tokens/exchange-stats.ts';
import { routeNamed } from '../proxy/route-of.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const LONG = 15_000;

const JSON_API = '/api/requests?limit=1000';

/** The most CPU time that a list of requests may take here. Without bounds it took 34 s. Milliseconds. */
const MAX_CPU_MS = 3000;

/** An upstream that responds with `status`, and a proxy in front of it with `inspect_bodies`. */
async function start(status: number) {
  const upstream = await RawUpstream.start(() => reply(status, 'no'));
  const proxy = await startProxy({
    admin: '127.0.0.1:0',
    inspect_bodies: true,
    routes: { '/api/*': routeTo(upstream, { websocket: true }) },
  });
  const adminPort = proxy.server.admin!.port;
  return { proxy, port: proxy.port, get: (path: string) => sendRequest(adminPort, path), adminPort };
}

/** The event stream until `until` occurs in it. */
async function events(port: number, act: () => Promise<unknown>, until: string): Promise<string> {
  const sent = request({ host: '127.0.0.1', port, path: '/api/events', agent: false }).end();
  onTestFinished(() => void sent.destroy());
  const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream];
  let text = '';
  let acted = false;
  for await (const chunk of response) {
    text += String(chunk);
    if (text.includes(until)) break;
    if (!acted && text.includes('event: routes')) {
      acted = true;
      await act();
    }
  }
  return text;
}

async function cpuMs(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

describe('text of clients', () => {
  it('is shown in little time: a hundred queries of 15 KB without a `=`', async () => {
    const { port, get } = await start(404);
    for (let i = 0; i < 100; i++) await sendRequest(port, `/api/x?${'a'.repeat(LONG)}`);
    expect(await cpuMs(() => get('/api/requests'))).toBeLessThan(MAX_CPU_MS);
    const { requests } = (await get('/api/requests')).json() as { requests: { path: string }[] };
    expect(new Set(requests.map(({ path }) => path))).toEqual(new Set(['/api/x?[cut]']));
  });

  it('is shown in little time: a gzip body of a few hundred bytes with a megabyte in it', async () => {
    const { port, get } = await start(404);
    const body = gzipSync('a'.repeat(1_000_000));
    expect(body.length).toBeLessThan(1100);
    await sendRequest(port, '/api/x', { body, headers: { 'content-encoding': 'gzip' } });
    const { requests } = (await get('/api/requests')).json() as { requests: { id: string }[] };
    let text = '';
    const ms = await cpuMs(async () => (text = (await get(`/api/requests/${requests[0]?.id ?? ''}`)).text));
    expect(ms).toBeLessThan(MAX_CPU_MS);
    expect(text.length).toBeLessThan(80_000);
    expect(text).toContain('[cut]');
  });

  it('is shown and logged without phone numbers, card numbers and tickets', async () => {
    const { proxy, port, get, adminPort } = await start(401);
    const SECRETS = /712345678|1111 ?1111|1111%20|ticket-1|4321/;
    const streamed = await events(
      adminPort,
      async () => {
        await sendRequest(port, '/api/pay/254712345678?pin=4321', { method: 'POST' });
        await sendRequest(port, '/api/cards/4111%201111%201111%201111');
        await sendRequest(port, '/nowhere/254712345678');
        await sendRequest(port, '/api/%2e%2e/254712345678');
        const client = await RawClient.open(port);
        const lines = 'Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13';
        client.send(`GET /api/ws/254712345678?ticket=ticket-1 HTTP/1.1\r\n${lines}\r\nSec-WebSocket-Key: x\r\n\r\n`);
        await client.until('401');
      },
      '/api/ws/254',
    );
    const pages = await Promise.all(['/', '/requests', '/api/routes', JSON_API].map(get));
    const texts = [streamed, proxy.logText(), ...pages.map(({ text }) => text)];
    for (const text of texts) expect(text).not.toMatch(SECRETS);
    expect(streamed).toContain('/api/ws/254•••78?ticket=[redacted]');
    expect(pages[0]?.text).toContain('POST /pay/254•••78');
    expect(pages[2]?.json()['routes']).toMatchObject([{ refused_calls: [{}, {}], refused_call_count: 2 }]);
    expect(pages[3]?.text).toContain('/api/cards/411•••11');
  });

  it('makes no long page, even with many long paths', async () => {
    const { port, get } = await start(404);
    for (let i = 0; i < 400; i++) await sendRequest(port, `/api/${i}?${'"&'.repeat(LONG / 2)}`);
    const lengths = await Promise.all(['/requests', JSON_API].map(async (path) => (await get(path)).text.length));
    expect(lengths[0]).toBeLessThan(1_500_000);
    expect(lengths[1]).toBeLessThan(600_000);
  });
});

describe('calls that are refused with every token', () => {
  it('leave the process masked and counted, the newest twenty in full', () => {
    const refusedCalls = Array.from({ length: 1000 }, (_, i) => ({
      call: `POST /pay/${i}/254712345678?${'a'.repeat(LONG)}`,
      untilMs: 1,
    }));
    const status = { token: undefined, stats: new ExchangeStats(), isFetching: false, retryAtMs: 0, refusedCalls };
    const tokens = { status: () => status };
    const route = { config: routeNamed('mpesa'), tokens, stats: new RouteStats() };
    const { credentials } = routesSnapshot([route as unknown as Route], 0);
    expect(credentials[0]).toMatchObject({ refusedCallCount: 1000 });
    expect(credentials[0]?.refusedCalls).toHaveLength(20);
    expect(credentials[0]?.refusedCalls[0]?.call).toBe('POST /pay/0/254•••78?[cut]');
  });
});

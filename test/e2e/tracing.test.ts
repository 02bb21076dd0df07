import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { Collector } from '../support/collector.ts';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { chunk, RawUpstream, refusingFirstToken, reply, type Script } from '../support/upstream-raw.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const SAMPLED = `00-${TRACE}-${SPAN}-01`;
const ID = /^[0-9a-f]{16}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function start(script: Script = () => reply(200, 'paid'), route: Settings = {}) {
  const upstream = await RawUpstream.start(script);
  const collector = await Collector.start();
  const routes = { '/api/*': routeTo(upstream, route) };
  const proxy = await startProxy({ routes, tracing: { otlp: collector.origin } });
  return { upstream, collector, proxy, ended: () => proxy.server.drain() };
}

/** The `traceparent` lines of a request, each in its parts. */
async function linesOf(upstream: RawUpstream, count = 1): Promise<string[][]> {
  return (await upstream.request(count)).values('traceparent').map((line) => line.split('-'));
}

describe('without `tracing`', () => {
  it('the trace headers of a client are forwarded byte for byte', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream) } });
    const lines = `TraceParent: ${SAMPLED}-odd\r\nTRACESTATE: a=1 ,b=2\r\ntracestate: c=3`;
    await sendRaw(proxy.port, `GET /api/x HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n\r\n`);
    const { headers } = await upstream.request();
    expect(headers.filter(([name]) => /^trace/i.test(name))).toEqual([
      ['TraceParent', `${SAMPLED}-odd`],
      ['TRACESTATE', 'a=1 ,b=2'],
      ['tracestate', 'c=3'],
    ]);
    await sendRequest(proxy.port, '/api/x');
    expect(upstream.requests[1]?.headers.filter(([name]) => /^trace/i.test(name))).toEqual([]);
  });
});

describe('the trace of a request', () => {
  it('with a second attempt has two waits and two attempts, all in the trace of the client', async () => {
    const { upstream, collector, proxy, ended } = await start(refusingFirstToken(() => reply(200, 'paid')));
    upstream.delayTokensMs = 20;
    const headers = { traceparent: SAMPLED, tracestate: 'shop=1', 'x-request-id': 'order-7' };
    const response = await sendRequest(proxy.port, '/api/pay?pin=1234', { headers, body: '{}' });
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    await ended();
    expect(collector.names()).toEqual(['POST /api/*', 'attempt 1', 'attempt 2', 'token wait', 'token wait']);

    const request = collector.span('POST /api/*');
    expect(request).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, kind: 2, failed: false });
    expect(request.attributes).toEqual({
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'http.route': '/api/*',
      'server.address': '127.0.0.1',
      'url.path': '/api/pay',
      'url.scheme': 'http',
      'wakala.request_id': 'order-7',
      'wakala.route': '/api/*',
      'wakala.token': 'replayed',
    });
    expect(request.resource).toMatchObject({ 'service.name': 'wakala', 'process.pid': process.pid });
    expect(request.resource['service.instance.id']).toMatch(UUID);

    const [first, second] = [collector.span('attempt 1'), collector.span('attempt 2')];
    const toUpstream = { 'http.request.method': 'POST', 'server.address': '127.0.0.1', 'server.port': upstream.port };
    expect(first).toMatchObject({ traceId: TRACE, parentSpanId: request.spanId, kind: 3, failed: true });
    expect(first.attributes).toEqual({ ...toUpstream, 'http.response.status_code': 401, 'error.type': '401' });
    expect(second).toMatchObject({ traceId: TRACE, parentSpanId: request.spanId, kind: 3, failed: false });
    expect(second.attributes).toEqual({
      ...toUpstream,
      'http.response.status_code': 200,
      'http.request.resend_count': 1,
    });
    expect(first.events).toEqual(['connected', 'answered']);

    expect(await linesOf(upstream, 1)).toEqual([['00', TRACE, first.spanId, '01']]);
    expect(await linesOf(upstream, 2)).toEqual([['00', TRACE, second.spanId, '01']]);
    expect(upstream.requests.map((sent) => sent.values('tracestate'))).toEqual([['shop=1'], ['shop=1']]);
  });

  it('has its times in order, each part within the whole', async () => {
    const { upstream, collector, proxy, ended } = await start(refusingFirstToken(() => reply(200, 'paid')));
    upstream.delayTokensMs = 20;
    await sendRequest(proxy.port, '/api/pay', { body: '{}' });
    await ended();
    const request = collector.span('POST /api/*');
    const [fetched, refreshed] = collector.spans
      .filter(({ name }) => name === 'token wait')
      .sort((a, b) => a.startMs - b.startMs);
    expect(fetched).toMatchObject({ parentSpanId: request.spanId, kind: 1, failed: false });
    const order = [fetched, collector.span('attempt 1'), refreshed, collector.span('attempt 2')];
    const times = [request.startMs, ...order.flatMap((span) => [span?.startMs, span?.endMs]), request.endMs];
    expect(times).toEqual([...times].sort((a, b) => Number(a) - Number(b)));
    for (const wait of [fetched, refreshed]) expect(wait!.endMs - wait!.startMs).toBeGreaterThan(15);
  });

  it('starts without a trace of the client, and without another `tracestate`', async () => {
    const { upstream, collector, proxy, ended } = await start();
    await sendRequest(proxy.port, '/api/a');
    await sendRequest(proxy.port, '/api/b', {
      headers: { traceparent: `00-${'0'.repeat(32)}-${SPAN}-01`, tracestate: 'a=1' },
    });
    await ended();
    expect(collector.names()).toEqual(['GET /api/*', 'GET /api/*', 'attempt 1', 'attempt 1', 'token wait']);
    const roots = collector.spans.filter(({ kind }) => kind === 2);
    expect(roots.map(({ attributes }) => attributes['wakala.token'])).toEqual(['fetched', 'cached']);
    for (const [i, root] of roots.entries()) {
      const attempt = collector.spans.find(({ kind, parentSpanId }) => kind === 3 && parentSpanId === root.spanId);
      expect(root.parentSpanId).toBeUndefined();
      expect(root.spanId).toMatch(ID);
      expect(await linesOf(upstream, i + 1)).toEqual([['00', root.traceId, attempt?.spanId, '01']]);
      expect(upstream.requests[i]?.values('tracestate')).toEqual([]);
    }
    expect(roots[0]?.traceId).not.toBe(roots[1]?.traceId);
  });

  it('is not exported if the client does not sample it, and is still propagated', async () => {
    const { upstream, collector, proxy, ended } = await start();
    await sendRequest(proxy.port, '/api/x', { headers: { TraceParent: `00-${TRACE}-${SPAN}-00`, tracestate: 'a=1' } });
    await ended();
    expect(collector.payloads).toEqual([]);
    expect(await linesOf(upstream)).toEqual([['00', TRACE, expect.stringMatching(ID), '00']]);
    expect(upstream.requests[0]?.values('tracestate')).toEqual(['a=1']);
  });

  it('has no span name for a method that HTTP does not define', async () => {
    const { collector, proxy, ended } = await start();
    await sendRequest(proxy.port, '/api/x', { method: 'PROPFIND' });
    await ended();
    expect(collector.span('HTTP /api/*').attributes['http.request.method']).toBe('_OTHER');
  });

  it('keeps its header if the client names it in `Connection`', async () => {
    const { upstream, proxy } = await start();
    await sendRequest(proxy.port, '/api/x', { headers: { connection: 'close, traceparent', traceparent: SAMPLED } });
    const [[, traceId] = []] = await linesOf(upstream);
    expect(traceId).toBe(TRACE);
  });

  it('contains no token, secret, header, query, body or telephone number', async () => {
    const { upstream, collector, proxy, ended } = await start(refusingFirstToken(() => reply(200, 'canary-response')));
    const opaque = 'canary-opaque-0123456789abcdef0123456789';
    await sendRequest(proxy.port, `/api/pay/254708374149/${opaque}?pin=canary-query`, {
      headers: { authorization: 'Bearer canary-client', 'x-api-key': 'canary-header', tracestate: 'canary=state' },
      body: 'canary-body',
    });
    await sendRequest(proxy.port, '/api/nothing', { headers: { host: 'canary.host' } });
    await ended();
    const sent = collector.payloads.join('\n');
    expect(sent).toContain('/api/pay/254•••49/[redacted]');
    expect(sent).not.toContain('canary');
    for (const token of upstream.tokens) expect(sent).not.toContain(token);
  });

  it('is not started for a request that is refused or gets a response of Wakala itself', async () => {
    const { collector, proxy, ended } = await start();
    expect((await sendRequest(proxy.port, '/elsewhere')).status).toBe(404);
    expect((await sendRequest(proxy.port, '/api/issue/token', { method: 'DELETE' })).status).toBe(403);
    await ended();
    expect(collector.payloads).toEqual([]);
  });
});

describe('a failure', () => {
  it('response of the provider is recorded with its status', async () => {
    const { collector, proxy, ended } = await start(({ target }) => reply(target === '/bad' ? 400 : 503, ''));
    await sendRequest(proxy.port, '/api/bad');
    await sendRequest(proxy.port, '/api/busy', { method: 'PUT' });
    await ended();
    const [bad, busy] = [collector.span('GET /api/*'), collector.span('PUT /api/*')];
    expect([bad.failed, bad.attributes['error.type']]).toEqual([false, undefined]);
    expect([busy.failed, busy.attributes['error.type']]).toEqual([true, '503']);
    const attempts = collector.spans.filter(({ kind }) => kind === 3);
    expect(attempts.map(({ failed, attributes }) => [failed, attributes['error.type']])).toEqual([
      [true, '400'],
      [true, '503'],
    ]);
  });

  it('to reach the provider has the code of Wakala, also on the attempt', async () => {
    const closed = `http://127.0.0.1:${await freePort()}`;
    const tokens = await RawUpstream.start(() => '');
    const collector = await Collector.start();
    const routes = { '/api/*': routeTo(tokens, { upstream: closed, auth_server: tokens.origin }) };
    const proxy = await startProxy({ routes, tracing: { otlp: collector.origin } });
    await sendRequest(proxy.port, '/api/x');
    await proxy.server.drain();
    const request = collector.span('GET /api/*');
    expect(request.failed).toBe(true);
    expect(request.attributes).toMatchObject({
      'error.type': 'upstream_unreachable',
      'http.response.status_code': 502,
      'wakala.outcome': 'not_sent',
      'wakala.token': 'fetched',
    });
    const attempt = collector.span('attempt 1');
    expect(attempt.attributes['error.type']).toBe('upstream_unreachable');
    expect(attempt.attributes).not.toHaveProperty('http.response.status_code');
  });

  it('to get a token belongs to the wait, and there is no attempt', async () => {
    const { collector, proxy, ended } = await start(undefined, { auth_server: `http://127.0.0.1:${await freePort()}` });
    await sendRequest(proxy.port, '/api/x');
    await ended();
    expect(collector.names()).toEqual(['GET /api/*', 'token wait']);
    for (const span of collector.spans)
      expect([span.failed, span.attributes['error.type']]).toEqual([true, 'token_unavailable']);
  });

  it('during the response has the status that the client got', async () => {
    const { collector, proxy, ended } = await start((request) => {
      request.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      request.send(chunk(Buffer.alloc(64 * 1024, 'a')));
      request.socket.end();
      return undefined;
    });
    await expect(sendRequest(proxy.port, '/api/x')).rejects.toThrow();
    await ended();
    const { failed, attributes } = collector.span('GET /api/*');
    expect(failed).toBe(true);
    expect(attributes).toMatchObject({ 'error.type': 'upstream_reset', 'http.response.status_code': 200 });
  });

  it('is not an error of the server if the body of the client was too long, or if it disconnected', async () => {
    const { upstream, collector, proxy, ended } = await start(() => undefined, { max_body: 4 });
    expect((await sendRequest(proxy.port, '/api/x', { body: '12345' })).status).toBe(413);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const { socket } = await upstream.request();
    client.socket.destroy();
    await once(socket, 'close');
    await ended();
    const [tooLong, left] = [collector.span('POST /api/*'), collector.span('GET /api/*')];
    expect([tooLong.failed, tooLong.attributes['error.type']]).toEqual([false, 'body_too_large']);
    expect([left.failed, left.attributes['wakala.client_left']]).toEqual([false, true]);
    expect(left.attributes).not.toHaveProperty('http.response.status_code');
    expect(collector.span('attempt 1').attributes['error.type']).toBe('cancelled');
  });
});

describe('a WebSocket handshake', () => {
  it('is one trace that ends with the response', async () => {
    const lines: unknown[] = [];
    const server = createServer().on('upgrade', (req, socket) => {
      lines.push(req.headers['traceparent']);
      socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    });
    const port = await listen(server);
    const tokens = await RawUpstream.start(() => '');
    const collector = await Collector.start();
    const route = { upstream: `http://127.0.0.1:${port}`, auth_server: tokens.origin, websocket: true };
    const routes = { '/ws/*': routeTo(tokens, route) };
    const proxy = await startProxy({ routes, tracing: { otlp: collector.origin } });
    const client = await RawClient.open(proxy.port);
    const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nTraceparent: ${SAMPLED}\r\n${key}`;
    client.send(`GET /ws/feed HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\n\r\n`);
    expect((await client.nextResponse()).status).toBe(101);
    await proxy.server.drain();
    expect(collector.names()).toEqual(['GET /ws/*', 'attempt 1', 'token wait']);
    const attempt = collector.span('attempt 1');
    expect(collector.span('GET /ws/*')).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, failed: false });
    expect(attempt.attributes).toMatchObject({ 'http.response.status_code': 101, 'server.port': port });
    expect(lines).toEqual([`00-${TRACE}-${attempt.spanId}-01`]);
  });
});

describe('another `tracing`', () => {
  it('needs a restart', async () => {
    const { upstream, proxy, collector } = await start();
    const configOf = (tracing: Settings) => {
      const written = { listen: '127.0.0.1:0', admin: false, routes: { '/api/*': routeTo(upstream) }, ...tracing };
      return loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} }).config;
    };
    expect(() => proxy.server.apply(configOf({}))).toThrow('to change `tracing`, restart Wakala');
    expect(() => proxy.server.apply(configOf({ tracing: { otlp: 'http://127.0.0.1:1' } }))).toThrow('restart');
    proxy.server.apply(configOf({ tracing: { otlp: `${collector.origin}/` } }));
    expect((await sendRequest(proxy.port, '/api/x')).status).toBe(200);
    await proxy.server.drain();
    expect(collector.names()).toContain('GET /api/*');
  });
});

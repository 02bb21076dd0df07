import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { readReason } from '../../src/errors.ts';
import { freePort } from '../support/free-port.ts';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { chunk, RawUpstream, reply } from '../support/upstream-raw.ts';

const GET = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';

describe('an upstream that refuses connections', () => {
  it('results in 502 upstream_unreachable, not_sent', async () => {
    const tokens = await RawUpstream.start(() => reply(200));
    const route = {
      ...routeTo(tokens),
      upstream: `http://127.0.0.1:${await freePort()}`,
      auth_server: tokens.origin,
    };
    const proxy = await startProxy({ routes: { '/api/*': route } });
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'x' });
    expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
    expect(response.header('proxy-status')).toBe('wakala; error=destination_unavailable');
    expect(response.header('wakala-token')).toBe('fetched');
  });
});

describe('an upstream that resets the connection before the head', () => {
  it.each(['GET', 'POST'])(
    'results in 502 upstream_reset, unknown, for a %s, and gets no second request',
    async (method) => {
      const upstream = await RawUpstream.start((request) => void request.socket.resetAndDestroy());
      const proxy = await startProxyTo(upstream);
      const response = await sendRequest(proxy.port, '/api/pay', method === 'POST' ? { body: 'x' } : {});
      expectProblem(response, { status: 502, code: 'upstream_reset', outcome: 'unknown' });
      expect(response.header('proxy-status')).toBe('wakala; error=connection_terminated');
      expect(upstream.requests).toHaveLength(1);
    },
  );

  it('with a clean close has the same result', async () => {
    const upstream = await RawUpstream.start((request) => void request.socket.end());
    const proxy = await startProxyTo(upstream);
    expectProblem(await sendRequest(proxy.port, '/api/pay', { body: 'x' }), { status: 502, code: 'upstream_reset' });
    expect(upstream.requests).toHaveLength(1);
  });

  it('within the head has the same result', async () => {
    const upstream = await RawUpstream.start((request) => void request.socket.end('HTTP/1.1 200 OK\r\nconte'));
    const proxy = await startProxyTo(upstream);
    expect((await sendRequest(proxy.port, '/api/pay', { body: 'x' })).status).toBe(502);
    expect(upstream.requests).toHaveLength(1);
  });

  it('on a reused connection has the same result: a payment is not sent again on another', async () => {
    const upstream = await RawUpstream.start((request) =>
      request.target === '/warm' ? reply(200) : void request.socket.resetAndDestroy(),
    );
    const proxy = await startProxyTo(upstream);
    await sendRequest(proxy.port, '/api/warm');
    expectProblem(await sendRequest(proxy.port, '/api/pay', { body: 'x' }), { status: 502, code: 'upstream_reset' });
    expect(upstream.requests.map((request) => request.target)).toEqual(['/warm', '/pay']);
  });
});

describe('an upstream that does not respond', () => {
  it('results in 504 upstream_timeout, unknown, at the deadline', async () => {
    const upstream = await RawUpstream.start(() => {});
    const proxy = await startProxyTo(upstream, { timeout: '150ms' });
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'x' });
    expectProblem(response, { status: 504, code: 'upstream_timeout', outcome: 'unknown' });
    expect(response.header('proxy-status')).toBe('wakala; error=http_response_timeout');
    expect(upstream.requests).toHaveLength(1);
  });

  it('after a dead token has the same result', async () => {
    const upstream = await RawUpstream.start(() => (upstream.requests.length === 1 ? reply(401) : undefined));
    const proxy = await startProxyTo(upstream, { timeout: '150ms' });
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'x' });
    expectProblem(response, { status: 504, code: 'upstream_timeout', outcome: 'unknown' });
    expect(response.header('wakala-token')).toBe('replayed');
  });

  it('has its connection closed, so that a late response cannot reach another request', async () => {
    const upstream = await RawUpstream.start(() => {});
    const proxy = await startProxyTo(upstream, { timeout: '150ms' });
    const asking = sendRequest(proxy.port, '/api/slow', { body: 'x' });
    const { socket } = await upstream.request();
    const closed = once(socket, 'close');
    await Promise.all([asking, closed]);
  });
});

describe('a response that breaks off after its head', () => {
  it.each([
    ['of a known length', 'HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf'],
    ['in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
    ['in the middle of a chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf'],
  ])('%s breaks the connection of the client', async (_, bytes) => {
    const upstream = await RawUpstream.start((request) => {
      request.send(bytes);
      request.socket.end();
    });
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(GET);
    await client.ending;
    // Neither the full length nor a last chunk: no client can take this for a complete response.
    await expect(client.nextResponse()).rejects.toThrow('ended within a response');
    expect(client.received.toString('latin1')).not.toContain('0\r\n\r\n');
    await expect(sendRequest(proxy.port, '/api/x')).rejects.toThrow();
    expect(await proxy.logged('response_incomplete')).toMatchObject({ code: 'upstream_reset', outcome: 'unknown' });
  });

  it('and is small results in 502, because nothing was sent yet', async () => {
    const upstream = await RawUpstream.start((request) => {
      request.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf');
      request.socket.end();
    });
    const proxy = await startProxyTo(upstream);
    expectProblem(await sendRequest(proxy.port, '/api/x'), { status: 502, code: 'upstream_reset', outcome: 'unknown' });
  });

  it('to an HTTP/1.0 client without chunks or length ends in a reset', async () => {
    const upstream = await RawUpstream.start(async (request) => {
      request.send(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunk('half').toString()}`);
      await sentOn.promise;
      request.socket.end();
    });
    const sentOn = Promise.withResolvers<undefined>();
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/x HTTP/1.0\r\nHost: localhost\r\n\r\n');
    await client.until('half');
    sentOn.resolve(undefined);
    expect(await client.ending).toBe('broken');
  });

  it('stops coming is aborted at the deadline', async () => {
    const upstream = await RawUpstream.start(() => 'HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf');
    const proxy = await startProxyTo(upstream, { timeout: '150ms' });
    await expect(sendRaw(proxy.port, GET)).rejects.toThrow('ended within a response');
    expect(await proxy.logged('response_incomplete')).toMatchObject({ code: 'upstream_timeout' });
  });
});

describe('a response that is not valid HTTP', () => {
  const ok = 'HTTP/1.1 200 OK\r\n';

  it.each([
    ['it does not begin with HTTP/1', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['it does not begin with HTTP/1', '\x15\x03\x01\0\x02\x02F'],
    ['its status is not in the range 100 to 599', 'HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n'],
    ['its status is not in the range 100 to 599', 'HTTP/1.1 600 High\r\ncontent-length: 0\r\n\r\n'],
    ['its version is not HTTP/1.0 or HTTP/1.1', 'HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n'],
    ['its status line has a control character', 'HTTP/1.1 200 O\x01K\r\ncontent-length: 0\r\n\r\n'],
    ['it has two Content-Length lines', `${ok}content-length: 1\r\ncontent-length: 2\r\n\r\nab`],
    ['its Content-Length is not one number', `${ok}content-length: 1x\r\n\r\na`],
    ['its Content-Length is not one number', `${ok}content-length: 1, 1\r\n\r\na`],
    [
      'it has both Content-Length and Transfer-Encoding',
      `${ok}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`,
    ],
    ['it has two Transfer-Encoding lines', `${ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n`],
    ['it has a Transfer-Encoding other than chunked', `${ok}transfer-encoding: gzip, chunked\r\n\r\n`],
    ['its version is HTTP/1.0', 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['it has a line that ends without CR', 'HTTP/1.1 200 OK\ncontent-length: 0\n\n'],
    ['it has a line that ends without CR', `${ok}a: b\ncontent-length: 0\r\n\r\n`],
    ['it has a control character in a header', `${ok}a: b\x01c\r\ncontent-length: 0\r\n\r\n`],
    ['line folding', `${ok}a: b\r\n c\r\ncontent-length: 0\r\n\r\n`],
    ['it has a space in a header name', `${ok}a : b\r\ncontent-length: 0\r\n\r\n`],
    ['it has a header line without a colon', `${ok}a\r\ncontent-length: 0\r\n\r\n`],
    ['it has a header without a name', `${ok}: a\r\ncontent-length: 0\r\n\r\n`],
    ['it has a character in a header name that is not allowed', `${ok}a(b): c\r\ncontent-length: 0\r\n\r\n`],
    [
      'its head is longer than 16384 bytes, the limit set by max_response_header',
      `${ok}a: ${'b'.repeat(17_000)}\r\n\r\n`,
    ],
    ['it has a malformed chunk size', `${ok}transfer-encoding: chunked\r\n\r\nzz\r\n`],
    [
      'it switches protocols without a request to upgrade',
      'HTTP/1.1 101 OK\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
    ],
  ])('results in 502 upstream_invalid that says why, and the process keeps running: %s', async (rule, bytes) => {
    const upstream = await RawUpstream.start((request) => (request.target === '/bad' ? bytes : reply(200, 'fine')));
    const proxy = await startProxyTo(upstream);
    const response = await sendRequest(proxy.port, '/api/bad', { body: 'x' });
    expectProblem(response, { status: 502, code: 'upstream_invalid', outcome: 'unknown' });
    expect(response.json()['detail']).toContain(rule);
    expect((await proxy.logged('request_failed'))['error']).toContain(rule);
    const [route] = (await proxy.server.snapshot()).routes;
    expect(readReason(route?.failure?.reason)).toMatchObject({ kind: 'malformed_response' });
    expect((await sendRequest(proxy.port, '/api/good')).text).toBe('fine');
  });
});

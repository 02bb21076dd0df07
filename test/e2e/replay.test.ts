import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { chunk, json, RawUpstream, refusingFirstToken, reply } from '../support/upstream-raw.ts';

const LIMIT = 64;

async function start(settings: Record<string, unknown> = {}) {
  const upstream = await RawUpstream.start(refusingFirstToken(() => reply(200, 'paid')));
  const proxy = await startProxyTo(upstream, { replay_limit: LIMIT, ...settings });
  return { upstream, proxy };
}

function chunkedPost(body: Buffer): Buffer {
  const head = 'POST /api/pay HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n';
  return Buffer.concat([Buffer.from(head), chunk(body.subarray(0, 10)), chunk(body.subarray(10)), chunk('')]);
}

async function askInChunks(port: number, body: Buffer) {
  const client = await RawClient.open(port);
  client.send(chunkedPost(body));
  return client.nextResponse();
}

describe('replay_limit', () => {
  it('allows a second attempt with a body of exactly this size', async () => {
    const { upstream, proxy } = await start();
    const body = randomBytes(LIMIT);
    const response = await sendRequest(proxy.port, '/api/pay', { body });
    expect([response.status, response.header('wakala-token'), response.text]).toEqual([200, 'replayed', 'paid']);
    expect(upstream.requests.map((request) => request.body)).toEqual([body, body]);
  });

  it('streams a body that is one byte longer once, and renews the token for the next request', async () => {
    const { upstream, proxy } = await start();
    const body = randomBytes(LIMIT + 1);
    const response = await sendRequest(proxy.port, '/api/pay', { body });
    expect([response.status, response.header('wakala-token')]).toEqual([401, 'not-replayed']);
    expect(response.json()).toEqual({ error: 'dead' });
    expect(upstream.requests.map((request) => request.body)).toEqual([body]);
    const next = await sendRequest(proxy.port, '/api/pay', { body });
    expect(next.status).toBe(200);
    expect(upstream.tokens).toHaveLength(2);
    expect(upstream.requests[1]?.values('authorization')).toEqual([`Bearer ${upstream.tokens[1]!}`]);
  });

  it('applies to chunked bodies', async () => {
    const [small, large] = [randomBytes(LIMIT), randomBytes(LIMIT + 1)];
    const first = await start();
    const response = await askInChunks(first.proxy.port, small);
    expect([response.status, ...response.values('wakala-token')]).toEqual([200, 'replayed']);
    expect(first.upstream.requests.map((request) => request.body)).toEqual([small, small]);
    const second = await start();
    const refused = await askInChunks(second.proxy.port, large);
    expect([refused.status, ...refused.values('wakala-token')]).toEqual([401, 'not-replayed']);
    expect(second.upstream.requests.map((request) => request.body)).toEqual([large]);
  });

  it('sends a collected chunked body with a length, and streams a longer one in chunks', async () => {
    const { upstream, proxy } = await start();
    await askInChunks(proxy.port, randomBytes(LIMIT));
    await askInChunks(proxy.port, randomBytes(LIMIT + 1));
    const framing = upstream.requests.map((request) => [
      request.values('content-length'),
      request.values('transfer-encoding'),
    ]);
    expect(framing).toEqual([
      [['64'], []],
      [['64'], []],
      [[], ['chunked']],
    ]);
  });
});

describe('replay', () => {
  it.each([
    [false, 'POST', 'not-replayed'],
    [false, 'GET', 'not-replayed'],
    [['GET', 'PUT'], 'PUT', 'replayed'],
    [['GET', 'PUT'], 'POST', 'not-replayed'],
    [true, 'PATCH', 'replayed'],
  ])('with `replay: %j`, %s is %s', async (replay, method, use) => {
    const { upstream, proxy } = await start({ replay });
    const response = await sendRequest(proxy.port, '/api/pay', { method });
    expect(response.header('wakala-token')).toBe(use);
    expect(upstream.requests).toHaveLength(use === 'replayed' ? 2 : 1);
    const next = await sendRequest(proxy.port, '/api/pay', { method });
    expect([next.status, upstream.tokens.length]).toEqual([200, 2]);
  });
});

describe('a second attempt', () => {
  it('is equal to the first one byte for byte, except for the token', async () => {
    const { upstream, proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(
      'POST /api/pay?b=1&a=%2f&&c HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k-1\r\nX-Odd: a\r\nx-odd: b\r\n' +
        'Content-Length: 4\r\n\r\nbody',
    );
    expect((await client.nextResponse()).status).toBe(200);
    const [first, second] = upstream.requests;
    const less = (request = first) => request?.headers.filter(([name]) => name.toLowerCase() !== 'authorization');
    expect(less(second)).toEqual(less(first));
    expect(second?.start).toBe(first?.start);
    expect(second?.values('idempotency-key')).toEqual(['k-1']);
    expect([first, second].map((request) => request?.values('authorization'))).toEqual(
      upstream.tokens.map((token) => [`Bearer ${token}`]),
    );
  });

  it('has no invented Idempotency-Key', async () => {
    const { upstream, proxy } = await start();
    await sendRequest(proxy.port, '/api/pay', { body: 'x' });
    expect(upstream.received.toString('latin1').toLowerCase()).not.toContain('idempotency');
  });

  it.each([500, 502, 503, 429, 403, 409, 408])('is never made after status %i', async (status) => {
    const upstream = await RawUpstream.start(() => reply(status, 'no'));
    const proxy = await startProxyTo(upstream);
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'x' });
    expect([response.status, response.text]).toEqual([status, 'no']);
    expect(upstream.requests).toHaveLength(1);
  });

  it('is not made if the token endpoint returns the dead token again', async () => {
    const upstream = await RawUpstream.start(() => reply(401, 'dead'), { oneToken: true });
    const proxy = await startProxyTo(upstream);
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'x' });
    expect([response.status, response.text, response.header('wakala-token')]).toEqual([401, 'dead', 'not-replayed']);
    expect([upstream.requests.length, upstream.tokens.length]).toEqual([1, 2]);
  });
});

describe('a second attempt that cannot connect', () => {
  it('is not_sent, because the provider refused the first one without acting on it', async () => {
    const issuer = await RawUpstream.start(() => undefined);
    const upstream = await RawUpstream.start(() => {
      upstream.stopListening();
      return json(401, { error: 'dead' }, 'connection: close');
    });
    const proxy = await startProxyTo(upstream, { auth_server: issuer.origin });
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'body' });
    expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
    expect(response.json()['detail']).toMatch(
      /^Could not connect to .* The request was not sent\. This was the second attempt: .* status 401 .* did not act/,
    );
    expect([upstream.requests.length, issuer.tokens.length]).toEqual([1, 2]);
  });
});

describe('a body of 1 MiB', () => {
  it('is streamed unchanged', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxyTo(upstream);
    const body = randomBytes(1024 * 1024);
    expect((await sendRequest(proxy.port, '/api/upload', { body })).status).toBe(200);
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(digest(upstream.requests[0]!.body)).toBe(digest(body));
    expect(upstream.requests[0]?.values('content-length')).toEqual([String(body.length)]);
  });
});

describe('max_body', () => {
  const settings = { max_body: 100, replay_limit: 64 };

  it('is the largest accepted body, by length and in chunks', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxyTo(upstream, settings);
    expect((await sendRequest(proxy.port, '/api/x', { body: Buffer.alloc(100) })).status).toBe(200);
    expect((await askInChunks(proxy.port, Buffer.alloc(100))).status).toBe(200);
    expect(upstream.requests.map((request) => request.body.length)).toEqual([100, 100]);
  });

  it('refuses a declared length of one byte more before anything is sent', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxyTo(upstream, settings);
    const response = await sendRequest(proxy.port, '/api/x', { body: Buffer.alloc(101) });
    expect({ status: response.status, ...response.json() }).toMatchObject({
      code: 'body_too_large',
      outcome: 'not_sent',
    });
    expect(response.status).toBe(413);
    expect(upstream.received).toHaveLength(0);
  });

  it('refuses one byte more in chunks, and the provider never receives a complete request', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxyTo(upstream, settings);
    const response = await askInChunks(proxy.port, Buffer.alloc(101));
    expect(response.status).toBe(413);
    expect(response.json()['code']).toBe('body_too_large');
    expect(upstream.requests).toEqual([]);
  });
});

describe('a response to a request that was sent before its token was replaced', () => {
  it('loses the headers that contain that token', async () => {
    const refusing = refusingFirstToken(() => reply(200, 'fine'));
    const upstream = await RawUpstream.start((request) => (request.target === '/held' ? undefined : refusing(request)));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/held HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const held = await upstream.request();
    const [authorization = ''] = held.values('authorization');
    expect((await sendRequest(proxy.port, '/api/x')).status).toBe(200);
    held.send(reply(200, 'late', `x-echo: ${authorization}`, 'x-kept: 1'));
    const response = await client.nextResponse();
    expect([response.body.toString(), response.values('x-echo'), response.values('x-kept')]).toEqual([
      'late',
      [],
      ['1'],
    ]);
    expect(upstream.tokens).toHaveLength(2);
  });
});

describe('a dead token that is recognized by status alone', () => {
  const HEAD = 'HTTP/1.1 401 As Scripted\r\ncontent-length: 100\r\n\r\n';

  it('is replaced before the body has arrived', async () => {
    const upstream = await RawUpstream.start(
      refusingFirstToken(
        () => reply(200, 'paid'),
        () => Buffer.from(HEAD),
      ),
    );
    const proxy = await startProxyTo(upstream);
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'body' });
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
  });

  it('is replaced although the connection breaks meanwhile', async () => {
    const upstream = await RawUpstream.start((request) => {
      if (upstream.requests.length > 1) return reply(200, 'paid');
      upstream.delayTokensMs = 100;
      request.send(HEAD);
      setTimeout(() => request.socket.resetAndDestroy(), 20);
      return undefined;
    });
    const proxy = await startProxyTo(upstream);
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'body' });
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(upstream.requests).toHaveLength(2);
  });
});

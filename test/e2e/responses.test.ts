import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { json, RawUpstream, refusingFirstToken, reply, type Script } from '../support/upstream-raw.ts';

async function start(script: Script, settings = {}) {
  const upstream = await RawUpstream.start(script);
  return { upstream, proxy: await startProxyTo(upstream, settings) };
}

describe('a response without a body', () => {
  it.each([
    ['204 with no length', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', []],
    [
      '304 with the length of what it stands for',
      'GET',
      'HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n',
      ['7'],
    ],
    ['304 with no length', 'GET', 'HTTP/1.1 304 Not Modified\r\netag: "a"\r\n\r\n', []],
    ['HEAD with a length', 'HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n', ['70000']],
    ['HEAD with no length', 'HEAD', 'HTTP/1.1 200 OK\r\nx: y\r\n\r\n', []],
  ])('%s gets no length that the provider did not send', async (_, method, bytes, lengths) => {
    const { proxy } = await start(() => bytes);
    const client = await RawClient.open(proxy.port);
    for (let time = 0; time < 2; time++) {
      client.send(`${method} /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      const response = await client.nextResponse(method);
      expect(response.start).toBe(bytes.split('\r\n')[0]);
      expect(response.values('content-length')).toEqual(lengths);
      expect(response.values('transfer-encoding')).toEqual([]);
    }
  });

  it('HEAD with a dead token is sent again', async () => {
    const { upstream, proxy } = await start(
      refusingFirstToken(
        () => 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n',
        () => Buffer.from('HTTP/1.1 401 No\r\ncontent-length: 5\r\n\r\n'),
      ),
    );
    const response = await sendRaw(proxy.port, 'HEAD /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect([response.status, ...response.values('wakala-token')]).toEqual([200, 'replayed']);
    expect(upstream.requests.map((request) => request.method)).toEqual(['HEAD', 'HEAD']);
  });
});

describe('the head of a response', () => {
  it('keeps the order of its lines, and separate Set-Cookie lines', async () => {
    const lines = ['Set-Cookie: b=1', 'tx_id: 7', 'Set-Cookie: a=2', 'X-Case: Kept', 'set-cookie: c=3'];
    const { proxy } = await start(() => reply(200, 'x', ...lines));
    const response = await sendRaw(proxy.port, 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(response.values('set-cookie')).toEqual(['b=1', 'a=2', 'c=3']);
    const names = response.headers.map(([name]) => name);
    expect(names.filter((name) => /set-cookie|tx_id|x-case/i.test(name))).toEqual(
      lines.map((line) => line.split(':')[0]),
    );
    expect(response.start).toBe('HTTP/1.1 200 As Scripted');
  });

  it.each([301, 302, 303, 307, 308])('with status %i is relayed, and the redirect is not followed', async (status) => {
    const { upstream, proxy } = await start((request) =>
      request.target === '/x' ? reply(status, '', `location: ${upstream.origin}/elsewhere`) : reply(200, 'followed'),
    );
    const response = await sendRequest(proxy.port, '/api/x');
    const location = `http://127.0.0.1:${proxy.port}/api/elsewhere`;
    expect([response.status, response.header('location')]).toEqual([status, location]);
    expect(upstream.requests).toHaveLength(1);
  });

  it('loses every header that contains the token', async () => {
    const { upstream, proxy } = await start((request) => {
      const authorization = request.values('authorization')[0]!;
      return reply(200, 'x', `echo: ${authorization}`, `x-token: ${authorization.slice(7)}; path=/`, 'kept: yes');
    });
    const response = await sendRequest(proxy.port, '/api/x');
    expect(response.header('kept')).toBe('yes');
    expect(upstream.tokens).toHaveLength(1);
    expect(response.rawHeaders.join('\n')).not.toContain(upstream.tokens[0]);
    expect([response.header('echo'), response.header('x-token')]).toEqual([undefined, undefined]);
  });

  it('has no hop-by-hop headers and no trailers', async () => {
    const { proxy } = await start(
      () =>
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-late\r\nkeep-alive: timeout=5\r\n' +
        'connection: x-hop\r\nx-hop: 1\r\nproxy-authenticate: Basic\r\n\r\n1\r\na\r\n0\r\nx-late: 1\r\n\r\n',
    );
    const response = await sendRaw(proxy.port, 'GET /api/x HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n');
    expect(response.body.toString()).toBe('a');
    for (const name of ['trailer', 'x-hop', 'proxy-authenticate', 'x-late']) expect(response.values(name)).toEqual([]);
    expect(response.values('keep-alive')).not.toEqual(['timeout=5']);
  });

  it('cannot override wakala-token or x-request-id', async () => {
    const { proxy } = await start(() => reply(200, 'x', 'wakala-token: replayed', 'x-request-id: theirs'));
    const response = await sendRaw(proxy.port, 'GET /api/x HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n\r\n');
    expect(response.values('wakala-token')).toEqual(['fetched']);
    expect(response.values('x-request-id')).toEqual(['mine']);
    expect(response.values('x-upstream-request-id')).toEqual(['theirs']);
  });

  it('may be as long as `max_response_header`', async () => {
    const head = (bytes: number) => `HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-long: ${'x'.repeat(bytes)}\r\n\r\n`;
    const { proxy } = await start(({ target }) => head(Number(target.slice(1))), { max_response_header: '64KiB' });
    const get = (bytes: number) => sendRaw(proxy.port, `GET /api/${bytes} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    expect((await get(65_000)).status).toBe(200);
    const response = await get(65_536);
    expectProblem(response, { status: 502, code: 'upstream_invalid', outcome: 'unknown' });
    expect(String(response.body)).toContain('longer than 65536 bytes, the limit set by max_response_header');
  });
});

describe('interim responses', () => {
  it.each([100, 102, 103])('with status %i are not mistaken for the final response', async (status) => {
    const { proxy } = await start(
      () => `HTTP/1.1 ${status} Wait\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine`,
    );
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const responses = [await client.nextResponse()];
    if (responses[0]!.status < 200) responses.push(await client.nextResponse());
    expect([responses.at(-1)?.status, responses.at(-1)?.body.toString()]).toEqual([200, 'fine']);
    expect(responses.at(-1)?.values('link')).toEqual([]);
  });

  it('that were not requested do not hide the response to a payment', async () => {
    const { proxy } = await start(
      () => `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\npaid`,
    );
    const response = await sendRequest(proxy.port, '/api/pay', { body: '{"amount":1}' });
    expect([response.status, response.text]).toEqual([201, 'paid']);
  });
});

describe('a dead token in a compressed response', () => {
  const settings = { token: { ...deadTokenIn404() } };

  it('is recognized', async () => {
    const refusal = () =>
      reply(404, gzipSync(JSON.stringify({ errorCode: 'dead' })), 'content-encoding: gzip', 'content-type: a/b');
    const { proxy } = await start(
      refusingFirstToken(() => reply(200, 'fine'), refusal),
      settings,
    );
    const response = await sendRequest(proxy.port, '/api/x', { headers: { 'accept-encoding': 'gzip' } });
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
  });

  it('is not assumed in a response that is relayed unchanged', async () => {
    const body = gzipSync(JSON.stringify({ errorCode: 'other' }));
    const { upstream, proxy } = await start(() => reply(404, body, 'content-encoding: gzip'), settings);
    const response = await sendRequest(proxy.port, '/api/x');
    expect(response.body.equals(body)).toBe(true);
    expect(response.header('content-encoding')).toBe('gzip');
    expect(upstream.requests).toHaveLength(1);
  });

  it('is not searched for in a response of more than 16 KiB, which is relayed completely', async () => {
    const long = { errorCode: 'dead', padding: 'x'.repeat(20_000) };
    const { upstream, proxy } = await start(() => json(404, long), settings);
    const response = await sendRequest(proxy.port, '/api/x');
    expect([response.status, response.json()]).toEqual([404, long]);
    expect(upstream.requests).toHaveLength(1);
  });
});

/** A 404 with `errorCode: dead` in its JSON is a dead token. */
function deadTokenIn404() {
  return {
    request: { path: '/issue/token', json: { key: '{key}' } },
    response: { access_token: 'access_token', expires_in: 'expires_in' },
    dead_token: [{ status: 404, body: { errorCode: 'dead' } }],
  };
}

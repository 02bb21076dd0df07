import { describe, expect, it } from 'vitest';
import { startProxyTo } from '../support/proxy-server.ts';
import { sendRaw } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { handshake, startWebSockets } from '../support/websocket.ts';

async function start(settings: Record<string, unknown> = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const proxy = await startProxyTo(upstream, settings);
  return { upstream, proxy };
}

/** What the upstream got for this request line and these lines. */
async function sent(target: string, lines: readonly string[] = [], settings: Record<string, unknown> = {}) {
  const { upstream, proxy } = await start(settings);
  const text = [`GET ${target} HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n');
  expect((await sendRaw(proxy.port, text)).status).toBe(200);
  return { request: upstream.requests[0]!, upstream };
}

const SPELLINGS = [
  'Authorization',
  'authorization',
  'AUTHORIZATION',
  'aUTHORIZATION',
  'author_ization',
  'Authorization_',
  'authorization-',
  'a-u-t-h-o-r-i-z-a-t-i-o-n',
];

describe("the client's Authorization", () => {
  it.each(SPELLINGS)('as %s never reaches the provider, and the token does exactly once', async (name) => {
    const { request, upstream } = await sent('/api/x', [`${name}: Bearer theirs`]);
    expect(request.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]!}`]);
    expect(upstream.received.includes('theirs')).toBe(false);
  });

  it('in all spellings at once never reaches the provider', async () => {
    const { request, upstream } = await sent(
      '/api/x',
      SPELLINGS.map((name, i) => `${name}: Basic theirs${i}`),
    );
    expect(request.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]!}`]);
    expect(upstream.received.includes('theirs')).toBe(false);
  });

  it.each(['authorization', 'Authorization, x', 'via'])(
    'cannot remove the token with Connection: %s',
    async (value) => {
      const { request, upstream } = await sent('/api/x', [`Connection: ${value}`]);
      expect(request.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]!}`]);
      expect(request.values('via')).toEqual([expect.stringMatching(/^1\.1 wakala-[0-9a-f]{8}$/)]);
    },
  );
});

describe('the target', () => {
  it.each([
    ['/api', '/'],
    ['/api/', '/'],
    ['/api?', '/?'],
    ['/api?a=b', '/?a=b'],
    ['/api/x?', '/x?'],
    ['/api/x?b=1&a=%2F&&=&c', '/x?b=1&a=%2F&&=&c'],
    ['/api/x?q=a+b%20c%E9%ff', '/x?q=a+b%20c%E9%ff'],
    ['/api/x?../..//%2e%2e', '/x?../..//%2e%2e'],
    ['/api/x?a[]={"b":1}|^`', '/x?a[]={"b":1}|^`'],
    ['/api/%6D%70/a%2Fb;v=1/~', '/%6D%70/a%2Fb;v=1/~'],
    ["/api/!$&'()*+,=:@", "/!$&'()*+,=:@"],
    ['/api/api/api', '/api/api'],
    ['http://localhost/api/x?y', '/x?y'],
  ])('%s is sent as %s, byte for byte', async (target, expected) => {
    expect((await sent(target)).request.target).toBe(expected);
  });

  it('starts with the path of the upstream URL', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo({ origin: `${upstream.origin}/base/v1` }, { auth_server: upstream.origin });
    await sendRaw(proxy.port, 'GET /api/x?y HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await sendRaw(proxy.port, 'GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(upstream.requests.map((request) => request.target)).toEqual(['/base/v1/x?y', '/base/v1']);
  });

  it.each([
    '/api/../x',
    '/api/%2e%2e/x',
    '/api/..%2fx',
    '/api/%2e%5cx',
    '/api/x\\y',
    '/api/x%00',
    '/api/%zz',
    '/api//x',
    '/api/x#y',
    '*',
    'http://elsewhere.example/api/x',
  ])('%s gets a 400 before anything is sent', async (target) => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    expect([response.status, response.json()['code'], response.json()['outcome']]).toEqual([
      400,
      'bad_request_target',
      'not_sent',
    ]);
    expect(upstream.received).toHaveLength(0);
  });
});

describe('the headers of a request', () => {
  it('keep their order and case, without hop-by-hop ones, plus Via, token and the upstream as Host', async () => {
    const { request, upstream } = await sent('/api/x', [
      'B: 1',
      'Keep-Alive: timeout=5',
      'tx_id: 2',
      'a: 3',
      'b: 4',
      'TE: trailers',
      'Proxy-Authorization: Basic theirs',
      'X-Hop: 5',
      'Connection: keep-alive, x-hop',
      'X-Forwarded-For: 10.0.0.1',
      'X-Forwarded-Proto: https',
      'Forwarded: for=10.0.0.1',
      'Idempotency-Key: k-1',
      'Via: 1.0 edge',
    ]);
    const theirs = request.headers.filter(([name]) => !['host', 'connection'].includes(name.toLowerCase()));
    expect(theirs).toEqual([
      ['B', '1'],
      ['tx_id', '2'],
      ['a', '3'],
      ['b', '4'],
      ['Idempotency-Key', 'k-1'],
      ['via', expect.stringMatching(/^1\.0 edge, 1\.1 wakala-[0-9a-f]{8}$/)],
      ['authorization', `Bearer ${upstream.tokens[0]!}`],
    ]);
    expect(request.values('host')).toEqual([`127.0.0.1:${upstream.port}`]);
  });

  it('of a route replace those of the client', async () => {
    const { request } = await sent('/api/x', ['X-Mode: theirs', 'x-mode: too'], { headers: { 'X-Mode': 'ours' } });
    expect(request.values('x-mode')).toEqual(['ours']);
  });

  it('have `host_header` in place of the host of the upstream, also in a WebSocket handshake', async () => {
    const { request } = await sent('/api/pay', [], { host_header: 'api.bank.example' });
    expect(request.values('host')).toEqual(['api.bank.example']);
    const { client, handshakes } = await startWebSockets(undefined, { host_header: 'api.bank.example:8443' });
    client.send(handshake('/ws/live'));
    await client.nextResponse();
    expect(handshakes[0]!.headers.host).toBe('api.bank.example:8443');
  });

  it('that would remove the framing are refused', async () => {
    const { upstream, proxy } = await start();
    const head = 'POST /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\na';
    expect((await sendRaw(proxy.port, head)).status).toBe(400);
    expect(upstream.requests).toEqual([]);
  });
});

describe('the body of a request', () => {
  it.each(['DELETE', 'OPTIONS', 'PATCH', 'GET', 'PURGE'])('in chunks is sent with %s', async (method) => {
    const { upstream, proxy } = await start();
    const head = `${method} /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const response = await sendRaw(proxy.port, `${head}4\r\nbody\r\n0\r\nX-Trailer: 1\r\n\r\n`);
    expect(response.status).toBe(200);
    const [request] = upstream.requests;
    expect([request?.method, request?.body.toString()]).toEqual([method, 'body']);
    expect([request?.values('content-length'), request?.values('transfer-encoding')]).toEqual([['4'], []]);
    expect(upstream.received.toString()).not.toContain('X-Trailer');
  });

  it('that is missing has no framing on a GET, and length 0 on a POST', async () => {
    const { upstream, proxy } = await start();
    await sendRaw(proxy.port, 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await sendRaw(proxy.port, 'POST /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await sendRaw(proxy.port, 'POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n');
    const lengths = upstream.requests.map((request) => request.values('content-length'));
    expect(lengths).toEqual([[], ['0'], ['0']]);
  });
});

import { describe, expect, it } from 'vitest';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

async function start() {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  return { upstream, proxy: await startProxyTo(upstream) };
}

const HOST = 'Host: localhost\r\n';
const SMUGGLED = 'GET /api/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';

describe('a request with invalid framing', () => {
  it.each([
    ['two lengths', `POST /api/x HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
    ['the same length twice', `POST /api/x HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`],
    ['a list of lengths', `POST /api/x HTTP/1.1\r\n${HOST}Content-Length: 1, 1\r\n\r\na`],
    ['a signed length', `POST /api/x HTTP/1.1\r\n${HOST}Content-Length: +1\r\n\r\na`],
    ['a hexadecimal length', `POST /api/x HTTP/1.1\r\n${HOST}Content-Length: 0x1\r\n\r\na`],
    [
      'a length beside chunks',
      `POST /api/x HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['a coding before chunked', `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['an empty coding', `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n`],
    ['chunked twice', `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`],
    [
      'two lines of codings',
      `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['an unknown coding', `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['identity', `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: identity\r\n\r\n`],
    ['chunks on HTTP/1.0', `POST /api/x HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['a folded header', `GET /api/x HTTP/1.1\r\n${HOST}A: b\r\n c\r\n\r\n`],
    ['a space before the colon', `GET /api/x HTTP/1.1\r\n${HOST}A : b\r\n\r\n`],
    ['bare line feeds', `GET /api/x HTTP/1.1\nHost: localhost\n\n`],
    ['a NUL in a header', `GET /api/x HTTP/1.1\r\n${HOST}A: b\0c\r\n\r\n`],
    ['no Host', 'GET /api/x HTTP/1.1\r\n\r\n'],
    ['two Hosts', `GET /api/x HTTP/1.1\r\n${HOST}${HOST}\r\n`],
    ['another Host behind', `GET /api/x HTTP/1.1\r\n${HOST}Host: evil.example\r\n\r\n`],
    ['a Host with a path', 'GET /api/x HTTP/1.1\r\nHost: localhost/x\r\n\r\n'],
    ['no version', 'GET /api/x\r\n\r\n'],
  ])('gets a 400, and nothing is sent: %s', async (_, bytes) => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(proxy.port, bytes);
    expect([response.status, response.json()['outcome']]).toEqual([400, 'not_sent']);
    expect(response.values('content-type')).toEqual(['application/problem+json']);
    expect(response.values('x-request-id')).toHaveLength(1);
    expect(upstream.requests).toEqual([]);
  });

  it('in its first chunk sends nothing', async () => {
    const { upstream, proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(`POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n${SMUGGLED}`);
    await client.ending;
    expect(client.received.toString()).not.toContain('200');
    expect(upstream.requests).toEqual([]);
  });

  it('cannot smuggle a second request', async () => {
    const { upstream, proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(`POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`);
    expect((await client.nextResponse()).status).toBe(400);
    client.socket.end();
    await client.ending;
    expect(upstream.received.toString()).not.toContain('gzip');
  });
});

describe('a request with unusual but valid framing', () => {
  it.each([
    ['Chunked in capitals', `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n`],
    ['a chunk extension', `POST /api/x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n`],
    ['HTTP/1.0 with a length', `POST /api/x HTTP/1.0\r\n${HOST}Content-Length: 1\r\n\r\na`],
    ['leading zeros in a length', `POST /api/x HTTP/1.1\r\n${HOST}Content-Length: 0001\r\n\r\na`],
  ])('is forwarded: %s', async (_, bytes) => {
    const { upstream, proxy } = await start();
    expect((await sendRaw(proxy.port, bytes)).status).toBe(200);
    expect(upstream.requests.map((request) => [request.body.toString(), request.values('content-length')])).toEqual([
      ['a', ['1']],
    ]);
  });

  it('can share a connection with others, sequentially or pipelined', async () => {
    const { upstream, proxy } = await start();
    const client = await RawClient.open(proxy.port);
    const request = (i: number) => `POST /api/${i} HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\n${i}`;
    client.send([1, 2, 3].map(request).join(''));
    for (let i = 0; i < 3; i++) expect((await client.nextResponse()).body.toString()).toBe('fine');
    client.send(request(4));
    expect((await client.nextResponse()).status).toBe(200);
    expect(upstream.requests.map((each) => each.body.toString()).sort()).toEqual(['1', '2', '3', '4']);
  });
});

describe('a header block', () => {
  it.each([
    [15 * 1024, 200],
    [17 * 1024, 431],
  ])('of %i bytes gets a %i', async (size, status) => {
    const { proxy } = await start();
    const lines = Array.from({ length: 15 }, (_, i) => `a${i}: ${'b'.repeat(Math.floor(size / 15) - 10)}\r\n`).join('');
    expect((await sendRaw(proxy.port, `GET /api/x HTTP/1.1\r\n${HOST}${lines}\r\n`)).status).toBe(status);
  });
});

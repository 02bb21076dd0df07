import { describe, expect, it, onTestFinished } from 'vitest';
import { expectProblem } from '../support/proxy-client.ts';
import { routeTo, startProxyTo } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { connectTls, makePki, startTlsProxy, tlsFiles } from './access/support.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

async function start() {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  return { upstream, proxy: await startProxyTo(upstream) };
}

const pki = makePki();

async function startTls() {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  return { upstream, proxy: await startTlsProxy({ routes: { '/api/*': routeTo(upstream) } }, tlsFiles(pki)) };
}

describe('a port for plain HTTP', () => {
  it.each([
    ['HTTP/2 with prior knowledge', 'http2', PREFACE, 'Wakala speaks HTTP/1.1'],
    ['HTTP/2 with prior knowledge and frames', 'http2', `${PREFACE}\0\0\0\x04\0\0\0\0\0`, 'Wakala speaks HTTP/1.1'],
    ['the PROXY protocol', 'proxy_protocol', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n', 'PROXY protocol'],
    ['the PROXY protocol, version 2', 'proxy_protocol', '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c', 'PROXY protocol'],
  ])('tells a client that sends %s which protocol to use, and logs it', async (_, protocol, bytes, text) => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(proxy.port, bytes);
    expectProblem(response, { status: 400, code: 'bad_request', outcome: 'not_sent' });
    expect(response.json()['detail']).toContain(text);
    expect(await proxy.logged('protocol_mismatch')).toMatchObject({ level: 'info', protocol });
    expect(upstream.requests).toHaveLength(0);
  });

  it('logs a client that speaks TLS, which cannot read the response', async () => {
    const { proxy } = await start();
    await expect(connectTls(proxy.port, {})).rejects.toThrow();
    expect(await proxy.logged('protocol_mismatch')).toMatchObject({
      protocol: 'tls',
      error: expect.stringContaining('http://') as string,
    });
  });

  it.each([
    ['a byte that is not ASCII', 'GET /api/\xe9 HTTP/1.1\r\n', 'percent-encoded'],
    [
      'two Content-Length lines',
      'POST /api HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n',
      'Duplicate Content-Length',
    ],
    ['an unknown method', 'FOO /api HTTP/1.1\r\n', 'Invalid method'],
  ])('names what is wrong with a request with %s', async (_, bytes, text) => {
    const { proxy } = await start();
    const response = await sendRaw(proxy.port, `${bytes}Host: localhost\r\n\r\n`);
    expectProblem(response, { status: 400, code: 'bad_request', outcome: 'not_sent' });
    expect(response.json()['detail']).toContain(text);
  });

  it('finishes an earlier request before it closes the connection of a client that changes the protocol', async () => {
    const { proxy } = await start();
    const client = await RawClient.open(proxy.port);
    client.send(`GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n${PREFACE}`);
    expect((await client.nextResponse()).status).toBe(200);
    expect(await client.ending).toBe('clean');
  });
});

describe('a port for TLS', () => {
  it.each(['GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n', 'POST /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n'])(
    'tells a client that speaks plain HTTP to use https, and logs it: %j',
    async (request) => {
      const { upstream, proxy } = await startTls();
      const response = await sendRaw(proxy.port, request);
      expectProblem(response, { status: 400, code: 'bad_request', outcome: 'not_sent' });
      expect(response.json()['detail']).toContain('https://');
      expect(proxy.log.join('')).toContain('"event":"protocol_mismatch"');
      expect(upstream.received).toHaveLength(0);
    },
  );

  it('offers HTTP/1.1 alone in ALPN, and logs a client that speaks only HTTP/2', async () => {
    const { proxy } = await startTls();
    const both = await connectTls(proxy.port, { ca: pki.ca.cert, ALPNProtocols: ['h2', 'http/1.1'] });
    onTestFinished(() => void both.destroy());
    expect(both.alpnProtocol).toBe('http/1.1');
    await expect(connectTls(proxy.port, { ca: pki.ca.cert, ALPNProtocols: ['h2'] })).rejects.toThrow('alert');
    await expect.poll(() => proxy.log.join('')).toContain('"protocol":"http2"');
  });
});

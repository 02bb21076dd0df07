import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { connect } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { RawUpstream, refusingFirstToken, reply } from '../support/upstream-raw.ts';
import { makePki, startTlsProxy, tlsFiles } from './access/support.ts';

const GET = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';
const POST = 'POST /api/pay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody';

/** The response after the interim one with which the proxy checks whether the client is connected. */
async function finalResponse(client: RawClient): Promise<RawResponse> {
  for (;;) {
    const response = await client.nextResponse();
    if (response.status !== 100) return response;
  }
}

describe('a client that closes its sending side after its request', () => {
  it.each([
    ['a GET', GET],
    ['a POST', POST],
  ])('gets the response to %s, and its connection closes cleanly', async (_, request) => {
    const upstream = await RawUpstream.start(() => {});
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(request);
    client.socket.end();
    const { send, socket } = await upstream.request();
    // The proxy has seen the FIN long before this.
    await RawClient.open(proxy.port);
    expect(socket.destroyed).toBe(false);
    send(reply(200, 'paid'));
    expect((await finalResponse(client)).body.toString()).toBe('paid');
    expect(await client.ending).toBe('clean');
  });

  it('gets it while a token is fetched, and after a second attempt', async () => {
    const upstream = await RawUpstream.start(refusingFirstToken(() => reply(200, 'paid')));
    upstream.delayTokensMs = 50;
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(POST);
    client.socket.end();
    const response = await finalResponse(client);
    expect(response.body.toString()).toBe('paid');
    expect(response.values('wakala-token')).toEqual(['replayed']);
  });

  it('gets all responses to pipelined requests', async () => {
    const upstream = await RawUpstream.start(({ target }) => reply(200, target));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(GET + GET.replace('/x', '/y') + GET.replace('/x', '/z'));
    client.socket.end();
    for (const target of ['/x', '/y', '/z']) expect((await finalResponse(client)).body.toString()).toBe(target);
    expect(await client.ending).toBe('clean');
  });

  it('gets a long body completely', async () => {
    const body = Buffer.alloc(3 * 1024 * 1024, 'x');
    const upstream = await RawUpstream.start(() => reply(200, body));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(GET);
    client.socket.end();
    expect((await finalResponse(client)).body.equals(body)).toBe(true);
  });

  it('gets no interim response to an HTTP/1.0 request', async () => {
    const upstream = await RawUpstream.start(() => {});
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(GET.replace('HTTP/1.1', 'HTTP/1.0'));
    client.socket.end();
    const { send } = await upstream.request();
    setTimeout(() => send(reply(200, 'paid')), 300);
    expect((await client.nextResponse()).body.toString()).toBe('paid');
  });

  it('gets only one interim response, however long it waits', async () => {
    const upstream = await RawUpstream.start(() => {});
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(POST);
    client.socket.end();
    const { send } = await upstream.request();
    setTimeout(() => send(reply(200, 'paid')), 700);
    await client.ending;
    expect(client.received.toString()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 .*paid$/s);
  });

  it('gets the response to a request that is followed by an incomplete one or by CONNECT', async () => {
    for (const next of [POST.slice(0, -1), 'CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n']) {
      const upstream = await RawUpstream.start(() => {});
      const proxy = await startProxyTo(upstream);
      const client = await RawClient.open(proxy.port);
      client.send(POST + next);
      client.socket.end();
      const { send } = await upstream.request();
      setTimeout(() => send(reply(200, 'paid')), 100);
      expect((await finalResponse(client)).body.toString()).toBe('paid');
      expect(upstream.requests).toHaveLength(1);
    }
  });

  it('gets a problem response if its body is incomplete', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(POST.slice(0, -1));
    client.socket.end();
    const response = await client.nextResponse();
    expect([response.status, response.json()['outcome']]).toEqual([400, 'not_sent']);
    expect(await proxy.logged('request_failed')).toMatchObject({ code: 'bad_request', outcome: 'not_sent' });
    expect(upstream.requests).toHaveLength(0);
  });

  it('gets the response over TLS', async () => {
    const upstream = await RawUpstream.start(() => {});
    const { port } = await startTlsProxy({ routes: { '/api/*': routeTo(upstream) } }, tlsFiles(makePki()));
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    onTestFinished(() => void socket.destroy());
    await once(socket, 'secureConnect');
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    socket.write(POST);
    socket.end();
    const { send } = await upstream.request();
    setTimeout(() => send(reply(200, 'paid')), 50);
    await once(socket, 'end');
    expect(Buffer.concat(received).toString()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 .*paid$/s);
  });

  it('has its request ended at the deadline, and its connection closed', async () => {
    const upstream = await RawUpstream.start(() => {});
    const proxy = await startProxyTo(upstream, { timeout: '200ms' });
    const client = await RawClient.open(proxy.port);
    client.send(GET);
    client.socket.end();
    expect(await finalResponse(client)).toMatchObject({ status: 504 });
    expect(await client.ending).toBe('clean');
  });
});

describe('a client that closes its sending side and then resets the connection', () => {
  it.each([
    ['plain', false],
    ['TLS', true],
  ])('has its request ended before the deadline on a %s listener', async (_, isTls) => {
    const upstream = await RawUpstream.start(() => {});
    const routes = { '/api/*': routeTo(upstream, { timeout: '60s' }) };
    const proxy = await (isTls ? startTlsProxy({ routes }, tlsFiles(makePki())) : startProxy({ routes }));
    const raw = connectTcp(proxy.port, '127.0.0.1').on('error', () => {});
    onTestFinished(() => void raw.destroy());
    const client = isTls ? connect({ socket: raw, rejectUnauthorized: false }).on('error', () => {}) : raw;
    await once(client, isTls ? 'secureConnect' : 'connect');
    client.write(GET);
    client.end();
    const { socket } = await upstream.request();
    const closed = once(socket, 'close');
    // The proxy has read the FIN by then, and reads no more.
    await RawClient.open(proxy.port);
    raw.resetAndDestroy();
    await closed;
    await expect.poll(async () => (await proxy.server.snapshot()).routes[0]?.inFlight).toBe(0);
  });
});

describe('a client that does not read its responses', () => {
  it('is reset after a deadline without progress, and uses no resources from then on', async () => {
    const upstream = await RawUpstream.start(() => reply(200, Buffer.alloc(15_000, 'x')));
    const proxy = await startProxyTo(upstream, { timeout: '300ms' });
    const client = await RawClient.open(proxy.port);
    client.socket.pause();
    const stalled = proxy.logged('response_not_read');
    let isOver = false;
    void stalled.then(() => (isOver = true));
    // Until the buffers of both kernels are full: at most 150 MB.
    for (let sent = 1; sent < 10_000 && !isOver; sent += 1) {
      client.send(GET);
      await Promise.race([upstream.request(sent), stalled]);
    }
    await stalled;
    client.socket.resume();
    expect(await client.ending).toBe('broken');
    await expect.poll(async () => (await proxy.server.snapshot()).routes[0]?.inFlight).toBe(0);
  });
});

describe('a client that reads slowly', () => {
  const LONG = Buffer.alloc(30 * 1024 * 1024, 'x');

  it('gets all of a long response, even if that takes several times the deadline', async () => {
    const upstream = await RawUpstream.start(() => reply(200, LONG));
    const proxy = await startProxyTo(upstream, { timeout: '1500ms' });
    const client = await RawClient.open(proxy.port);
    let bytes = 0;
    client.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      client.socket.pause();
      setTimeout(() => client.socket.resume(), 10);
    });
    client.send(GET);
    await expect.poll(() => bytes, { timeout: 60_000 }).toBeGreaterThan(LONG.length);
  }, 90_000);

  it('is reset if it reads nothing for that long, and the provider is not blamed', async () => {
    const upstream = await RawUpstream.start(() => reply(200, LONG));
    const proxy = await startProxyTo(upstream, { timeout: '300ms' });
    const client = await RawClient.open(proxy.port);
    client.socket.pause();
    client.send(GET);
    await proxy.logged('response_not_read');
    await expect.poll(async () => (await proxy.server.snapshot()).routes[0]?.inFlight).toBe(0);
    expect(proxy.logText()).not.toContain('upstream_timeout');
  });
});

import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { sampleBody } from '../../src/providers/provider.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { startProxyTo, startProxyToEmulator } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, refusingFirstToken, reply } from '../support/upstream-raw.ts';

const POST = 'POST /api/pay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody';

async function start(settings: Record<string, unknown> = {}) {
  const upstream = await RawUpstream.start((request) => (request.target === '/fine' ? reply(200, 'fine') : undefined));
  const proxy = await startProxyTo(upstream, settings);
  return { upstream, proxy, client: await RawClient.open(proxy.port) };
}

/** How a client leaves: with a FIN, or with a reset. */
const WAYS = ['destroy', 'resetAndDestroy'] as const;

describe.each(WAYS)('a client that disconnects before the response (%s)', (leave) => {
  it.each(['GET', 'OPTIONS'])('has its %s aborted at the provider', async (method) => {
    const { upstream, proxy, client } = await start();
    client.send(`${method} /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const { socket } = await upstream.request();
    const closed = once(socket, 'close');
    client.socket[leave]();
    await closed;
    expect((await sendRequest(proxy.port, '/api/fine')).text).toBe('fine');
  });

  it('has its fully sent POST finished and logged', async () => {
    const { upstream, proxy, client } = await start();
    client.send(POST);
    const request = await upstream.request();
    client.socket[leave]();
    // The proxy has noticed the disconnect once it responds to another client on a new connection.
    expect((await sendRequest(proxy.port, '/api/fine')).text).toBe('fine');
    expect(request.socket.destroyed).toBe(false);
    request.send(reply(200, 'paid'));
    expect(await proxy.logged('client_disconnected')).toMatchObject({
      method: 'POST',
      path: '/pay',
      status: 200,
    });
  });

  it('has its POST aborted at the deadline', async () => {
    const { upstream, proxy, client } = await start({ timeout: '300ms' });
    client.send(POST);
    const { socket } = await upstream.request();
    const closed = once(socket, 'close');
    client.socket[leave]();
    await closed;
    expect(await proxy.logged('request_failed')).toMatchObject({ code: 'upstream_timeout', outcome: 'unknown' });
  });
});

describe('a client that is known to be gone', () => {
  it('has no second attempt after a dead token, but the token is renewed', async () => {
    const hold = Promise.withResolvers<undefined>();
    const dead = refusingFirstToken(() => reply(200, 'fine'));
    const upstream = await RawUpstream.start(async (request) => {
      if (upstream.requests.length === 1) await hold.promise;
      return dead(request);
    });
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send(POST);
    await upstream.request();
    client.socket.resetAndDestroy();
    await once(client.socket, 'close');
    await sendRequest(proxy.port, '/nowhere');
    hold.resolve(undefined);
    await proxy.logged('client_disconnected');
    const next = await sendRequest(proxy.port, '/api/pay', { body: 'next' });
    expect(next.status).toBe(200);
    expect(upstream.requests.map((request) => request.body.toString())).toEqual(['body', 'next']);
    expect(upstream.tokens).toHaveLength(2);
  });
});

describe.each(WAYS)('a client that disconnects in the middle (%s)', (leave) => {
  it.each([
    ['with a length', 'Content-Length: 100\r\n\r\nnot all'],
    ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n7\r\nnot all\r\n'],
  ])('of its request body %s never makes a complete request', async (_, lines) => {
    const upstream = await RawUpstream.start(() => {}, { respondsAt: 'head' });
    const proxy = await startProxyTo(upstream, { replay_limit: 4 });
    const client = await RawClient.open(proxy.port);
    client.send(`POST /api/pay HTTP/1.1\r\nHost: localhost\r\n${lines}`);
    const { socket } = await upstream.request();
    await upstream.until('not all');
    const closed = once(socket, 'close');
    client.socket[leave]();
    await closed;
    expect(upstream.received.toString().trimEnd()).toMatch(/not all$/);
  });

  it('of a response aborts the upstream request', async () => {
    const upstream = await RawUpstream.start(({ socket }) => {
      // A FIN does not close the client's reading side. The next write shows whether it is closed.
      const more = setInterval(() => socket.write('3\r\nabc\r\n'), 20);
      socket.once('close', () => clearInterval(more));
      return 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n';
    });
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await client.until('abc');
    const { socket } = await upstream.request();
    const closed = once(socket, 'close');
    client.socket[leave]();
    await closed;
  });
});

describe.each(WAYS)('a client that disconnects while its token is fetched (%s)', (leave) => {
  it('does not abort the exchange: the next request has the token', async () => {
    const { emulator, proxy } = await startProxyToEmulator('mpesa');
    const { samples } = emulator.provider;
    const [path, json] = [samples.call.path, sampleBody({ samples })];
    emulator.control({ token_delay_ms: 300 });
    const client = await RawClient.open(proxy.port);
    client.send('GET /mpesa/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
    while (emulator.stats().token_requests === 0) await sendRequest(proxy.port, '/nowhere');
    client.socket[leave]();
    const response = await sendRequest(proxy.port, `/mpesa${path}`, { body: JSON.stringify(json) });
    expect(response.status).toBe(200);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 1 });
  });
});

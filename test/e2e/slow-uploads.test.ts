import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { listen } from '../support/listen.ts';
import { expectProblem } from '../support/proxy-client.ts';
import { type Settings, startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const proxy = await startProxyTo(upstream, { timeout: '400ms', replay_limit: '1KiB', ...settings });
  return { upstream, proxy, client: await RawClient.open(proxy.port) };
}

function head(line: string): string {
  return `POST /api/upload HTTP/1.1\r\nHost: localhost\r\n${line}\r\n\r\n`;
}

describe('an upload that is still arriving at the end of `timeout`', () => {
  it.each([
    ['with a length', head('Content-Length: 200000') + 'x'.repeat(5000)],
    ['in chunks', `${head('Transfer-Encoding: chunked')}1388\r\n${'x'.repeat(5000)}\r\n`],
  ])('%s, gets a 504 that says so, and the provider is not blamed', async (_, bytes) => {
    const { upstream, proxy, client } = await start();
    client.send(bytes);
    await upstream.until('xxx');
    const response = await client.nextResponse();
    expectProblem(response, { status: 504, code: 'upstream_timeout', outcome: 'unknown' });
    expect(response.json()['detail']).toMatch(
      /still arriving from the client after 0\.4 s, the `timeout` .*Raise `timeout`/,
    );
    const line = await proxy.logged('request_failed');
    expect(line).toMatchObject({ level: 'warn', code: 'upstream_timeout', outcome: 'unknown' });
    expect(line['error']).toContain('still arriving from the client');
    expect(line['hint']).toContain('Raise `timeout`');
    const [route] = (await proxy.server.snapshot()).routes;
    expect(route).toMatchObject({ failure: undefined, counts: { errors: { upstream_timeout: 1 } } });
  });

  it('gets a 408 if it is held for a second attempt and nothing was sent', async () => {
    const { upstream, proxy, client } = await start({ replay_limit: '64KiB' });
    client.send(head('Content-Length: 20000') + 'x'.repeat(5000));
    const response = await client.nextResponse();
    expectProblem(response, { status: 408, code: 'request_timeout', outcome: 'not_sent' });
    expect(response.json()['detail']).toContain('within 0.4 s, the `timeout` of the route');
    expect(upstream.requests).toHaveLength(0);
    expect((await proxy.server.snapshot()).routes[0]?.failure).toBeUndefined();
  });
});

it('a provider that does not read an upload is blamed for the timeout', async () => {
  const tokens = await RawUpstream.start(() => reply(200));
  const port = await listen(createServer({ pauseOnConnect: true }, (socket) => socket.on('error', () => undefined)));
  const origin = `http://127.0.0.1:${port}`;
  const settings = { auth_server: tokens.origin, timeout: '1s', replay_limit: '1KiB', max_body: '64MiB' };
  const proxy = await startProxyTo({ origin }, settings);
  const client = await RawClient.open(proxy.port);
  const body = Buffer.alloc(32 * 1024 * 1024);
  client.send(head(`Content-Length: ${body.length}`));
  client.send(body);
  const response = await client.nextResponse();
  expectProblem(response, { status: 504, code: 'upstream_timeout', outcome: 'unknown' });
  expect(response.json()['detail']).toContain('was not sent completely');
  expect((await proxy.server.snapshot()).routes[0]?.failure).toMatchObject({ reason: { phase: 'send' } });
});

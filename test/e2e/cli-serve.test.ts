import { describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo, type Settings } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const LISTENING = /"event":"ready","listen":"127\.0\.0\.1:(\d+)"/;

async function serve(upstream: RawUpstream, settings: Settings = {}) {
  const adminPort = await freePort();
  const admin = `127.0.0.1:${adminPort}`;
  const config = configFile({ listen: '127.0.0.1:0', admin, routes: { '/api/*': routeTo(upstream) }, ...settings });
  const cli = new CliProcess(['serve', '-c', config]);
  const [, port] = await cli.until(LISTENING);
  return { cli, config, adminPort, port: Number(port) };
}

describe('wakala serve', { timeout: 60_000 }, () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'finishes requests in flight on %s, is not ready meanwhile, and exits 0',
    async (signal) => {
      const upstream = await RawUpstream.start((request) =>
        request.target === '/held' ? undefined : reply(200, 'fine'),
      );
      const { cli, adminPort, port } = await serve(upstream);
      expect((await sendRequest(adminPort, '/readyz')).status).toBe(200);
      const client = await RawClient.open(port);
      client.send('POST /api/held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\npay');
      const held = await upstream.request();
      cli.signal(signal);
      await cli.until(/"event":"draining"/);
      expect((await sendRequest(adminPort, '/readyz')).status).toBe(503);
      expect((await sendRequest(adminPort, '/livez')).status).toBe(200);
      held.send(reply(200, 'paid'));
      const response = await client.nextResponse();
      expect([response.status, response.body.toString(), ...response.values('connection')]).toEqual([
        200,
        'paid',
        'close',
      ]);
      expect(await cli.exited).toBe(0);
      expect(cli.stderr).toContain('"event":"stopped"');
    },
  );

  it('serves requests on an open connection while it drains, and closes it', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const { cli, port } = await serve(upstream);
    const client = await RawClient.open(port);
    const request = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';
    client.send(request);
    expect((await client.nextResponse()).values('connection')).toEqual(['keep-alive']);
    cli.signal('SIGTERM');
    await cli.until(/"event":"draining"/);
    client.send(request);
    const last = await client.nextResponse();
    expect([last.status, ...last.values('connection')]).toEqual([200, 'close']);
    expect(await client.ending).toBe('clean');
    expect(await cli.exited).toBe(0);
  });

  it('does not wait for a connection without a request', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const { cli, port } = await serve(upstream);
    const silent = await RawClient.open(port);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    await silent.ending;
    expect(cli.stderr).toContain('"clean":true');
  });

  it('aborts requests after drain_timeout, and exits 1', async () => {
    const upstream = await RawUpstream.start(() => {});
    const { cli, port } = await serve(upstream, { drain_timeout: '300ms' });
    const client = await RawClient.open(port);
    client.send('GET /api/held HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await upstream.request();
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(1);
    await client.ending;
    expect(client.received.toString()).not.toContain('200');
  });
});

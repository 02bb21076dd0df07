import { describe, expect, it } from 'vitest';
import { expectProblem } from '../../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../../support/proxy-server.ts';
import { sendRaw } from '../../support/raw-client.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream) }, ...settings });
  const call = (...lines: string[]) => sendRaw(proxy.port, ['GET /api/x HTTP/1.1', ...lines, '', ''].join('\r\n'));
  return { upstream, proxy, call };
}

describe('a proxy on a loopback address', () => {
  it('serves every name of this machine, with any port', async () => {
    const { call } = await start();
    const hosts = ['localhost', 'localhost:8080', 'LocalHost:1', 'x.localhost', '127.0.0.1', '127.1.2.3:9', '[::1]:80'];
    const responses = await Promise.all(hosts.map((host) => call(`Host: ${host}`)));
    expect(responses.map(({ status }) => status)).toEqual(hosts.map(() => 200));
  });

  it('refuses every other name before it requests a token, so that DNS rebinding fails', async () => {
    const { upstream, call } = await start();
    const hosts = [
      'localhost.evil.com',
      'localhost.evil.com:8080',
      'notlocalhost',
      '127.0.0.1.evil.com',
      '127.0.0.1.nip.io:8080',
      '192.168.1.10:8080',
      '0.0.0.0:8080',
      '[::]:8080',
      '[fe80::1]:8080',
      '[::1].evil.com',
      'evil.com:127.0.0.1',
      '',
    ];
    for (const host of hosts) {
      expectProblem(await call(`Host: ${host}`), { status: 403, code: 'host_refused', outcome: 'not_sent' });
    }
    expect(upstream.received).toHaveLength(0);
  });

  it('serves the names in allowed_hosts, but not their parent or child names', async () => {
    const { call } = await start({ allowed_hosts: ['wakala.internal', 'proxy.test:8443'] });
    const statuses = await Promise.all(
      [
        'wakala.internal',
        'WAKALA.INTERNAL:1',
        'proxy.test:8443',
        'proxy.test',
        'proxy.test:1',
        'internal',
        'a.wakala.internal',
      ].map(async (host) => (await call(`Host: ${host}`)).status),
    );
    expect(statuses).toEqual([200, 200, 200, 403, 403, 403, 403]);
  });

  it('refuses two Host headers even if both are valid, and a request without one', async () => {
    const { upstream, call } = await start();
    expectProblem(await call('Host: localhost', 'Host: localhost'), { status: 400, code: 'bad_request' });
    expectProblem(await call(), { status: 400, code: 'bad_request' });
    expect(upstream.received).toHaveLength(0);
  });

  it('compares the authority of an absolute target with the Host header', async () => {
    const { proxy, upstream } = await start();
    const get = (target: string, host: string) =>
      sendRaw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect((await get('http://localhost:8080/api/x', 'localhost:8080')).status).toBe(200);
    expect((await get('http://evil.com/api/x', 'evil.com')).status).toBe(403);
    expect((await get('http://evil.com/api/x', 'localhost')).status).toBe(400);
    expect(upstream.requests).toHaveLength(1);
  });

  it.each([
    ['Origin: https://evil.example'],
    ['Origin: null'],
    ['Origin: http://localhost:3000'],
    ['Origin: https://app.example.evil.example'],
    ['Sec-Fetch-Site: cross-site'],
    ['Sec-Fetch-Site: Cross-Site', 'Sec-Fetch-Mode: no-cors'],
  ])('refuses the request of a web page: %s', async (...lines) => {
    const { upstream, call } = await start({ allowed_origins: ['https://app.example'] });
    const response = await call('Host: localhost', ...lines);
    expectProblem(response, { status: 403, code: 'origin_refused', outcome: 'not_sent' });
    expect(response.values('access-control-allow-origin')).toEqual([]);
    expect(upstream.received).toHaveLength(0);
  });

  it.each([
    ['Origin: https://app.example'],
    ['Origin: https://app.example', 'Sec-Fetch-Site: cross-site'],
    ['Sec-Fetch-Site: same-origin'],
    ['Sec-Fetch-Site: none'],
  ])('admits the request of an allowed page or of the user: %s', async (...lines) => {
    const { call } = await start({ allowed_origins: ['https://app.example'] });
    expect((await call('Host: localhost', ...lines)).status).toBe(200);
  });
});

describe('a proxy on another address', () => {
  it('admits Host names that no page can have, and refuses pages that are not allowed', async () => {
    const { call, upstream } = await start({ listen: '0.0.0.0:0', open: true });
    expect((await call('Host: payments.internal')).status).toBe(200);
    expect((await call('Host: payments.internal', 'Origin: https://evil.example')).status).toBe(403);
    expect(upstream.requests).toHaveLength(1);
  });
});

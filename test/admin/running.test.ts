import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const TOKEN = 'admin-token-0123456789';

async function start(settings: Settings) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream) }, ...settings });
  return { upstream, proxy, port: proxy.server.admin?.port };
}

describe('the admin listener of a running proxy', () => {
  it('is separate from the proxy: neither serves the paths of the other', async () => {
    const { proxy, port } = await start({ admin: '127.0.0.1:0' });
    expect((await sendRequest(port!, '/livez')).status).toBe(200);
    expect((await sendRequest(port!, '/api/x')).status).toBe(404);
    expect((await sendRequest(proxy.port, '/livez')).status).toBe(404);
    expect((await sendRequest(proxy.port, '/api/x')).text).toBe('fine');
  });

  it('does not exist if it is turned off', async () => {
    const { port } = await start({ admin: false });
    expect(port).toBeUndefined();
  });

  it('refuses foreign Host headers', async () => {
    const { port } = await start({ admin: '127.0.0.1:0' });
    expect((await sendRequest(port!, '/', { headers: { host: 'evil.example' } })).status).toBe(403);
    expect((await sendRequest(port!, '/')).status).toBe(200);
  });

  it('requires its token on a reachable address, except for its probes', async () => {
    const { port } = await start({ admin: { address: '0.0.0.0:0', token: TOKEN } });
    expect((await sendRequest(port!, '/readyz')).status).toBe(200);
    expect((await sendRequest(port!, '/')).status).toBe(401);
    expect((await sendRequest(port!, '/', { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200);
  });

  it('serves only its probes on a reachable address without a token', async () => {
    const { port } = await start({ admin: '0.0.0.0:0' });
    expect((await sendRequest(port!, '/livez')).status).toBe(200);
    expect((await sendRequest(port!, '/')).status).toBe(401);
  });

  it('stays ready while the provider is down', async () => {
    const { proxy, port } = await start({
      admin: '127.0.0.1:0',
      routes: { '/api/*': routeTo({ origin: 'http://127.0.0.1:1' }) },
    });
    expect((await sendRequest(proxy.port, '/api/x')).status).toBe(503);
    expect((await sendRequest(port!, '/readyz')).status).toBe(200);
    expect((await sendRequest(port!, '/livez')).status).toBe(200);
  });
});

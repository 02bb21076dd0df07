import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { RawUpstream, reply, type Script } from '../support/upstream-raw.ts';
import { makePki, sendTls, startTlsProxy, tlsFiles } from './access/support.ts';

const CLIENT = { name: 'shop', key: 'shop-key-0123456789' };

/** A provider with the base path `/v1`. */
async function start(script: Script, settings: Settings = {}, top: Settings = {}) {
  const provider = await RawUpstream.start(script);
  const upstream = `${provider.origin}/v1`;
  const route = { ...routeTo(provider), upstream, auth_server: provider.origin, ...settings };
  return { provider, route, proxy: await startProxy({ ...top, routes: { '/bank/*': route } }) };
}

/** Creates a payment and redirects to it. */
const redirecting: Script = ({ method, target, values }) =>
  method === 'POST' ? reply(201, '', `location: http://${values('host').join()}${target}/3`) : reply(200, 'paid');

describe('a Location of the provider', () => {
  it('leads the app to the route, where its next request has the token', async () => {
    const { provider, proxy } = await start(redirecting);
    const host = `localhost:${proxy.port}`;
    const created = await sendRequest(proxy.port, '/bank/payments', { body: '{}', headers: { host } });
    const location = created.header('location') ?? '';
    expect(location).toBe(`http://${host}/bank/payments/3`);
    expect((await sendRequest(proxy.port, new URL(location).pathname)).text).toBe('paid');
    expect(provider.requests.map(({ target }) => target)).toEqual(['/v1/payments', '/v1/payments/3']);
    expect(provider.requests[1]?.values('authorization')).toEqual([`Bearer ${provider.tokens[0]!}`]);
  });

  it('is one of several headers that lead to the route, and other headers stay as they are', async () => {
    const { proxy } = await start(({ values }) => {
      const own = `http://${values('host').join()}/v1`;
      const lines = ['Location: /v1/a', `Content-Location: ${own}/b`, `Link: <${own}/c>; rel=next`, `Link: </v1/d>`];
      return reply(200, own, ...lines, `Refresh: 1; url=${own}/e`, `X-Url: ${own}/f`);
    });
    const response = await sendRequest(proxy.port, '/bank/x', { headers: { host: 'localhost' } });
    const links = response.rawHeaders.filter((_, i) => response.rawHeaders[i - 1] === 'Link');
    expect([response.header('location'), response.header('content-location'), ...links]).toEqual([
      '/bank/a',
      'http://localhost/bank/b',
      '<http://localhost/bank/c>; rel=next',
      '</bank/d>',
    ]);
    expect(response.header('refresh')).toBe('1; url=http://localhost/bank/e');
    expect(response.header('x-url')).toBe(`${response.text}/f`);
  });

  it('stays as it is with `rewrite_location: false`', async () => {
    const { provider, proxy } = await start(redirecting, { rewrite_location: false });
    const created = await sendRequest(proxy.port, '/bank/payments', { body: '{}' });
    expect(created.header('location')).toBe(`${provider.origin}/v1/payments/3`);
  });

  it('has the public URL in `rewrite_location`', async () => {
    const { proxy } = await start(redirecting, { rewrite_location: 'https://pay.example.com' });
    const created = await sendRequest(proxy.port, '/bank/payments', { body: '{}' });
    expect(created.header('location')).toBe('https://pay.example.com/bank/payments/3');
  });

  it('is dropped if it contains the token', async () => {
    const { proxy } = await start(({ values }) => {
      const token = values('authorization').join().replace('Bearer ', '');
      return reply(302, '', `Location: http://${values('host').join()}/v1/x?token=${token}`);
    });
    const response = await sendRequest(proxy.port, '/bank/x');
    expect([response.status, response.header('location')]).toEqual([302, undefined]);
  });

  it('has https on a listener with TLS', async () => {
    const provider = await RawUpstream.start(({ values }) =>
      reply(302, '', `Location: http://${values('host').join()}/x`),
    );
    const pki = makePki();
    const proxy = await startTlsProxy({ routes: { '/api/*': routeTo(provider) } }, tlsFiles(pki));
    const { headers } = await sendTls(proxy.port, '/api/x', { ca: pki.ca.cert });
    expect(headers.location).toMatch(/^https:\/\/.*\/api\/x$/);
  });

  it('comes back to the app through two Wakalas', async () => {
    const { proxy } = await start(redirecting, {}, { clients: [CLIENT] });
    const upstream = `http://127.0.0.1:${proxy.port}/bank`;
    const route = { provider: 'static', upstream, credentials: { token: CLIENT.key } };
    const sidecar = await startProxy({ routes: { '/pay/*': route } });
    const created = await sendRequest(sidecar.port, '/pay/payments', { body: '{}', headers: { host: 'localhost' } });
    expect(created.header('location')).toBe('http://localhost/pay/payments/3');
    expect((await sendRequest(sidecar.port, '/pay/payments/3')).text).toBe('paid');
  });
});

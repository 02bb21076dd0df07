import { describe, expect, it } from 'vitest';
import { expectProblem } from '../../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../../support/proxy-server.ts';
import { sendRaw } from '../../support/raw-client.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { bearer, makePki, sendTls, SHOP, startTlsProxy, tlsFiles } from './support.ts';

const OPEN: Settings = { listen: '0.0.0.0:0', open: true };
const FIREFOX = 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const SAFARI = 'user-agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)';

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream) }, ...settings });
  const send = (method: string, ...lines: string[]) =>
    sendRaw(
      proxy.port,
      [`${method} /api/x HTTP/1.1`, ...lines, ...(method === 'POST' ? ['Content-Length: 0'] : []), '', ''].join('\r\n'),
    );
  const refused = async (code: string, method: string, ...lines: string[]) => {
    const response = await send(method, ...lines);
    if (method === 'HEAD') expect(response.status).toBe(403);
    else expectProblem(response, { status: 403, code, outcome: 'not_sent' });
    expect(upstream.received).toHaveLength(0);
  };
  return { send, refused };
}

describe.each<[string, string, Settings]>([
  ['a loopback address', 'Host: localhost', {}],
  ['an open address', 'Host: 10.0.0.5:8080', OPEN],
])('Fetch Metadata of a browser on %s,', (_, host, settings) => {
  it.each([
    ['another site', 'Sec-Fetch-Site: cross-site'],
    ['another port of this machine, whose pages are of the same site', 'Sec-Fetch-Site: same-site'],
    ['a site that no browser names', 'Sec-Fetch-Site: same-planet'],
    ['two sites', 'Sec-Fetch-Site: none', 'Sec-Fetch-Site: cross-site'],
    ['an image', 'Sec-Fetch-Site: same-site', 'Sec-Fetch-Mode: no-cors', 'Sec-Fetch-Dest: image'],
    ['an image, without its site', 'Sec-Fetch-Dest: image'],
    ['a request that asks for no permission', 'Sec-Fetch-Mode: no-cors'],
    ['a navigation', 'sec-fetch-mode: Navigate'],
    ['a WebSocket of another site', 'Sec-Fetch-Mode: websocket', 'Sec-Fetch-Site: cross-site'],
    ['a WebSocket of a page', 'Sec-Fetch-Mode: websocket', 'Origin: http://evil.example'],
    ['a foreign page', 'Origin: http://localhost:3000', 'Sec-Fetch-Site: same-site'],
    ['a page without a name', 'Origin: null'],
  ])('leads to a refusal: %s', async (__, ...lines) => {
    const { refused } = await start({ allowed_origins: ['https://app.example'], ...settings });
    await refused('origin_refused', 'GET', host, ...lines);
    await refused('origin_refused', 'POST', host, ...lines);
  });

  it.each([
    ['an allowed page of the same site', 'Origin: http://localhost:3000', 'Sec-Fetch-Site: same-site'],
    ['what somebody typed', 'Sec-Fetch-Site: none', 'Sec-Fetch-Mode: navigate', 'Sec-Fetch-Dest: document', FIREFOX],
    ['fetch of Node.js', 'Sec-Fetch-Mode: cors', 'User-Agent: node', 'Accept-Language: *'],
    ['WebSocket of Node.js', 'Sec-Fetch-Mode: websocket'],
    ['nothing'],
  ])('leads to admission: %s', async (__, ...lines) => {
    const { send } = await start({ allowed_origins: ['http://localhost:3000'], ...settings });
    expect((await send('GET', host, ...lines)).status).toBe(200);
  });
});

describe('a browser that sends no Fetch Metadata, as over plain HTTP to another machine,', () => {
  it.each([
    ['GET', FIREFOX],
    ['HEAD', FIREFOX],
    ['GET', SAFARI],
  ])('is refused on an open address: %s, %s', async (method, agent) => {
    const { refused } = await start(OPEN);
    await refused('origin_refused', method, 'Host: 10.0.0.5:8080', agent);
    await refused('origin_refused', method, 'Host: wakala:8080', agent, 'Referer: http://evil.example/');
  });

  it('is refused under a name of `allowed_hosts` on a loopback address', async () => {
    const { refused } = await start({ allowed_hosts: ['wakala.example'] });
    await refused('origin_refused', 'GET', 'Host: wakala.example', FIREFOX);
  });

  it.each([
    ['another client', 'GET', 'Host: 10.0.0.5', 'User-Agent: curl/8.5.0'],
    ['a client without a name', 'GET', 'Host: 10.0.0.5'],
    ['a POST, with which every browser says its page', 'POST', 'Host: 10.0.0.5', FIREFOX],
    ['an allowed page', 'GET', 'Host: 10.0.0.5', FIREFOX, 'Origin: https://app.example'],
    ['TLS ends before Wakala, so the browser says it', 'GET', 'Host: 10.0.0.5', FIREFOX, 'Sec-Fetch-Site: same-origin'],
    ['the name is of this machine, for which every browser says it', 'GET', 'Host: localhost:8080', FIREFOX],
  ])('is not assumed: %s', async (_, method, ...lines) => {
    const { send } = await start({ ...OPEN, allowed_origins: ['https://app.example'] });
    expect((await send(method, ...lines)).status).toBe(200);
  });

  it('is admitted with a key, which no page has', async () => {
    const { send } = await start({ listen: '0.0.0.0:0', clients: [SHOP] });
    const { authorization } = bearer(SHOP.key);
    expect((await send('GET', 'Host: any.example', FIREFOX, `Authorization: ${authorization}`)).status).toBe(200);
  });
});

describe('Host on an open address, where DNS rebinding is possible,', () => {
  it.each([
    '10.0.0.5',
    '10.0.0.5:8080',
    '[fd00::1]:8080',
    '[::1]',
    'wakala',
    'WAKALA:8080',
    'wakala.payments.svc',
    'wakala.payments.svc.cluster.local:8080',
    'wakala.payments.svc.cluster.local.:8080',
    'gateway.internal',
    'Gateway.Test',
    'printer.home.arpa',
    'localhost',
    'pay.shop.example',
    'gateway.shop.example:8443',
  ])('is accepted if no page can have it or the configuration names it: %s', async (host) => {
    const { send } = await start({ ...OPEN, allowed_hosts: ['pay.shop.example', 'gateway.shop.example:8443'] });
    expect((await send('GET', `Host: ${host}`)).status).toBe(200);
  });

  it.each([
    'evil.example',
    'evil.example:8080',
    'wakala.payments',
    '10.0.0.5.evil.example',
    'internal.evil.example',
    'svc.cluster.local.evil.example.',
    'evil.example.',
    'notlocal.xlocal',
    'gateway.shop.example',
    '10.0.0.5.6',
    '[fd00::1].evil.example',
  ])('is refused otherwise: %s', async (host) => {
    const { refused } = await start({ ...OPEN, allowed_hosts: ['pay.shop.example', 'gateway.shop.example:8443'] });
    await refused('host_refused', 'GET', `Host: ${host}`);
    await refused('host_refused', 'POST', `Host: ${host}`);
  });

  it('is not checked if a key is required', async () => {
    const { send } = await start({ listen: '0.0.0.0:0', clients: [SHOP] });
    const { authorization } = bearer(SHOP.key);
    expect((await send('GET', 'Host: evil.example', `Authorization: ${authorization}`)).status).toBe(200);
  });

  it('is not checked over TLS, where a page cannot present a matching certificate', async () => {
    const pki = makePki();
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const tls = { cert: '/tls/cert.pem', key: '/tls/key.pem' };
    const settings = { listen: { address: '0.0.0.0:0', tls }, open: true, routes: { '/api/*': routeTo(upstream) } };
    const { port } = await startTlsProxy(settings, tlsFiles(pki));
    const response = await sendTls(port, '/api/x', { ca: pki.ca.cert }, { host: 'pay.shop.example' });
    expect(response.status).toBe(200);
  });
});

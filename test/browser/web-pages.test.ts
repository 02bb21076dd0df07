import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { routeTo, type Settings, startProxy } from '../support/proxy-server.ts';
import { hasTool } from '../support/tools.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { launchChromium } from './chromium.ts';

const OPEN: Settings = { listen: '0.0.0.0:0', open: true };
const HAS_CHROMIUM = hasTool('chromium');
let browser: Browser;

beforeAll(async () => {
  // Every host name resolves to this machine, as an attacker's may. Chromium's protection of local networks is off,
  // because not every browser has it.
  const args = ['--host-resolver-rules=MAP * 127.0.0.1', '--disable-features=LocalNetworkAccessChecks'];
  if (HAS_CHROMIUM) browser = await launchChromium(...args);
}, 30_000);
afterAll(() => browser?.close());

async function start(settings: Settings) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine', 'content-type: text/html'));
  const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream, { websocket: true }) }, ...settings });
  const page = await browser.newPage();
  onTestFinished(() => page.close());
  const refused = () => proxy.log.filter(({ code }) => code === 'origin_refused' || code === 'host_refused').length;
  return { upstream, proxy, page, refused };
}

/** Ways to make a browser send a request without user interaction, each to `URL/` and its name. */
const ELEMENTS = [
  '<img src="URL/img" referrerpolicy="no-referrer">',
  '<img src="URL/img-cors" crossorigin>',
  '<script src="URL/script" referrerpolicy="no-referrer"></script>',
  '<script type="module" src="URL/module"></script>',
  '<link rel="stylesheet" href="URL/style" referrerpolicy="no-referrer">',
  '<iframe src="URL/frame" referrerpolicy="no-referrer"></iframe>',
  '<iframe name="sink"></iframe>',
  '<object data="URL/object"></object>',
  '<video src="URL/video"></video>',
  '<form id="get" action="URL/form-get" target="sink"></form>',
  '<form id="post" action="URL/form-post" method="post" target="sink"><input name="amount" value="1"></form>',
];

const SCRIPT = `
  const quiet = (promise) => promise.catch(() => undefined);
  document.getElementById('get').submit();
  document.getElementById('post').submit();
  navigator.sendBeacon('URL/beacon', 'x');
  new EventSource('URL/events');
  new WebSocket('URL/socket'.replace('http', 'ws'));
  quiet(fetch('URL/fetch-no-cors', { mode: 'no-cors', referrerPolicy: 'no-referrer' }));
  quiet(fetch('URL/fetch-post', { mode: 'no-cors', method: 'POST', body: 'x' }));
  quiet(fetch('URL/fetch-cors'));
  quiet(fetch('URL/fetch-put', { method: 'PUT', body: 'x' }));
`;

/** How many of them send a request. The last form replaces the other in their frame. */
const ENOUGH = 15;

async function attackers(html: string): Promise<number> {
  const server = createServer((_, res) => res.setHeader('content-type', 'text/html').end(html));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

describe.runIf(HAS_CHROMIUM)('a page in Chromium', { timeout: 60_000 }, () => {
  it.each<[string, string, string, Settings]>([
    ['another port of this machine', 'localhost', 'localhost', {}],
    ['another site', 'attacker.example', 'localhost', {}],
    ['another site, to an open address on plain HTTP', 'attacker.example', 'wakala.internal', OPEN],
    ['another site, to an open address without a name', 'attacker.example', 'wakala', OPEN],
    ['another host of the same site', 'a.shop.internal', 'b.shop.internal', OPEN],
  ])('cannot make a call from %s in any way', async (_, from, to, settings) => {
    const { upstream, proxy, page, refused } = await start(settings);
    const url = `http://${to}:${proxy.port}/api`;
    const html = `${ELEMENTS.join('\n')}<script>${SCRIPT}</script>`.replaceAll('URL', url);
    await page.goto(`http://${from}:${await attackers(html)}/`);
    await expect.poll(refused, { timeout: 20_000 }).toBeGreaterThanOrEqual(ENOUGH);
    const navigated = page.waitForURL(`${url}/navigation`);
    await page.evaluate(`location.href = '${url}/navigation'`);
    await navigated;
    expect(upstream.received.toString()).toBe('');
  });

  it('cannot reach the proxy through its own host name', async () => {
    const { upstream, proxy, page, refused } = await start(OPEN);
    const origin = `http://rebound.example:${proxy.port}`;
    // The name resolved to another address when the page was loaded.
    await page.route(`${origin}/page`, (route) => route.fulfill({ contentType: 'text/html', body: '<p>attack' }));
    await page.goto(`${origin}/page`);
    const statuses = await page.evaluate(async () => {
      const asked = [{}, { headers: { 'User-Agent': 'curl/8' } }, { method: 'POST', body: 'x' }, { method: 'HEAD' }];
      return Promise.all(asked.map(async (init) => (await fetch('/api/balance', init)).status));
    });
    expect(statuses).toEqual([403, 403, 403, 403]);
    expect(refused()).toBe(4);
    expect(upstream.received.toString()).toBe('');
  });

  it('can show an address that a user typed on this machine', async () => {
    const { proxy, page } = await start({});
    const response = await page.goto(`http://localhost:${proxy.port}/api/balance`);
    expect(response?.status()).toBe(200);
  });
});

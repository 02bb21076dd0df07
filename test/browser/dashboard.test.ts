import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { CLIENT_SECRET, type RunningAdmin, startAdmin } from '../admin/running-admin.ts';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { hasTool } from '../support/tools.ts';
import { json } from '../support/upstream-raw.ts';
import { launchChromium } from './chromium.ts';

/** A machine that runs other tests may be slow. */
const WAIT = { timeout: 10_000 };

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let browser: Browser;
const HAS_CHROMIUM = hasTool('chromium');

beforeAll(async () => {
  if (HAS_CHROMIUM) browser = await launchChromium();
}, 30_000);
afterAll(() => browser?.close());

/** Requests to other hosts and errors of a page. Both must be empty. */
interface Opened {
  readonly page: Page;
  readonly foreignRequests: string[];
  readonly errors: string[];
}

/** Opens a page of a proxy that has served a call. At the end, the page must have no errors and no foreign requests. */
async function open(admin: RunningAdmin, path: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const opened: Opened = { page, foreignRequests: [], errors: [] };
  page.on('request', (request) => {
    if (!request.url().startsWith(`${admin.url}/`)) opened.foreignRequests.push(request.url());
  });
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) opened.errors.push(message.text());
  });
  page.on('pageerror', (error) => opened.errors.push(error.message));
  onTestFinished(async () => {
    const content = await page.content();
    await context.close();
    expect({ foreignRequests: opened.foreignRequests, errors: opened.errors }).toEqual({
      foreignRequests: [],
      errors: [],
    });
    for (const secret of admin.secrets()) expect(content).not.toContain(secret);
  });
  await page.goto(admin.url + path);
  return page;
}

async function startWithCall(): Promise<RunningAdmin> {
  const admin = await startAdmin(() => json(200, { access_token: CLIENT_SECRET, amount: 10 }));
  const headers = { authorization: `Bearer ${CLIENT_SECRET}`, 'x-request-id': 'the-one-looked-for' };
  await sendJson(admin.proxyPort, '/raw/orders/7?page=2', { amount: 10, pin: CLIENT_SECRET }, headers);
  await sendRequest(admin.proxyPort, '/raw/another');
  return admin;
}

const articleOf = (page: Page, route: string) => page.getByRole('article', { name: route });

/** The label of the focused element. */
const focused = (page: Page) =>
  page
    .locator(':focus')
    .getAttribute('aria-label', { timeout: 1000 })
    .catch(() => null);

const textOf = (page: Page, selector: string) => page.locator(selector).innerText();

describe.runIf(HAS_CHROMIUM)('the dashboard in a browser', () => {
  it('counts down the lifetime of a token each second', async () => {
    const page = await open(await startWithCall(), '/');
    const countdown = articleOf(page, '/raw/*').locator('.token .big [data-until]');
    const before = await countdown.innerText();
    expect(before).toMatch(/^59 min \d+ s$/);
    await expect.poll(() => countdown.innerText(), WAIT).not.toBe(before);
  });

  it('shows a new fingerprint after the button was pressed by keyboard, and keeps the focus', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/');
    await page.getByText('live', { exact: true }).waitFor();
    const fingerprint = articleOf(page, '/raw/*').locator('.token code').first();
    const before = await fingerprint.innerText();
    for (let presses = 0; presses < 30; presses++) {
      if ((await focused(page)) === 'Refresh token now: /raw/*') break;
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
    await expect.poll(() => fingerprint.innerText(), WAIT).not.toBe(before);
    expect(await textOf(page, '#message')).toContain(`its fingerprint is ${await fingerprint.innerText()}`);
    expect(await focused(page)).toBe('Refresh token now: /raw/*');
    expect(admin.upstream.tokens).toHaveLength(2);
  });

  it('shows a problem with its remedy as soon as it occurs, and removes it afterwards', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/');
    await page.getByText('live', { exact: true }).waitFor();
    admin.emulator.control({ token_endpoint: 'denied' });
    await sendRequest(admin.proxyPort, '/paypack/me');
    const article = articleOf(page, '/paypack/*');
    await article.getByText(/refused the credentials at its sandbox host/).waitFor();
    await article.getByText(/copy them again from the provider's portal/).waitFor();
    expect(await page.locator('article').first().getAttribute('id')).toBe('route:/paypack/*');
    admin.emulator.control({ reset: true });
    await expect
      .poll(async () => (await sendRequest(admin.proxyPort, '/paypack/transactions/list')).status, WAIT)
      .toBe(200);
    await article.getByText(/refused the credentials/).waitFor({ state: 'detached' });
  });

  it('does not change while it is paused', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/');
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('paused', { exact: true }).waitFor();
    await sendRequest(admin.proxyPort, '/raw/third');
    const article = articleOf(page, '/raw/*');
    const total = article.locator('.requests dd').first();
    const countdown = article.locator('.token .big [data-until]');
    for (let seconds = 0; seconds < 2; seconds++) {
      const before = await countdown.innerText();
      await expect.poll(() => countdown.innerText(), WAIT).not.toBe(before);
    }
    expect(await total.innerText()).toBe('2');
    await page.getByRole('button', { name: 'Pause' }).click();
    await expect.poll(() => total.innerText(), WAIT).toBe('3');
  });

  it('reports a lost connection', async () => {
    const admin = await startWithCall();
    const page = await browser.newPage();
    onTestFinished(() => page.close());
    await page.goto(admin.url);
    await page.getByText('live', { exact: true }).waitFor();
    await admin.server.drain();
    await page.getByText('not connected', { exact: true }).waitFor();
  });
});

describe.runIf(HAS_CHROMIUM)('the inspector in a browser', () => {
  it('finds a request and shows its details', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/requests');
    await page.getByRole('searchbox', { name: 'Search' }).fill('looked-for');
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.getByRole('link', { name: '/raw/orders/7?page=2' }).click();
    await page.getByRole('heading', { level: 1, name: 'POST /raw/orders/7?page=2' }).waitFor();
    expect(await textOf(page, '.timing')).toMatch(/Waiting for a token[\s\S]*Waiting for the first byte/);
    expect(await page.getByRole('row', { name: 'authorization [redacted]' }).count()).toBe(1);
    expect(await page.getByRole('region', { name: 'Request body' }).innerText()).toContain('"amount": 10');
  });

  it('shows new requests as they arrive', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/requests?method=GET');
    await page.getByText('live', { exact: true }).waitFor();
    await sendRequest(admin.proxyPort, '/raw/brand-new');
    await page.getByRole('link', { name: '/raw/brand-new' }).waitFor();
  });

  it('sends a request again and shows the new one', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/requests?q=looked-for');
    await page.getByRole('link', { name: '/raw/orders/7?page=2' }).click();
    await page.getByRole('button', { name: 'Resend' }).click();
    await page.waitForURL(/\/requests\?q=/);
    await page.getByRole('link', { name: '/raw/orders/7?page=2' }).waitFor();
    expect(admin.upstream.requests).toHaveLength(3);
  });

  it('copies a working curl command without secrets', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/requests?q=another', { permissions: ['clipboard-read', 'clipboard-write'] });
    await page.getByRole('link', { name: '/raw/another' }).click();
    await page.getByRole('button', { name: 'Copy as curl' }).click();
    await page.getByText('Copied.').waitFor();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(
      `curl -sS http://127.0.0.1:${admin.proxyPort}/raw/another`,
    );
  });
});

describe.runIf(HAS_CHROMIUM)('without scripts', () => {
  it('the dashboard shows everything and reloads itself, and its buttons work', async () => {
    const admin = await startWithCall();
    const page = await open(admin, '/', { javaScriptEnabled: false });
    expect(await articleOf(page, '/raw/*').locator('.token .big').innerText()).toMatch(/valid for 59 min \d+ s/);
    await page.getByRole('button', { name: 'Refresh token now: /raw/*' }).click();
    expect(await textOf(page, '#message')).toMatch(/has a new token/);
    expect(admin.upstream.tokens).toHaveLength(2);
    await page.getByRole('link', { name: 'Requests', exact: true }).click();
    await page.getByRole('link', { name: '/raw/another' }).click();
    await page.getByRole('button', { name: 'Resend' }).click();
    await page.getByRole('link', { name: '/raw/another' }).waitFor();
    expect(admin.upstream.requests).toHaveLength(3);
  });
});

describe.runIf(HAS_CHROMIUM)('secrets', () => {
  it('are on no page and in no response of the API: tokens, keys, Authorization values', async () => {
    const admin = await startWithCall();
    const { requests } = (await sendRequest(admin.port, '/api/requests')).json() as { requests: { id: string }[] };
    const ids = requests.map(({ id }) => id);
    const paths = ['/', '/requests', '/api/routes', '/api/requests', '/metrics'];
    const all = [...paths, ...ids.flatMap((id) => [`/requests/${id}`, `/api/requests/${id}`])];
    expect(admin.secrets().length).toBeGreaterThan(4);
    for (const path of all) {
      const { text, rawHeaders } = await sendRequest(admin.port, path);
      for (const secret of admin.secrets()) expect(text + rawHeaders.join(), path).not.toContain(secret);
    }
  });
});

describe.runIf(HAS_CHROMIUM)('accessibility', () => {
  const SIZES = [
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
  ] as const;

  it.each(SIZES)('the pages are accessible: %s, %i px wide', async (colorScheme, width) => {
    const admin = await startWithCall();
    admin.emulator.control({ token_endpoint: 'denied' });
    await sendRequest(admin.proxyPort, '/paypack/me');
    // axe runs as a script of the page, which the page's content security policy forbids.
    const options = { colorScheme, viewport: { width, height: 800 }, bypassCSP: true };
    const page = await open(admin, '/', options);
    const found = [...(await violations(page))];
    await page.goto(`${admin.url}/requests`);
    found.push(...(await violations(page)));
    await page.getByRole('link', { name: '/raw/orders/7?page=2' }).click();
    await page.getByRole('heading', { name: 'Timing' }).waitFor();
    found.push(...(await violations(page)));
    expect(found).toEqual([]);
  });
});

interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}

/** The findings of axe, and whether the page is wider than the window. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const results: AxeResults = await page.evaluate('axe.run()');
  const isWide: boolean = await page.evaluate('document.documentElement.scrollWidth > window.innerWidth');
  const found = results.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
  return isWide ? ['the page scrolls sideways', ...found] : found;
}

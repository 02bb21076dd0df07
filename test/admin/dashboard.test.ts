import { describe, expect, it } from 'vitest';
import { adminApp } from '../../src/admin/app.ts';
import type { AdminContext } from '../../src/admin/context.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { reply } from '../support/upstream-raw.ts';
import { adminConfig, adminContext, type AdminSettings } from './context.ts';
import { type RunningAdmin, startAdmin } from './running-admin.ts';

const HTML = { accept: 'text/html,application/xhtml+xml' };

const ok = () => reply(200, 'fine');

async function pageWith(context: Partial<AdminContext>, settings: AdminSettings = {}, path = '/'): Promise<string> {
  const app = adminApp(adminContext(context, settings));
  return (await app.request(path, { headers: { host: 'localhost' } })).text();
}

function routesNamed(names: readonly string[], more: object = {}) {
  const route = { provider: 'mpesa', credentials: { consumer_key: 'k', consumer_secret: 's' }, ...more };
  return { file: { routes: Object.fromEntries(names.map((name) => [name, route])) } };
}

/** The articles of a page by the names of their routes, in their order. */
function articlesOf(page: string): string[] {
  return [...page.matchAll(/<article id="route:([^"]+)"/g)].map(([, name = '']) => name);
}

describe('the dashboard', () => {
  it('is one page with its own style and script, and loads nothing else', async () => {
    const { port } = await startAdmin(ok);
    const { text, header } = await sendRequest(port, '/');
    const policy = header('content-security-policy') ?? '';
    expect(policy.split('; ')).toEqual([
      "default-src 'none'",
      "style-src 'self'",
      "script-src 'self'",
      "connect-src 'self'",
      "img-src 'self'",
      "form-action 'self'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ]);
    expect([header('x-content-type-options'), header('cache-control')]).toEqual(['nosniff', 'no-store']);
    expect(header('referrer-policy')).toBe('same-origin');
    expect(text).not.toMatch(/ style=| on\w+=|<style|<script>|https?:\/\/(?!127\.0\.0\.1)/);
    expect(text.match(/<h1/g)).toHaveLength(1);
    expect(text).toContain('<html lang="en">');
  });

  it('has assets with a hash in the URL, which are cached forever', async () => {
    const { port } = await startAdmin(ok);
    const { text } = await sendRequest(port, '/');
    const assets = [...text.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, url = '']) => url);
    expect(assets.map((url) => url.replace(/\?v=[0-9a-f]{16}$/, ''))).toEqual([
      '/assets/icon.svg',
      '/assets/dashboard.css',
      '/assets/dashboard.js',
    ]);
    for (const url of assets) {
      expect((await sendRequest(port, url)).header('cache-control')).toBe('private, max-age=31536000, immutable');
      expect((await sendRequest(port, url.split('?')[0]!)).header('cache-control')).toBe('no-cache');
    }
    expect((await sendRequest(port, '/assets/passwd')).status).toBe(404);
  });

  it('shows the fingerprint of a token, its lifetime and the source of the lifetime', async () => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, '/raw/x');
    const { text } = await sendRequest(admin.port, '/');
    const fingerprint = /<dd><code>([0-9a-f]{8})<\/code><\/dd>/.exec(text)?.[1];
    expect(fingerprint).toBeDefined();
    expect(text).toMatch(/valid for <strong><span data-until="\d+" data-over="[^"]+">59 min \d+ s<\/span>/);
    expect(text).toContain('expires_in');
    for (const secret of admin.secrets()) expect(text).not.toContain(secret);
  });

  it('puts a failing route first, with what is wrong and what to do', async () => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, '/raw/x');
    admin.emulator.control({ token_endpoint: 'denied' });
    expect(articlesOf((await sendRequest(admin.port, '/')).text)).toEqual(['/paypack/*', '/raw/*']);
    await sendRequest(admin.proxyPort, '/paypack/me');
    const { text } = await sendRequest(admin.port, '/');
    expect(text).toContain('refused the credentials at its sandbox host');
    expect(text).toContain('What to do: </strong>Check <code>client_id</code>');
  });

  it('shows PRODUCTION, EMULATED and the version', async () => {
    const page = await pageWith({ version: '9.8.7' }, routesNamed(['/mpesa/*'], { environment: 'production' }));
    expect(page).toContain('>PRODUCTION</span>');
    expect(page).toContain('<p>wakala 9.8.7 ·');
    expect(await pageWith({ version: '9.8.7', commit: 'abc1234' })).toContain('<p>wakala 9.8.7 (abc1234) ·');
    expect(page).not.toContain('EMULATED');
    const emulated = await pageWith({ emulated: true });
    expect(emulated).toContain('<strong>EMULATED</strong>');
    expect(emulated).not.toContain('PRODUCTION');
  });

  it('shows why a reload was refused', async () => {
    const failure = 'proxy.config.yaml:3:1: unknown key <b>';
    const page = await pageWith({ reloads: () => ({ taken: 0, refused: 1, failure }) });
    expect(page).toContain('unknown key &lt;b&gt;');
  });

  it('shows 200 of many routes and the number of the others', async () => {
    const names = Array.from({ length: 250 }, (_, i) => `/r${i}/*`);
    const page = await pageWith({}, routesNamed(names));
    expect(articlesOf(page)).toHaveLength(200);
    expect(page).toContain('50 more routes not shown');
    expect(articlesOf(await pageWith({}, routesNamed(names), '/?q=R249'))).toEqual(['/r249/*']);
    expect(await pageWith({}, routesNamed(names), '/?q=%22%3E%3Cb%3E')).toContain('value="&quot;&gt;&lt;b&gt;"');
  });

  it('has no refresh button for a fixed key', async () => {
    const { port } = await startAdmin(ok, { provider: 'static' });
    const { text } = await sendRequest(port, '/');
    expect(text).toContain('/api/routes/%2Fraw%2F*/refresh');
    expect(text).not.toContain('/api/routes/%2Fstatic%2F*/refresh');
  });
});

describe('the dashboard without scripts', () => {
  const press = ({ port }: RunningAdmin, path: string) => {
    const headers = { ...HTML, origin: `http://127.0.0.1:${port}`, 'sec-fetch-site': 'same-origin' };
    return sendRequest(port, path, { method: 'POST', headers });
  };

  it('reloads every five seconds, with the filter and without the message', async () => {
    const { port } = await startAdmin(ok);
    const again = async (path: string) => /content="5;url=([^"]*)"/.exec((await sendRequest(port, path)).text)?.[1];
    expect(await again('/')).toBe('/');
    expect(await again('/?q=a%26b')).toBe('/?q=a%26b');
    expect(await again('/?refreshed=%2Fraw%2F*')).toBe('/');
    expect(await again('/requests')).toBeUndefined();
  });

  it('returns to the page with the result of a button', async () => {
    const admin = await startAdmin(ok);
    const { text } = await sendRequest(admin.port, '/');
    const [, path = ''] = /action="(\/api\/routes\/%2Fraw[^"]+)"/.exec(text) ?? [];
    const response = await press(admin, path);
    expect([response.status, response.header('location')]).toEqual([303, '/?refreshed=%2Fraw%2F*']);
    const message = /role="status">([^<]+)</;
    const page = await sendRequest(admin.port, response.header('location')!);
    expect(message.exec(page.text)?.[1]).toMatch(/^\/raw\/\* has a new token: its fingerprint is [0-9a-f]{8}\.$/);
    admin.emulator.control({ token_endpoint: '500' });
    const failed = await press(admin, '/api/routes/paypack/refresh');
    expect(failed.header('location')).toBe('/?not_refreshed=%2Fpaypack%2F*');
    const { text: after } = await sendRequest(admin.port, failed.header('location')!);
    expect(message.exec(after)?.[1]).toContain('got no new token');
  });

  it('shows no text from its own URL', async () => {
    const { port } = await startAdmin(ok);
    const { text } = await sendRequest(port, '/?refreshed=call%20this%20number');
    expect(text).toContain('<div id="message" role="status"></div>');
  });

  it('resends a request and shows the new one', async () => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, '/raw/x');
    const list = await sendRequest(admin.port, '/requests');
    const [, details = ''] = /href="(\/requests\/[\d-]+)"/.exec(list.text) ?? [];
    const [, path = ''] = /action="(\/api\/requests\/[^"]+)"/.exec((await sendRequest(admin.port, details)).text) ?? [];
    const response = await press(admin, path);
    expect([response.status, response.header('location')?.slice(0, 12)]).toEqual([303, '/requests?q=']);
    expect(admin.upstream.requests).toHaveLength(2);
  });
});

describe('the shown configuration', () => {
  it('is the one in use', async () => {
    let names = ['/a/*'];
    const app = adminApp(adminContext({ config: () => adminConfig(routesNamed(names)) }));
    const get = async () => articlesOf(await (await app.request('/', { headers: { host: 'localhost' } })).text());
    expect(await get()).toEqual(['/a/*']);
    names = ['/b/*', '/c/*'];
    expect(await get()).toEqual(['/b/*', '/c/*']);
  });
});

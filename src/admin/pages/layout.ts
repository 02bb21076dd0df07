import type { Context } from 'hono';
import { type Child, jsx as h } from 'hono/jsx';
import { assetUrl } from '../assets.ts';
import type { AdminContext } from '../context.ts';

interface Page {
  readonly title: string;
  /** The current entry of the navigation. */
  readonly section: 'routes' | 'requests';
  /** Without scripts, the page loads this path every five seconds; undefined: never. */
  readonly reload?: string | undefined;
  /** Whether the script of the page keeps it current. */
  readonly isLive: boolean;
  readonly message?: Child;
  readonly content: Child;
}

const SECTIONS = [
  ['routes', '/', 'Routes'],
  ['requests', '/requests', 'Requests'],
] as const;

const OTHER_PATHS = ['/livez', '/readyz', '/metrics', '/api/routes', '/api/requests', '/api/events'];

/** A whole page. Hono escapes all text in it. */
export function pageResponse(c: Context, context: AdminContext, page: Page, status: 200 | 404 = 200): Response {
  const nowMs = context.clock.now();
  const html = h('html', { lang: 'en' }, head(page), body(context, page, nowMs));
  return c.html(`<!doctype html>${String(html)}`, status);
}

function head({ title, reload }: Page): Child {
  const noscript = h('noscript', {}, h('meta', { 'http-equiv': 'refresh', content: `5;url=${reload ?? ''}` }));
  return h(
    'head',
    {},
    h('meta', { charset: 'utf-8' }),
    h('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
    h('meta', { name: 'color-scheme', content: 'light dark' }),
    h('title', {}, `${title} · wakala`),
    h('link', { rel: 'icon', href: assetUrl('icon.svg'), type: 'image/svg+xml' }),
    h('link', { rel: 'stylesheet', href: assetUrl('dashboard.css') }),
    h('script', { src: assetUrl('dashboard.js'), defer: true }),
    reload === undefined ? null : noscript,
  );
}

function body({ emulated, version, commit, config }: AdminContext, page: Page, nowMs: number): Child {
  const file = config().file;
  return h(
    'body',
    { 'data-now': String(nowMs) },
    h('a', { class: 'skip', href: '#main' }, 'Skip to the content'),
    emulated ? emulatedBanner() : null,
    h('header', {}, h('span', { class: 'brand' }, 'wakala'), navigation(page), page.isLive ? liveControl() : null),
    h('div', { id: 'message', role: 'status' }, page.message),
    h('main', { id: 'main', tabindex: '-1' }, page.content),
    h(
      'footer',
      {},
      h(
        'p',
        {},
        `wakala ${version}${commit === '' ? '' : ` (${commit})`}`,
        file === '' ? null : [' · ', h('code', {}, file)],
      ),
      h('ul', {}, ...OTHER_PATHS.map((path) => h('li', {}, h('a', { href: path }, path)))),
    ),
  );
}

function emulatedBanner(): Child {
  const text = ' The providers are emulated on this machine: no real credentials, no network, no money.';
  return h('aside', { class: 'emulated', 'aria-label': 'Emulated' }, h('strong', {}, 'EMULATED'), text);
}

function navigation({ section }: Page): Child {
  const link = ([name, href, text]: (typeof SECTIONS)[number]) =>
    h('a', { href, 'aria-current': name === section ? 'page' : undefined }, text);
  return h('nav', { 'aria-label': 'Pages' }, ...SECTIONS.map(link));
}

function liveControl(): Child {
  return h(
    'div',
    { class: 'live js-only' },
    h('span', { id: 'live', class: 'off' }, 'connecting'),
    h('button', { type: 'button', id: 'pause', 'aria-pressed': 'false' }, 'Pause'),
  );
}

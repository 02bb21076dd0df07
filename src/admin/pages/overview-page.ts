import type { Context } from 'hono';
import { type Child, jsx as h } from 'hono/jsx';
import { formatBytes, formatCount, formatRate, plural } from '../../format.ts';
import type { ProcessSnapshot } from '../../telemetry/snapshot.ts';
import type { StoreStatus } from '../../tokens/store/store.ts';
import type { AdminContext } from '../context.ts';
import { type Overview, overviewOf, type RouteView } from '../overview.ts';
import { age, facts } from './elements.ts';
import { pageResponse } from './layout.ts';
import { diagnosticBlock, routeArticle } from './route-article.ts';

const COLUMNS = [
  'Process',
  'Uptime',
  'Memory',
  'Connections',
  'WebSockets',
  'In flight',
  'Requests',
  'Token exchanges',
  'Token store',
];

function storeText({ connected, failure }: StoreStatus): string {
  return connected ? 'connected' : `not connected (${failure ?? 'no connection yet'})`;
}

/** A row for each process. */
function workersTable({ processes, atMs }: Overview): Child {
  return h(
    'section',
    { id: 'workers', 'aria-labelledby': 'workers-title' },
    h('h2', { id: 'workers-title' }, 'Workers'),
    h(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Workers' },
      h(
        'table',
        {},
        h(
          'thead',
          {},
          h('tr', {}, ...COLUMNS.map((name, i) => h('th', { scope: 'col', class: i > 0 ? 'num' : '' }, name))),
        ),
        h('tbody', {}, ...processes.map((process) => row(process, atMs))),
      ),
    ),
  );
}

function row(process: ProcessSnapshot, nowMs: number): Child {
  const sum = (of: (route: ProcessSnapshot['routes'][number]) => number) =>
    formatCount(process.routes.reduce((all, route) => all + of(route), 0));
  const store = process.tokenStore;
  const cells: Child[] = [
    age(process.startedAtMs, nowMs),
    formatBytes(process.rssBytes),
    formatCount(process.connections),
    formatCount(process.websockets),
    sum(({ inFlight }) => inFlight),
    sum(({ counts }) => counts?.statuses.reduce((all, n) => all + n, 0) ?? 0),
    formatCount(
      process.credentials.reduce(
        (all, { exchanges: { credentials, refresh } }) => all + credentials.ok + refresh.ok,
        0,
      ),
    ),
    store === undefined ? 'none' : storeText(store),
  ];
  return h(
    'tr',
    { id: `process:${process.pid}` },
    h('th', { scope: 'row' }, String(process.pid)),
    ...cells.map((cell) => h('td', { class: 'num' }, cell)),
  );
}

/** Largest number of routes on the page. */
const MAX_ROUTES = 200;

/** The page of all routes. `?q=` filters by name, provider, upstream and environment. */
export async function overviewPage(c: Context, context: AdminContext): Promise<Response> {
  const overview = await overviewOf(context);
  const q = c.req.query('q')?.trim() ?? '';
  const reload = q === '' ? '/' : `/?q=${encodeURIComponent(q)}`;
  const message = messageOf(overview, c.req.query('refreshed'), c.req.query('not_refreshed'));
  const content = [
    h('h1', {}, 'Routes'),
    overview.routes.length > 1 || q !== '' ? filterForm(q) : null,
    liveContent(overview, q),
  ];
  return pageResponse(c, context, { title: 'Routes', section: 'routes', isLive: true, reload, message, content });
}

function filterForm(q: string): Child {
  return h(
    'form',
    { class: 'filter', method: 'get', action: '/', role: 'search', 'aria-label': 'Routes' },
    h('label', { for: 'q' }, 'Filter'),
    h('input', {
      id: 'q',
      name: 'q',
      type: 'search',
      value: q,
      placeholder: 'name, provider, host',
      autocomplete: 'off',
    }),
    h('button', { type: 'submit' }, 'Filter'),
    q === '' ? null : h('a', { href: '/' }, 'Show all'),
  );
}

/** The part that the script of the page keeps current. */
function liveContent(overview: Overview, q: string): Child {
  const matching = overview.routes.filter((view) => matchesText(view, q.toLowerCase())).sort(bySeverity);
  const shown = matching.slice(0, MAX_ROUTES);
  const rest = matching.length - shown.length;
  return h(
    'div',
    { id: 'live-routes', 'data-live': true },
    summary(overview),
    ...overview.diagnostics.map((diagnostic) => diagnosticBlock(diagnostic, overview.atMs)),
    ...shown.map((view) => routeArticle(view, overview)),
    shown.length === 0 ? h('p', { class: 'empty' }, 'No route matches.') : null,
    rest > 0
      ? h('p', { class: 'empty' }, `${plural(rest, 'more route')} not shown. Use the filter to find them.`)
      : null,
    overview.processes.length > 1 ? workersTable(overview) : null,
  );
}

function matchesText({ config }: RouteView, q: string): boolean {
  const { name, provider, upstream, environment } = config;
  return [name, provider.name, provider.title, upstream, environment].some((text) => text.toLowerCase().includes(q));
}

const SEVERITY = { failing: 0, warning: 1, ok: 2 };

function bySeverity(a: RouteView, b: RouteView): number {
  return SEVERITY[a.state] - SEVERITY[b.state] || b.traffic.perSecond - a.traffic.perSecond;
}

function summary({ routes, processes, tokenStore, atMs }: Overview): Child {
  const failing = routes.filter(({ state }) => state === 'failing').length;
  const perSecond = routes.reduce((sum, { traffic }) => sum + traffic.perSecond, 0);
  const started = Math.min(...processes.map(({ startedAtMs }) => startedAtMs));
  return h(
    'div',
    { class: 'summary' },
    facts([
      ['Routes', String(routes.length)],
      ['Failing', failing === 0 ? 'none' : h('strong', { class: 'failing' }, String(failing))],
      ['Requests', `${formatRate(perSecond)} /s`],
      ['In flight', String(routes.reduce((sum, { snapshot: live }) => sum + (live?.inFlight ?? 0), 0))],
      ['Connections', String(processes.reduce((sum, { connections }) => sum + connections, 0))],
      ['Uptime', processes.length === 0 ? 'no process responds' : age(started, atMs)],
      ['Token store', tokenStore && storeText(tokenStore)],
    ]),
  );
}

/** The result of a refresh without scripts. */
function messageOf({ routes }: Overview, refreshed: string | undefined, not: string | undefined): Child {
  const view = routes.find(({ config }) => config.name === (refreshed ?? not));
  if (view === undefined) return null;
  const { config, credential } = view;
  if (refreshed !== undefined) {
    return `${config.name} has a new token: its fingerprint is ${credential?.token?.fingerprint ?? 'not known'}.`;
  }
  return credential?.fixed === true
    ? `${config.name} uses a fixed key, which cannot be refreshed.`
    : `${config.name} got no new token. The reason is shown at the route.`;
}

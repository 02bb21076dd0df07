import type { Context } from 'hono';
import { type Child, jsx as h } from 'hono/jsx';
import { bytes, count, plural, rate } from '../../format.ts';
import type { ProcessSnapshot } from '../../telemetry/snapshot.ts';
import type { StoreStatus } from '../../tokens/store/store.ts';
import type { AdminContext } from '../context.ts';
import { type Overview, overviewOf, type RouteView } from '../overview.ts';
import { age, facts } from './elements.ts';
import { pageResponse } from './layout.ts';
import { diagnosticBlock, routeArticle } from './route-article.ts';

const COLUMNS = [
  'Process',
  'Up for',
  'Memory',
  'Connections',
  'WebSockets',
  'Under way',
  'Requests',
  'Token exchanges',
  'Token store',
];

function storeInWords({ connected, failure }: StoreStatus): string {
  return connected ? 'connected' : `away (${failure ?? 'no connection'})`;
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
        h('tbody', {}, ...processes.map((told) => row(told, atMs))),
      ),
    ),
  );
}

function row(told: ProcessSnapshot, nowMs: number): Child {
  const sum = (of: (route: ProcessSnapshot['routes'][number]) => number) =>
    count(told.routes.reduce((all, route) => all + of(route), 0));
  const store = told.tokenStore;
  const cells: Child[] = [
    age(told.startedAtMs, nowMs),
    bytes(told.rssBytes),
    count(told.connections),
    count(told.websockets),
    sum(({ inFlight }) => inFlight),
    sum(({ counts }) => counts?.statuses.reduce((all, n) => all + n, 0) ?? 0),
    count(
      told.credentials.reduce((all, { exchanges: { credentials, refresh } }) => all + credentials.ok + refresh.ok, 0),
    ),
    store === undefined ? 'none' : storeInWords(store),
  ];
  return h(
    'tr',
    { id: `process:${told.pid}` },
    h('th', { scope: 'row' }, String(told.pid)),
    ...cells.map((cell) => h('td', { class: 'num' }, cell)),
  );
}

/** Routes on the page; of more, it is said how many are left out. */
const MOST_ROUTES = 200;

/** The page of all routes. `?q=` shows those that have it in their name, provider or upstream. */
export async function overviewPage(c: Context, context: AdminContext): Promise<Response> {
  const overview = await overviewOf(context);
  const q = c.req.query('q')?.trim() ?? '';
  const reload = q === '' ? '/' : `/?q=${encodeURIComponent(q)}`;
  const message = messageOf(overview, c.req.query('refreshed'), c.req.query('not_refreshed'));
  const content = [
    h('h1', {}, 'Routes'),
    overview.routes.length > 1 || q !== '' ? filterForm(q) : null,
    live(overview, q),
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

/** What changes while one looks at it. */
function live(overview: Overview, q: string): Child {
  const fitting = overview.routes.filter((view) => fitsText(view, q.toLowerCase())).sort(byTrouble);
  const shown = fitting.slice(0, MOST_ROUTES);
  const rest = fitting.length - shown.length;
  return h(
    'div',
    { id: 'live-routes', 'data-live': true },
    summary(overview),
    ...overview.diagnostics.map((diagnostic) => diagnosticBlock(diagnostic, overview.atMs)),
    ...shown.map((view) => routeArticle(view, overview)),
    shown.length === 0 ? h('p', { class: 'empty' }, 'No route fits.') : null,
    rest > 0 ? h('p', { class: 'empty' }, `${plural(rest, 'more route')} not shown; the filter finds them.`) : null,
    overview.processes.length > 1 ? workersTable(overview) : null,
  );
}

function fitsText({ config }: RouteView, q: string): boolean {
  const { name, provider, upstream, environment } = config;
  return [name, provider.name, provider.title, upstream, environment].some((text) => text.toLowerCase().includes(q));
}

const TROUBLE = { failing: 0, warning: 1, ok: 2 };

function byTrouble(a: RouteView, b: RouteView): number {
  return TROUBLE[a.state] - TROUBLE[b.state] || b.traffic.perSecond - a.traffic.perSecond;
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
      ['Requests', `${rate(perSecond)} /s`],
      ['Under way', String(routes.reduce((sum, { live }) => sum + (live?.inFlight ?? 0), 0))],
      ['Connections', String(processes.reduce((sum, { connections }) => sum + connections, 0))],
      ['Up for', processes.length === 0 ? 'no process answers' : age(started, atMs)],
      ['Token store', tokenStore && storeInWords(tokenStore)],
    ]),
  );
}

/** What became of a button that was pressed where no script runs. */
function messageOf({ routes }: Overview, refreshed: string | undefined, not: string | undefined): Child {
  const view = routes.find(({ config }) => config.name === (refreshed ?? not));
  if (view === undefined) return null;
  const { config, credential } = view;
  if (refreshed !== undefined) {
    return `${config.name} has a new token: its fingerprint is ${credential?.token?.fingerprint ?? 'not known'}.`;
  }
  return credential?.fixed === true
    ? `${config.name} uses a fixed key: there is nothing to ask for.`
    : `${config.name} got no new token; the reason stands at the route.`;
}

import type { Context } from 'hono';
import { type Child, jsx as h } from 'hono/jsx';
import { formatCount, formatMs, plural } from '../../format.ts';
import { filterOf, TOKEN_USES } from '../api.ts';
import type { AdminContext } from '../context.ts';
import { type RequestFilter, requestsOf, type RequestView } from '../inspector.ts';
import { moment } from './elements.ts';
import { pageResponse } from './layout.ts';

/** Largest number of rows on the page. */
const MAX_ROWS = 200;

/** Largest number of routes in the select element. */
const MAX_OPTIONS = 200;

/** The page of the last requests. The filters are those of the API. */
export async function requestsPage(c: Context, context: AdminContext): Promise<Response> {
  const filter = filterOf(c);
  const { requests, matchCount } = await requestsOf(context.processes(), filter, MAX_ROWS);
  const names = context.config().routes.map(({ name }) => name);
  const content = [h('h1', {}, 'Requests'), filterForm(filter, names), rows(requests, matchCount)];
  return pageResponse(c, context, { title: 'Requests', section: 'requests', isLive: true, content });
}

const STATUSES = ['2xx', '3xx', '4xx', '5xx', 'error'];

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

function filterForm(filter: RequestFilter, routes: readonly string[]): Child {
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  return h(
    'form',
    { class: 'filter', method: 'get', action: '/requests', role: 'search', 'aria-label': 'Requests' },
    field('Search', h('input', { name: 'q', type: 'search', value: filter.q, placeholder: 'path, request id, code' })),
    field('Route', routeField(routes, filter.route)),
    field('Status', select('status', STATUSES, filter.status)),
    field('Method', select('method', METHODS, filter.method?.toUpperCase())),
    field('Token', select('token', TOKEN_USES, filter.token)),
    h('button', { type: 'submit' }, 'Filter'),
    isFiltered ? h('a', { href: '/requests' }, 'Show all') : null,
  );
}

function field(name: string, control: Child): Child {
  return h('label', {}, h('span', {}, name), control);
}

/** A text field if there are too many routes to choose from. */
function routeField(names: readonly string[], chosen: string | undefined): Child {
  if (names.length <= MAX_OPTIONS) return select('route', names, chosen);
  return h('input', { name: 'route', type: 'search', value: chosen, placeholder: '/name/*' });
}

/** The chosen value is added if it is not among the options. */
function select(name: string, options: readonly string[], chosen: string | undefined): Child {
  const all = chosen === undefined || options.includes(chosen) ? options : [...options, chosen];
  return h(
    'select',
    { name },
    h('option', { value: '' }, 'any'),
    ...all.map((value) => h('option', { value, selected: value === chosen }, value)),
  );
}

const COLUMNS = [
  ['Time', ''],
  ['Method', ''],
  ['Path', 'wide'],
  ['Status', ''],
  ['Route', ''],
  ['Total', 'num'],
  ['Token', ''],
  ['Attempts', 'num'],
] as const;

function rows(requests: readonly RequestView[], matchCount: number): Child {
  const rest = matchCount - requests.length;
  return h(
    'div',
    { id: 'live-requests', 'data-live': true },
    h(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'The last requests' },
      h(
        'table',
        { class: 'requests' },
        h('caption', {}, `${plural(requests.length, 'request')}, newest first`),
        h('thead', {}, h('tr', {}, ...COLUMNS.map(([name, kind]) => h('th', { scope: 'col', class: kind }, name)))),
        h('tbody', {}, ...requests.map(row)),
      ),
    ),
    requests.length === 0 ? h('p', { class: 'empty' }, 'No recorded request matches.') : null,
    rest > 0 ? h('p', { class: 'empty' }, `${plural(rest, 'older request')} not shown.`) : null,
  );
}

function row(view: RequestView): Child {
  const { id, atMs, method, path, route, durationMs, use, attempts } = view;
  return h(
    'tr',
    { id: `request:${id}` },
    h('td', {}, moment(atMs)),
    h('td', {}, h('code', {}, method)),
    h('td', { class: 'wide' }, h('a', { href: `/requests/${id}` }, h('code', {}, path))),
    h('td', {}, status(view)),
    h('td', {}, route ?? '–'),
    h('td', { class: 'num' }, formatMs(durationMs)),
    h('td', {}, use ?? '–'),
    h('td', { class: 'num' }, formatCount(attempts)),
  );
}

/** The status, and the error code if Wakala responded with an error. */
export function status({ status: n, code }: RequestView): Child {
  if (n === 0) return h('span', { class: 'status s0' }, 'disconnected');
  return [
    h('span', { class: `status s${Math.floor(n / 100)}` }, String(n)),
    code === undefined ? null : h('span', { class: 'code' }, code),
  ];
}

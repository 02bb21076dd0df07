import { type Child, jsx as h } from 'hono/jsx';
import type { StoreStatus } from '../../tokens/shared/open.ts';
import { bytes, count } from '../format.ts';
import type { ProcessSnapshot } from '../snapshot.ts';
import type { Overview } from '../view.ts';
import { age } from './words.ts';

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

export function storeInWords({ connected, failure }: StoreStatus): string {
  return connected ? 'connected' : `away (${failure ?? 'no connection'})`;
}

/** A row for each process. */
export function workersTable({ processes, atMs }: Overview): Child {
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

import { type Child, jsx as h } from 'hono/jsx';
import { formatCount, formatMs, formatRate, plural } from '../../format.ts';
import { latencyAt } from '../../telemetry/latency.ts';
import type { LifetimeSource } from '../../tokens/token.ts';
import { type Overview, requestsIn, type RouteView, type TrafficWindow } from '../overview.ts';
import type { Diagnostic } from '../route-health.ts';
import { age, countdown, facts, moment, withCode } from './elements.ts';

/** Values over time, by the index of their bucket. */
interface Line {
  /** CSS class for its colour. */
  readonly name: string;
  readonly values: ReadonlyMap<number, number>;
}

const HEIGHT = 32;

/** A stacked bar chart. `label` describes it for screen readers. */
function bars(lines: readonly Line[], window: TrafficWindow, label: string): Child {
  const tops = new Map<number, number>();
  for (const { values } of lines) for (const [index, n] of values) tops.set(index, (tops.get(index) ?? 0) + n);
  const scale = HEIGHT / Math.max(1, ...tops.values());
  const below = new Map<number, number>();
  const paths = lines.map(({ name, values }) => {
    const d = [...values].map(([index, n]) => {
      const from = below.get(index) ?? 0;
      below.set(index, from + n);
      const top = HEIGHT - (from + n) * scale;
      return n === 0 ? '' : `M${index - window.first} ${short(top)}h1v${short(Math.max(n * scale, 1))}h-1z`;
    });
    return h('path', { class: name, d: d.join('') });
  });
  return chart(paths, window, label);
}

/** A step chart, with gaps for missing values. */
function stairs(lines: readonly Line[], window: TrafficWindow, label: string): Child {
  const scale = (HEIGHT - 2) / Math.max(1, ...lines.flatMap(({ values }) => [...values.values()]));
  const paths = lines.map(({ name, values }) => {
    let before = NaN;
    const d = [...values].map(([index, n]) => {
      const y = short(HEIGHT - 1 - n * scale);
      const joins = index === before + 1;
      before = index;
      return joins ? `V${y}h1` : `M${index - window.first} ${y}h1`;
    });
    return h('path', { class: `line ${name}`, d: d.join('') });
  });
  return chart(paths, window, label);
}

function chart(paths: readonly Child[], { first, last }: TrafficWindow, label: string): Child {
  const box = `0 0 ${last - first + 1} ${HEIGHT}`;
  return h(
    'svg',
    { class: 'spark', viewBox: box, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    ...paths,
  );
}

function short(n: number): string {
  return String(Math.round(n * 10) / 10);
}

/** A route: its identity, token, traffic and diagnostics. */
export function routeArticle(view: RouteView, { atMs, processes }: Overview): Child {
  const { name } = view.config;
  return h(
    'article',
    { id: `route:${name}`, class: `route ${view.state}`, 'aria-labelledby': `name:${name}` },
    h('div', { class: 'columns' }, identity(view), token(view, atMs), requests(view), latency(view, processes)),
    ...view.diagnostics.map((diagnostic) => diagnosticBlock(diagnostic, atMs)),
  );
}

function identity({ config, tokenState }: RouteView): Child {
  const { name, provider, environment, upstream } = config;
  const isReal = environment === 'production';
  return h(
    'div',
    { class: 'who' },
    h('h2', { id: `name:${name}` }, name),
    h('p', {}, provider.title),
    h('p', {}, h('span', { class: `environment ${environment}` }, isReal ? 'PRODUCTION' : 'sandbox')),
    h('p', { class: 'upstream' }, upstream),
    tokenState === 'fixed' || tokenState === 'unused' ? null : refreshForm(name),
  );
}

const LIFETIMES: Readonly<Record<LifetimeSource, string>> = {
  expires_in: 'expires_in',
  expires_at: 'expires_at',
  jwt: 'exp of the token',
  default: 'default_lifetime',
  default_expired: 'default_lifetime; the response says it has expired',
  fixed: 'never ends',
};

function token(view: RouteView, nowMs: number): Child {
  const { credential, snapshot } = view;
  if (view.tokenState === 'unused') {
    return h('div', { class: 'token' }, h('p', { class: 'label' }, 'Token'), h('p', { class: 'big' }, 'not used'));
  }
  const held = credential?.token;
  const renewed =
    held && view.tokenState === 'valid' ? countdown(held.refreshAtMs, nowMs, 'with the next request') : undefined;
  return h(
    'div',
    { class: 'token' },
    h('p', { class: 'label' }, 'Token'),
    h('p', { class: 'big' }, tokenText(view, nowMs)),
    facts([
      ['Fingerprint', held && h('code', {}, held.fingerprint)],
      ['Age', held && age(held.issuedAtMs, nowMs)],
      ['Renewed in', renewed],
      ['Lifetime from', held && LIFETIMES[held.lifetimeSource]],
      ['Exchanges', exchangesText(view)],
      ['Refused by the provider', snapshot?.counts && formatCount(snapshot.counts.refusals)],
      ['Shared with', snapshot?.credential === view.config.name ? undefined : snapshot?.credential],
    ]),
    view.traffic.buckets.length === 0 ? null : exchangesOverTime(view),
  );
}

function tokenText({ tokenState, credential }: RouteView, nowMs: number): Child {
  const endsMs = credential?.token?.expiresAtMs ?? 0;
  switch (tokenState) {
    case 'valid':
      return ['valid for ', h('strong', {}, countdown(endsMs, nowMs, '0 s'))];
    case 'expired':
      return ['expired ', age(endsMs, nowMs), ' ago; the next request fetches one'];
    case 'fetching':
      return 'being fetched';
    case 'none':
      return credential === undefined || credential.exchanges.credentials.ok === 0
        ? 'none yet; the first request fetches one'
        : 'none; the next request fetches one';
    case 'fixed':
      return 'fixed key';
    case 'unused':
      return 'not used';
  }
}

function exchangesText({ credential }: RouteView): string | undefined {
  if (credential === undefined || credential.fixed) return undefined;
  const { credentials, refresh } = credential.exchanges;
  const failed = credentials.denied + credentials.unavailable + refresh.denied + refresh.unavailable;
  return `${formatCount(credentials.ok + refresh.ok)} succeeded, ${formatCount(failed)} failed`;
}

function exchangesOverTime({ traffic: { buckets, window }, config }: RouteView): Child {
  const line = (name: string, of: 'exchanges' | 'refusals'): Line => ({
    name,
    values: new Map(buckets.map((bucket) => [bucket.index, bucket[of]])),
  });
  const sum = (of: 'exchanges' | 'refusals') => buckets.reduce((all, bucket) => all + bucket[of], 0);
  const label = `${config.name} in the last 15 minutes: ${plural(sum('exchanges'), 'token exchange')}, ${plural(sum('refusals'), 'refusal')} by the provider`;
  return bars([line('exchange', 'exchanges'), line('s5', 'refusals')], window, label);
}

const CLASSES = [
  ['s2', 2, '2xx'],
  ['s3', 3, '3xx'],
  ['s4', 4, '4xx'],
  ['s5', 5, '5xx'],
  ['s0', 0, 'disconnected'],
] as const;

function requests({ snapshot, traffic: { buckets, window, perSecond }, config }: RouteView): Child {
  const statuses = snapshot?.counts?.statuses ?? [];
  const lines = CLASSES.map(([name, kind]) => ({
    name,
    values: new Map(buckets.map((bucket) => [bucket.index, bucket.statuses[kind] ?? 0])),
  }));
  const sum = buckets.reduce((all, bucket) => all + requestsIn(bucket), 0);
  const label = `${config.name} in the last 15 minutes: ${plural(sum, 'request')}, now ${formatRate(perSecond)} a second`;
  const total = statuses.reduce((all, n) => all + n, 0);
  const kinds = CLASSES.filter(([, kind]) => (statuses[kind] ?? 0) > 0);
  return h(
    'div',
    { class: 'requests' },
    h('p', { class: 'label' }, 'Requests'),
    h('p', { class: 'big' }, h('strong', {}, formatRate(perSecond)), ' /s'),
    buckets.length === 0 ? null : bars(lines, window, label),
    facts([
      ['Since start', formatCount(total)],
      ...kinds.map(
        ([name, kind, text]) => [h('span', { class: `key ${name}` }, text), formatCount(statuses[kind] ?? 0)] as const,
      ),
      ['In flight', snapshot?.inFlight === 0 ? undefined : formatCount(snapshot?.inFlight ?? 0)],
    ]),
    total === 0 ? null : linkToRequests(config.name),
  );
}

function linkToRequests(name: string): Child {
  const href = `/requests?route=${encodeURIComponent(name)}`;
  return h('a', { href, 'aria-label': `Show requests of ${name}` }, 'Show requests');
}

function latency({ traffic, config }: RouteView, processes: Overview['processes']): Child {
  const { buckets, window, p50Ms, p95Ms, p99Ms } = traffic;
  const shown = (ms: number | undefined) => (ms === undefined ? undefined : formatMs(ms));
  const line = (name: string, share: number): Line => ({
    name,
    values: new Map(buckets.flatMap(({ index, latency: inBucket }) => pair(index, latencyAt(inBucket, share)))),
  });
  const label = `${config.name} in the last 15 minutes: half of all responses within ${shown(p50Ms) ?? '0 ms'}, 95 of 100 within ${shown(p95Ms) ?? '0 ms'}`;
  return h(
    'div',
    { class: 'latency' },
    h('p', { class: 'label' }, 'Latency'),
    h('p', { class: 'big' }, h('strong', {}, shown(p50Ms) ?? '–'), p50Ms === undefined ? null : ' p50'),
    buckets.length === 0 ? null : stairs([line('p99', 0.99), line('p95', 0.95), line('p50', 0.5)], window, label),
    facts([
      ['p95', shown(p95Ms)],
      ['p99', shown(p99Ms)],
      ['Connections', connections(config.upstream, processes)],
    ]),
  );
}

function pair(index: number, ms: number | undefined): [number, number][] {
  return ms === undefined ? [] : [[index, ms]];
}

function connections(upstream: string, processes: Overview['processes']): string | undefined {
  const { origin } = new URL(upstream);
  const pools = processes.flatMap(({ upstreams }) => upstreams).filter((pool) => pool.origin === origin);
  if (pools.length === 0) return undefined;
  const sum = (of: 'busy' | 'idle' | 'waiting') => pools.reduce((all, pool) => all + pool[of], 0);
  const waiting = sum('waiting') === 0 ? '' : `, ${sum('waiting')} waiting`;
  return `${sum('busy')} busy, ${sum('idle')} idle${waiting}`;
}

function refreshForm(name: string): Child {
  return h(
    'form',
    { method: 'post', action: `/api/routes/${encodeURIComponent(name)}/refresh`, 'data-action': 'refresh' },
    h('button', { type: 'submit', 'aria-label': `Refresh token now: ${name}` }, 'Refresh token now'),
  );
}

/** What is wrong, what to do, and when it happened. */
export function diagnosticBlock(diagnostic: Diagnostic, nowMs: number): Child {
  const { code, state, what, hint, atMs, untilMs } = diagnostic;
  const again = code === 'token_refused_for_calls' ? 'Not retried for another ' : 'The next attempt is in ';
  const times = [
    atMs === undefined ? null : ['Last seen at ', moment(atMs), '. '],
    untilMs === undefined ? null : [again, countdown(untilMs, nowMs, '0 s'), '.'],
  ];
  return h(
    'div',
    { class: `problem ${state}` },
    h('p', { class: 'what' }, h('strong', {}, `${NAMES[state]}: `), withCode(what)),
    h('p', { class: 'todo' }, h('strong', {}, 'What to do: '), withCode(hint)),
    times.every((time) => time === null) ? null : h('p', { class: 'when' }, times),
  );
}

const NAMES = { failing: 'Failing', warning: 'Warning' };

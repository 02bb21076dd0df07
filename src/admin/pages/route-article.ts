import { type Child, jsx as h } from 'hono/jsx';
import type { Diagnostic } from '../route-health.ts';
import { count, millis, plural, rate } from '../../format.ts';
import { latencyAt } from '../../telemetry/latency.ts';
import type { LifetimeSource } from '../../tokens/token.ts';
import { type Overview, requestsIn, type RouteView, type Steps } from '../overview.ts';
import { age, countdown, facts, moment, withCode } from './elements.ts';

/** One kind of thing over time: a value for each step in which there is one. */
interface Line {
  /** Class that gives it its colour. */
  readonly name: string;
  readonly values: ReadonlyMap<number, number>;
}

const HEIGHT = 32;

/** Bars on top of one another, a step each. `label` says in words what can be seen. */
function bars(lines: readonly Line[], steps: Steps, label: string): Child {
  const tops = new Map<number, number>();
  for (const { values } of lines) for (const [step, n] of values) tops.set(step, (tops.get(step) ?? 0) + n);
  const scale = HEIGHT / Math.max(1, ...tops.values());
  const below = new Map<number, number>();
  const paths = lines.map(({ name, values }) => {
    const d = [...values].map(([step, n]) => {
      const from = below.get(step) ?? 0;
      below.set(step, from + n);
      const top = HEIGHT - (from + n) * scale;
      return n === 0 ? '' : `M${step - steps.first} ${short(top)}h1v${short(Math.max(n * scale, 1))}h-1z`;
    });
    return h('path', { class: name, d: d.join('') });
  });
  return drawing(paths, steps, label);
}

/** Stairs, a step each, with gaps where there is no value. */
function stairs(lines: readonly Line[], steps: Steps, label: string): Child {
  const scale = (HEIGHT - 2) / Math.max(1, ...lines.flatMap(({ values }) => [...values.values()]));
  const paths = lines.map(({ name, values }) => {
    let before = NaN;
    const d = [...values].map(([step, n]) => {
      const y = short(HEIGHT - 1 - n * scale);
      const joins = step === before + 1;
      before = step;
      return joins ? `V${y}h1` : `M${step - steps.first} ${y}h1`;
    });
    return h('path', { class: `line ${name}`, d: d.join('') });
  });
  return drawing(paths, steps, label);
}

function drawing(paths: readonly Child[], { first, last }: Steps, label: string): Child {
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

/** One route: who it is, its token, its traffic, and what is wrong with it. */
export function routeArticle(view: RouteView, { atMs, processes }: Overview): Child {
  const { name } = view.config;
  return h(
    'article',
    { id: `route:${name}`, class: `route ${view.state}`, 'aria-labelledby': `name:${name}` },
    h('div', { class: 'columns' }, who(view), token(view, atMs), requests(view), latency(view, processes)),
    ...view.diagnostics.map((diagnostic) => diagnosticBlock(diagnostic, atMs)),
  );
}

function who({ config, credential }: RouteView): Child {
  const { name, provider, environment, upstream } = config;
  const isReal = environment === 'production';
  return h(
    'div',
    { class: 'who' },
    h('h2', { id: `name:${name}` }, name),
    h('p', {}, provider.title),
    h('p', {}, h('span', { class: `environment ${environment}` }, isReal ? 'PRODUCTION' : 'sandbox')),
    h('p', { class: 'upstream' }, upstream),
    credential?.fixed === true ? null : refreshForm(name),
  );
}

const LIFETIMES: Readonly<Record<LifetimeSource, string>> = {
  expires_in: 'expires_in',
  expires_at: 'expires_at',
  jwt: 'exp of the token',
  default: 'default_lifetime',
  fixed: 'never ends',
};

function token(view: RouteView, nowMs: number): Child {
  const { credential, live } = view;
  const held = credential?.token;
  const renewed =
    held && view.tokenState === 'valid' ? countdown(held.refreshAtMs, nowMs, 'with the next call') : undefined;
  return h(
    'div',
    { class: 'token' },
    h('p', { class: 'label' }, 'Token'),
    h('p', { class: 'big' }, tokenWords(view, nowMs)),
    facts([
      ['Fingerprint', held && h('code', {}, held.fingerprint)],
      ['Age', held && age(held.issuedAtMs, nowMs)],
      ['Renewed in', renewed],
      ['Lifetime from', held && LIFETIMES[held.lifetimeSource]],
      ['Exchanges', exchangesInWords(view)],
      ['Refused by the API', live?.counts && count(live.counts.refusals)],
      ['Shared with', live && live.credential !== view.config.name ? live.credential : undefined],
    ]),
    view.traffic.points.length === 0 ? null : exchangesOverTime(view),
  );
}

function tokenWords({ tokenState, credential }: RouteView, nowMs: number): Child {
  const endsMs = credential?.token?.expiresAtMs ?? 0;
  switch (tokenState) {
    case 'valid':
      return ['valid for ', h('strong', {}, countdown(endsMs, nowMs, 'no more time'))];
    case 'lapsed':
      return ['lapsed ', age(endsMs, nowMs), ' ago; the next call asks'];
    case 'asking':
      return 'being asked for';
    case 'none':
      return credential === undefined || credential.exchanges.credentials.ok === 0
        ? 'none yet; the first call asks'
        : 'none; the next call asks';
    case 'fixed':
      return 'fixed key';
  }
}

function exchangesInWords({ credential }: RouteView): string | undefined {
  if (credential === undefined || credential.fixed) return undefined;
  const { credentials, refresh } = credential.exchanges;
  const failed = credentials.denied + credentials.unavailable + refresh.denied + refresh.unavailable;
  return `${count(credentials.ok + refresh.ok)} good, ${count(failed)} failed`;
}

function exchangesOverTime({ traffic: { points, steps }, config }: RouteView): Child {
  const line = (name: string, of: 'exchanges' | 'refusals'): Line => ({
    name,
    values: new Map(points.map((point) => [point.step, point[of]])),
  });
  const sum = (of: 'exchanges' | 'refusals') => points.reduce((all, point) => all + point[of], 0);
  const label = `${config.name} in the last 15 minutes: ${plural(sum('exchanges'), 'token exchange')}, ${plural(sum('refusals'), 'refusal')} by the API`;
  return bars([line('exchange', 'exchanges'), line('s5', 'refusals')], steps, label);
}

const CLASSES = [
  ['s2', 2, '2xx'],
  ['s3', 3, '3xx'],
  ['s4', 4, '4xx'],
  ['s5', 5, '5xx'],
  ['s0', 0, 'client left'],
] as const;

function requests({ live, traffic: { points, steps, perSecond }, config }: RouteView): Child {
  const statuses = live?.counts?.statuses ?? [];
  const lines = CLASSES.map(([name, kind]) => ({
    name,
    values: new Map(points.map((point) => [point.step, point.statuses[kind] ?? 0])),
  }));
  const sum = points.reduce((all, point) => all + requestsIn(point), 0);
  const label = `${config.name} in the last 15 minutes: ${plural(sum, 'request')}, now ${rate(perSecond)} a second`;
  const total = statuses.reduce((all, n) => all + n, 0);
  const kinds = CLASSES.filter(([, kind]) => (statuses[kind] ?? 0) > 0);
  return h(
    'div',
    { class: 'requests' },
    h('p', { class: 'label' }, 'Requests'),
    h('p', { class: 'big' }, h('strong', {}, rate(perSecond)), ' /s'),
    points.length === 0 ? null : bars(lines, steps, label),
    facts([
      ['Since start', count(total)],
      ...kinds.map(
        ([name, kind, text]) => [h('span', { class: `key ${name}` }, text), count(statuses[kind] ?? 0)] as const,
      ),
      ['Under way', live?.inFlight === 0 ? undefined : count(live?.inFlight ?? 0)],
    ]),
    total === 0 ? null : linkToRequests(config.name),
  );
}

function linkToRequests(name: string): Child {
  const href = `/requests?route=${encodeURIComponent(name)}`;
  return h('a', { href, 'aria-label': `Show requests of ${name}` }, 'Show requests');
}

function latency({ traffic, config }: RouteView, processes: Overview['processes']): Child {
  const { points, steps, p50Ms, p95Ms, p99Ms } = traffic;
  const shown = (ms: number | undefined) => (ms === undefined ? undefined : millis(ms));
  const line = (name: string, share: number): Line => ({
    name,
    values: new Map(points.flatMap(({ step, latency: found }) => pair(step, latencyAt(found, share)))),
  });
  const label = `${config.name} in the last 15 minutes: half of all answers within ${shown(p50Ms) ?? 'no time'}, 95 of 100 within ${shown(p95Ms) ?? 'no time'}`;
  return h(
    'div',
    { class: 'latency' },
    h('p', { class: 'label' }, 'Latency'),
    h('p', { class: 'big' }, h('strong', {}, shown(p50Ms) ?? '–'), p50Ms === undefined ? null : ' p50'),
    points.length === 0 ? null : stairs([line('p99', 0.99), line('p95', 0.95), line('p50', 0.5)], steps, label),
    facts([
      ['p95', shown(p95Ms)],
      ['p99', shown(p99Ms)],
      ['Connections', connections(config.upstream, processes)],
    ]),
  );
}

function pair(step: number, ms: number | undefined): [number, number][] {
  return ms === undefined ? [] : [[step, ms]];
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

/** What is wrong, what to do about it, and when. */
export function diagnosticBlock(diagnostic: Diagnostic, nowMs: number): Child {
  const { code, state, what, hint, atMs, untilMs } = diagnostic;
  const again = code === 'token_refused_for_calls' ? 'Left alone for another ' : 'The next try may be made in ';
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

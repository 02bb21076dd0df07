import { type Child, jsx as h } from 'hono/jsx';
import { formatDuration, formatTimeOfDay } from '../../format.ts';

/** Text in which parts between backticks are code. */
export function withCode(text: string): Child {
  return text.split('`').map((part, i) => (i % 2 === 0 ? part : h('code', {}, part)));
}

/** Time until `untilMs`, which the script of the page counts down. `over` is shown after that. */
export function countdown(untilMs: number, nowMs: number, over: string): Child {
  const left = untilMs <= nowMs ? over : formatDuration(untilMs - nowMs);
  return h('span', { 'data-until': String(untilMs), 'data-over': over }, left);
}

/** Time since `sinceMs`, which the script of the page counts up. */
export function age(sinceMs: number, nowMs: number): Child {
  return h('span', { 'data-since': String(sinceMs) }, formatDuration(nowMs - sinceMs));
}

/** Time of day, with the full time as its title. */
export function moment(atMs: number): Child {
  const full = new Date(atMs).toISOString();
  return h('time', { datetime: full, title: full }, formatTimeOfDay(atMs));
}

/** A definition list. Entries without a value are left out. */
export function facts(list: readonly (readonly [term: Child, value: Child])[]): Child {
  const shown = list.filter(([, value]) => value !== undefined && value !== null && value !== '');
  return h(
    'dl',
    { class: 'facts' },
    ...shown.map(([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, value))),
  );
}

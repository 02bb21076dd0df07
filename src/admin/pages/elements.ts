import { type Child, jsx as h } from 'hono/jsx';
import { formatDuration, timeOfDay } from '../../format.ts';

/** Text in which what stands between backticks is code. */
export function withCode(text: string): Child {
  return text.split('`').map((part, i) => (i % 2 === 0 ? part : h('code', {}, part)));
}

/** How long until a moment; the script of the page counts it down. `over`: what then stands there. */
export function countdown(untilMs: number, nowMs: number, over: string): Child {
  const left = untilMs <= nowMs ? over : formatDuration(untilMs - nowMs);
  return h('span', { 'data-until': String(untilMs), 'data-over': over }, left);
}

/** How long since a moment; the script of the page counts it up. */
export function age(sinceMs: number, nowMs: number): Child {
  return h('span', { 'data-since': String(sinceMs) }, formatDuration(nowMs - sinceMs));
}

/** Time of day, with the whole time for those who ask for it. */
export function moment(atMs: number): Child {
  const whole = new Date(atMs).toISOString();
  return h('time', { datetime: whole, title: whole }, timeOfDay(atMs));
}

/** A definition list of short facts; those without a value are left out. */
export function facts(list: readonly (readonly [term: Child, value: Child])[]): Child {
  const shown = list.filter(([, value]) => value !== undefined && value !== null && value !== '');
  return h(
    'dl',
    { class: 'facts' },
    ...shown.map(([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, value))),
  );
}

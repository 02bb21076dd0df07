import { type Child, jsx as h } from 'hono/jsx';
import type { Problem } from '../advice.ts';
import { countdown, moment, stateLabel } from './words.ts';

const NAMES = { failing: 'Failing', warning: 'Warning' };

/** What is wrong, what to do about it, and when. */
export function problemBlock(problem: Problem, nowMs: number): Child {
  const { state, what, todo, atMs, untilMs } = problem;
  const again = problem.code === 'token_refused_for_calls' ? 'Left alone for another ' : 'The next try may be made in ';
  const times = [
    atMs === undefined ? null : ['Last seen at ', moment(atMs), '. '],
    untilMs === undefined ? null : [again, countdown(untilMs, nowMs, '0 s'), '.'],
  ];
  return h(
    'div',
    { class: `problem ${state}` },
    h('p', { class: 'what' }, h('strong', {}, `${NAMES[state]}: `), stateLabel(what)),
    h('p', { class: 'todo' }, h('strong', {}, 'What to do: '), stateLabel(todo)),
    times.every((time) => time === null) ? null : h('p', { class: 'when' }, times),
  );
}

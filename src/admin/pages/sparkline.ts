import { type Child, jsx as h } from 'hono/jsx';
import type { Steps } from '../traffic.ts';

/** One kind of thing over time: a value for each step in which there is one. */
export interface Line {
  /** Class that gives it its colour. */
  readonly name: string;
  readonly values: ReadonlyMap<number, number>;
}

const HEIGHT = 32;

/** Bars on top of one another, a step each. `label` says in words what can be seen. */
export function bars(lines: readonly Line[], steps: Steps, label: string): Child {
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
export function stairs(lines: readonly Line[], steps: Steps, label: string): Child {
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

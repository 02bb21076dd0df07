import { type Child, jsx as h } from 'hono/jsx';
import { millis } from '../format.ts';
import type { RequestDetails } from '../request-details.ts';
import type { Span, SpanKind } from '../spans.ts';

const NAMES: Readonly<Record<SpanKind, string>> = {
  'client body': "Waiting for the client's body",
  token: 'Waiting for a token',
  connecting: 'Connecting',
  'first byte': 'Waiting for the first byte',
  'answer body': 'Answer',
};

/** Where the time of a request went: a row for each stretch. */
export function timing(spans: readonly Span[], attempts: RequestDetails['attempts']): Child {
  const wholeMs = spans.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  const rows = spans.map((span, i) => row(span, wholeMs, attemptOf(spans, i, attempts.length)));
  return h(
    'section',
    { 'aria-labelledby': 'timing' },
    h('h2', { id: 'timing' }, 'Timing'),
    h(
      'table',
      { class: 'timing' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...['What', 'Time', 'When'].map((name, i) => h('th', { scope: 'col', class: i === 1 ? 'num' : '' }, name)),
        ),
      ),
      h('tbody', {}, ...rows),
    ),
  );
}

function row(span: Span, wholeMs: number, attempt: string): Child {
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, NAMES[span.kind] + attempt),
    h('td', { class: 'num' }, millis(span.lengthMs)),
    h('td', { class: 'bar' }, bar(span, wholeMs)),
  );
}

/** Of two attempts, which one it is. */
function attemptOf(spans: readonly Span[], index: number, attempts: number): string {
  if (attempts < 2 || index === 0) return '';
  const before = spans.slice(0, index + 1).filter(({ kind }) => kind === 'token').length;
  return before === 1 ? ', first attempt' : ', second attempt';
}

/** The number stands beside it: it is for the eye alone. */
function bar({ kind, fromMs, lengthMs }: Span, wholeMs: number): Child {
  const scale = wholeMs === 0 ? 0 : 100 / wholeMs;
  const width = Math.max(lengthMs * scale, lengthMs > 0 ? 0.5 : 0);
  const x = Math.min(fromMs * scale, 99.5);
  return h(
    'svg',
    { class: 'span', viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    h('rect', { class: kind.replace(' ', '-'), x: x.toFixed(2), y: '1', width: width.toFixed(2), height: '8' }),
  );
}

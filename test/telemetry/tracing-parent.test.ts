import { describe, expect, it } from 'vitest';
import { parentOf, traceparentOf } from '../../src/telemetry/otlp.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('a traceparent', () => {
  it.each([
    ['sampled', `00-${TRACE}-${SPAN}-01`, 1],
    ['not sampled', `00-${TRACE}-${SPAN}-00`, 0],
    ['with more flags than are known', `00-${TRACE}-${SPAN}-ff`, 1],
    ['with none of the flags that are known', `00-${TRACE}-${SPAN}-fe`, 0],
    ['of a later version', `cc-${TRACE}-${SPAN}-01`, 1],
    ['of a later version with more in it', `cc-${TRACE}-${SPAN}-01-what-the-future-will-be`, 1],
  ])('that is %s is the parent', (_, line, traceFlags) => {
    const parent = { traceId: TRACE, spanId: SPAN, traceFlags, isRemote: true };
    expect(parentOf(['Host', 'x', 'TraceParent', line])).toEqual(parent);
  });

  it.each([
    ['empty', ''],
    ['of version ff', `ff-${TRACE}-${SPAN}-01`],
    ['too long for its version', `00-${TRACE}-${SPAN}-01-more`],
    ['without flags', `00-${TRACE}-${SPAN}`],
    ['with a long flag', `00-${TRACE}-${SPAN}-001`],
    ['in capitals', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['all zeroes in the trace', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['all zeroes in the span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['something else', `${TRACE}:${SPAN}:0:1`],
  ])('that is %s is none', (_, line) => {
    expect(parentOf(['traceparent', line])).toBeUndefined();
  });

  it('is none where there are two', () => {
    const line = `00-${TRACE}-${SPAN}-01`;
    expect(parentOf(['traceparent', line, 'traceparent', line])).toBeUndefined();
    expect(parentOf(['tracestate', line])).toBeUndefined();
  });

  it('is written as it is read', () => {
    const line = `00-${TRACE}-${SPAN}-01`;
    expect(traceparentOf(parentOf(['traceparent', line])!)).toBe(line);
  });
});

import type { SpanContext } from '@opentelemetry/api';

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * The span that a client's request belongs to, by W3C Trace Context 3.2.
 * @param headers names and values by turns
 * @returns undefined where no `traceparent`, no valid one, or more than one is there
 */
export function parentOf(headers: readonly string[]): SpanContext | undefined {
  let line: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name.length !== 11 || name.toLowerCase() !== 'traceparent') continue;
    if (line !== undefined) return undefined;
    line = headers[i + 1] ?? '';
  }
  return line === undefined ? undefined : parse(line.trim());
}

/** Later versions may have more behind the flags; `ff` is none. */
function parse(line: string): SpanContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(line) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: parseInt(flags, 16) & 1, isRemote: true };
}

/** The line that tells the next one of a span. */
export function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & 1}`;
}

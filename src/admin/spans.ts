import type { RecordedRequest } from '../telemetry/recorder.ts';

/** What a request waited for. */
export type SpanKind = 'client body' | 'token' | 'connecting' | 'first byte' | 'answer body';

/** A stretch of a request's time. Milliseconds from its start. */
export interface Span {
  readonly kind: SpanKind;
  readonly fromMs: number;
  readonly lengthMs: number;
}

/** The whole time of a request in stretches, one after another without a gap. */
export function spansOf(recorded: RecordedRequest): Span[] {
  const spans: Span[] = [];
  let at = recorded.startedAt;
  const until = (kind: SpanKind, end: number) => {
    spans.push({ kind, fromMs: at - recorded.startedAt, lengthMs: Math.max(0, end - at) });
    at = Math.max(at, end);
  };
  // A moment that never came is 0: what was waited for then lasted to the end.
  const orEnd = (moment: number) => (moment === 0 ? recorded.endedAt : moment);
  until('client body', orEnd(recorded.receivedAt));
  if (recorded.receivedAt === 0) return spans;
  for (const attempt of recorded.attempts) {
    until('token', attempt.sentAt);
    until('connecting', orEnd(attempt.connectedAt));
    if (attempt.connectedAt === 0) return spans;
    until('first byte', orEnd(attempt.answeredAt));
    if (attempt.answeredAt === 0) return spans;
  }
  until(recorded.attempts.length === 0 ? 'token' : 'answer body', recorded.endedAt);
  return spans;
}

/** Milliseconds in all stretches of a kind. */
export function total(spans: readonly Span[], kind: SpanKind): number {
  return spans.reduce((sum, span) => (span.kind === kind ? sum + span.lengthMs : sum), 0);
}

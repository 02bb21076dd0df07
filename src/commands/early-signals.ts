const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** What they do to any other process that does not listen for them. */
const leave = (signal: NodeJS.Signals) => process.exit(signal === 'SIGTERM' ? 143 : 130);

/**
 * The first process of a container gets no signal that it does not listen for: one that came while it starts would be
 * lost, and whoever sent it would wait and then kill.
 */
export function leaveOnEarlySignals(): void {
  if (process.pid !== 1) return;
  for (const signal of SIGNALS) process.on(signal, leave);
}

/** From here on, somebody else listens. */
export function endEarlySignals(): void {
  for (const signal of SIGNALS) process.off(signal, leave);
}

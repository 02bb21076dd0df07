/**
 * Keeps SIGUSR1 from opening Node's debugger. That listens on a loopback port, through which every user of the machine
 * could read tokens. One that was opened before this is closed, unless an option of Node asked for it.
 */
export function keepDebuggerClosed(): void {
  // Node opens the debugger only where nothing listens for the signal.
  process.on('SIGUSR1', () => undefined);
  const options = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  const inspector = process.getBuiltinModule('node:inspector');
  if (!options.includes('--inspect') && inspector.url() !== undefined) inspector.close();
}

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

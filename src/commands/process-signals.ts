/**
 * Prevents SIGUSR1 from starting Node's debugger. The debugger listens on a loopback port, so every user of the machine
 * could read tokens through it. A debugger that is already open is closed, unless an `--inspect` option started it.
 */
export function keepDebuggerClosed(): void {
  // Node starts the debugger only if the signal has no listener.
  process.on('SIGUSR1', () => undefined);
  const options = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  const inspector = process.getBuiltinModule('node:inspector');
  if (!options.includes('--inspect') && inspector.url() !== undefined) inspector.close();
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** The default action of the signal, with its usual exit code. */
const exit = (signal: NodeJS.Signals) => process.exit(signal === 'SIGTERM' ? 143 : 130);

/**
 * The kernel does not apply the default action of a signal to process 1 of a container. Without these listeners, a
 * signal during the start would be lost, and the container would be killed after its grace period.
 */
export function exitOnEarlySignals(): void {
  if (process.pid !== 1) return;
  for (const signal of SIGNALS) process.on(signal, exit);
}

/** Called when the command listens for the signals. */
export function stopExitingOnSignals(): void {
  for (const signal of SIGNALS) process.off(signal, exit);
}

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

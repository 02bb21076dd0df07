#!/usr/bin/env node
import { keepDebuggerClosed, leaveOnEarlySignals } from './commands/process-signals.ts';

leaveOnEarlySignals();
keepDebuggerClosed();
const { main } = await import('./commands/program.ts');
await main(process.argv);

#!/usr/bin/env node
import { keepDebuggerClosed, exitOnEarlySignals } from './commands/process-signals.ts';

exitOnEarlySignals();
keepDebuggerClosed();
const { main } = await import('./commands/program.ts');
await main(process.argv);

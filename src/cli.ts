#!/usr/bin/env node
import { keepDebuggerClosed } from './commands/debugger.ts';
import { leaveOnEarlySignals } from './commands/early-signals.ts';

leaveOnEarlySignals();
keepDebuggerClosed();
const { main } = await import('./commands/program.ts');
await main(process.argv);

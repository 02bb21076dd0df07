#!/usr/bin/env node
import { exitOnEarlySignals, keepDebuggerClosed } from './commands/process-signals.ts';

exitOnEarlySignals();
keepDebuggerClosed();
const { main } = await import('./commands/program.ts');
await main(process.argv);

#!/usr/bin/env node
import { leaveOnEarlySignals } from './commands/early-signals.ts';
import { relaunchIfLasting } from './commands/relaunch.ts';

leaveOnEarlySignals();
relaunchIfLasting(process.argv.slice(2));
const { main } = await import('./commands/program.ts');
await main(process.argv);

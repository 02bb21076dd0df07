#!/usr/bin/env node
import { relaunchIfLasting } from './commands/relaunch.ts';

relaunchIfLasting(process.argv.slice(2));
const { main } = await import('./commands/program.ts');
await main(process.argv);

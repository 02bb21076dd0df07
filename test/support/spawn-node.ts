import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { isListening } from './free-port.ts';

export interface SpawnNodeOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where it will listen on 127.0.0.1. */
  readonly port: number;
}

/** Runs a program on this Node until the test ends; resolves when it listens. @throws Error with what it printed */
export async function spawnNode(args: readonly string[], { cwd, env, port }: SpawnNodeOptions): Promise<void> {
  const child = spawn(process.execPath, args, { cwd, env: { ...process.env, ...env }, stdio: 'pipe' });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  let printed = '';
  child.stderr.on('data', (chunk) => (printed += String(chunk)));
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${printed}`);
    await sleep(20);
  }
}

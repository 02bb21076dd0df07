import { execFileSync } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { RedisProcess } from './redis-process.ts';

/** Where these tests must not be passed over. */
const IN_CI = process.env['CI'] !== undefined;

/** Whether redis-server is there; in CI it must be. */
export function hasRedis(): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    const how = 'redis-server is missing: apt-get install redis-server (or the package of your system)';
    if (IN_CI) throw new Error(how);
    process.stderr.write(`${how}; the tests that need it are skipped\n`);
    return false;
  }
}

/** A real Redis that ends with the test. */
export const RedisServer = {
  start: (args?: readonly string[]) => RedisProcess.start(onTestFinished, args),
  /** A place for one, where nothing listens yet. */
  absent: (args?: readonly string[]) => RedisProcess.absent(onTestFinished, args),
};
export type RedisServer = RedisProcess;

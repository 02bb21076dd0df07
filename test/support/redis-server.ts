import { onTestFinished } from 'vitest';
import { RedisProcess } from './redis-process.ts';

/** A real Redis that ends with the test. */
export const RedisServer = {
  start: (args?: readonly string[]) => RedisProcess.start(onTestFinished, args),
  /** A place for one, where nothing listens yet. */
  absent: (args?: readonly string[]) => RedisProcess.absent(onTestFinished, args),
  /** A sentinel with these lines in its configuration. */
  startSentinel: (lines: readonly string[]) => RedisProcess.startSentinel(onTestFinished, lines),
};
export type RedisServer = RedisProcess;

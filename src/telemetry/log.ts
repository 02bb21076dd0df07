import { pino } from 'pino';
import { networkCode } from '../errors.ts';
import type { Log } from '../log.ts';
import { humanLine } from './human-line.ts';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'pretty' | 'json' | 'auto';
  /** Whether `sink` is a terminal: `auto` means one human line there, JSON elsewhere. */
  readonly tty: boolean;
  readonly colour: boolean;
  /** Requests that go well get a line, so for people what that line tells gets none of its own. */
  readonly requests?: boolean;
  /** Number of the worker whose log it is; undefined where one process does all. */
  readonly worker?: number | undefined;
}

/** Fields that never carry their value, whoever logs them: the last net below `Secret`. */
const NEVER = [
  'authorization',
  'proxy_authorization',
  'token_value',
  'access_token',
  'refresh_token',
  'secret',
  'password',
];

/** A log whose level can be changed while it is in use. */
export interface LevelledLog extends Log {
  level: string;
}

/** A logger on a sink that takes whole lines. Written synchronously: nothing is lost when the process ends. */
export function createLog(options: LogOptions, sink: (line: string) => void): LevelledLog {
  const pretty = options.format === 'pretty' || (options.format === 'auto' && options.tty);
  const write = (json: string) => {
    const line = pretty ? humanLine(json, options) : json;
    if (line !== '') sink(line);
  };
  return pino(
    {
      level: options.level,
      base: options.worker === undefined ? null : { worker: options.worker },
      redact: { paths: NEVER, censor: '[redacted]' },
      formatters: { level: (label) => ({ level: label }), log: withoutErrors },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    { write },
  );
}

/** An error's message, stack and causes may quote what nobody should read: of one, only its code is told. */
function withoutErrors(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? networkCode(value) : value]),
  );
}

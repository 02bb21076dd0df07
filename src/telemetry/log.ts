import { pino } from 'pino';
import { networkCode } from '../errors.ts';
import type { Log, LogFields } from '../logger.ts';
import { humanLine } from './pretty.ts';
import { maskedPath, maskedUrl } from './mask.ts';
import { maskedText } from './mask-text.ts';

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
      formatters: { level: (label) => ({ level: label }), log: loggedFields },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    { write },
  );
}

/** Another log, with the fields of its lines as `createLog` writes them. */
export function maskedLog(log: Log): Log {
  return {
    debug: (fields, message) => log.debug(loggedFields(fields), message),
    info: (fields, message) => log.info(loggedFields(fields), message),
    warn: (fields, message) => log.warn(loggedFields(fields), message),
    error: (fields, message) => log.error(loggedFields(fields), message),
  };
}

/** Fields with words of a client or a provider, masked whoever logs them. */
const MASKS: Readonly<Record<string, (text: string) => string>> = {
  path: maskedPath,
  url: maskedUrl,
  provider_said: (text) => maskedText(text),
};

/** An error's message, stack and causes may quote what nobody should read: of one, only its code is told. */
function loggedFields(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (value instanceof Error) return [name, networkCode(value)];
      const mask = typeof value === 'string' && Object.hasOwn(MASKS, name) ? MASKS[name] : undefined;
      return [name, mask === undefined ? value : mask(String(value))];
    }),
  );
}

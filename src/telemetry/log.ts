import { pino } from 'pino';
import { networkCode } from '../errors.ts';
import { type Log, LOG_MESSAGES, type LogFields, type LogTarget } from '../logger.ts';
import { maskedPath, maskedUrl } from './mask.ts';
import { maskedText } from './mask-text.ts';
import type { Output } from './output.ts';
import { prettyLine } from './pretty.ts';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'pretty' | 'json' | 'auto';
  /** Whether `sink` is a terminal. `auto` is `pretty` on a terminal and `json` elsewhere. */
  readonly tty: boolean;
  readonly colour: boolean;
  /** Whether every request gets a line when it ends. Pretty lines that would repeat it are left out. */
  readonly requests?: boolean;
  /** Number of the worker process; undefined without workers. */
  readonly worker?: number | undefined;
}

/** Values of these fields are never written. `Secret` redacts itself; this also covers a plain string. */
const NEVER_LOGGED = [
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

/** Writes whole lines to `sink`. Lines that an `Output` drops are counted and reported. */
export function createLog(options: LogOptions, sink: Output | ((line: string) => void)): LevelledLog {
  const output = typeof sink === 'function' ? undefined : sink;
  const writeLine = typeof sink === 'function' ? sink : (line: string) => sink.write(line);
  const isPretty = options.format === 'pretty' || (options.format === 'auto' && options.tty);
  const write = (json: string) => {
    const line = isPretty ? prettyLine(json, options) : json;
    if (line !== '') writeLine(line);
  };
  const logger = pino(
    {
      level: options.level,
      base: options.worker === undefined ? null : { worker: options.worker },
      redact: { paths: NEVER_LOGGED, censor: '[redacted]' },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    { write },
  );
  const log = logTo(logger);
  if (output !== undefined) output.onDropped = (lines) => log.error('log_lines_dropped', { lines });
  return {
    ...log,
    get droppedLines() {
      return output?.droppedLines ?? 0;
    },
    get level() {
      return logger.level;
    },
    set level(level) {
      logger.level = level;
    },
  };
}

/** A log that writes to a logger such as pino's: adds `event` and masks the fields. */
export function logTo(target: LogTarget): Log {
  const method =
    (level: keyof LogTarget): Log[typeof level] =>
    (event, fields = {}, message = LOG_MESSAGES[event]) =>
      target[level]({ event, ...maskedFields(fields) }, message);
  return { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') };
}

/** Fields that may hold text of a client or a provider. */
const MASKS: Readonly<Record<string, (text: string) => string>> = {
  path: maskedPath,
  url: maskedUrl,
  provider_said: (text) => maskedText(text),
};

/** Errors become their code: the message, stack and causes may quote a secret. */
function maskedFields(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (value instanceof Error) return [name, networkCode(value)];
      const mask = typeof value === 'string' && Object.hasOwn(MASKS, name) ? MASKS[name] : undefined;
      return [name, mask === undefined ? value : mask(String(value))];
    }),
  );
}

import { pino } from 'pino';
import { networkCode } from '../errors.ts';
import type { Log } from '../log.ts';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'pretty' | 'json' | 'auto';
  /** Whether `sink` is a terminal: `auto` means one human line there, JSON elsewhere. */
  readonly tty: boolean;
  readonly colour: boolean;
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
  return pino(
    {
      level: options.level,
      base: null,
      redact: { paths: NEVER, censor: '[redacted]' },
      formatters: { level: (label) => ({ level: label }), log: withoutErrors },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    { write: (line: string) => sink(pretty ? humanLine(line, options.colour) : line) },
  );
}

/** An error's message, stack and causes may quote what nobody should read: of one, only its code is told. */
function withoutErrors(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? networkCode(value) : value]),
  );
}

const COLOURS: Record<string, string> = { debug: '2', info: '36', warn: '33', error: '31' };

/** `12:00:00 WARN  token exchange failed  provider=mpesa status=500` */
function humanLine(json: string, colour: boolean): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown> & { level: string; time: string };
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${shown(value)}`);
  const details = rest.length === 0 ? '' : `  ${paint('2', rest.join(' '))}`;
  return `${time.slice(11, 19)} ${paint(COLOURS[level] ?? '0', level.toUpperCase().padEnd(5))} ${harmless(String(msg))}${details}\n`;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return harmless(/[\s"=]/.test(text) ? JSON.stringify(text) : text);
}

/** Control characters and those that turn the direction of text, escaped: a line must not steer the terminal. */
function harmless(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

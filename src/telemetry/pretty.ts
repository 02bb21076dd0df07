import { statusOf } from '../errors.ts';
import type { LogEvent } from '../logger.ts';
import type { TokenUse } from './request-record.ts';

interface PrettyOptions {
  readonly colour: boolean;
  /** Whether every request gets a line when it ends. */
  readonly requests?: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/** A pretty line without its time. */
interface Line {
  /** Up to five characters. */
  readonly label: string;
  /** SGR parameter of the label. */
  readonly colour: string;
  readonly parts: readonly string[];
  /** Printed as `name=value` after the parts. */
  readonly rest: Fields;
}

const LEVEL_COLOURS: Readonly<Record<string, string>> = { debug: '2', info: '36', warn: '33', error: '31' };

/** By the first digit. */
const STATUS_COLOURS: Readonly<Record<string, string>> = { 1: '36', 2: '32', 3: '36', 4: '33', 5: '31' };

const TOKEN_USES: Readonly<Record<string, string>> = {
  cached: '',
  fetched: 'token fetched',
  replayed: 'token was refused: sent again with a new one',
  'not-replayed': 'token was refused: not sent again',
} satisfies Record<TokenUse, string>;

/** Events whose fields are the whole line; others print their message. */
const FORMATS: Partial<Record<LogEvent, (fields: Fields, level: string) => Line>> = {
  request_finished: requestLine,
  request_failed: failureLine,
  request_refused: failureLine,
  upgrade_refused: failureLine,
  websocket_handshake_failed: failureLine,
  emulator_callback: callbackLine,
};

/**
 * Formats a JSON line for a terminal: `12:00:00 WARN  token exchange failed  provider=mpesa status=500`. Empty if the
 * line at the end of the request says the same.
 */
export function prettyLine(json: string, { colour, requests = false }: PrettyOptions): string {
  const { level, time, event, msg, ...fields } = JSON.parse(json) as Fields & {
    level: string;
    time: string;
    event: LogEvent;
    msg: string;
  };
  if (requests && event === 'request_replayed') return '';
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const line = FORMATS[event]?.(fields, level) ?? { ...labelOfLevel(level), parts: [msg], rest: fields };
  const rest = Object.entries(line.rest).map(([name, value]) => `${name}=${shown(value)}`);
  const details = rest.length === 0 ? [] : [paint('2', rest.join(' '))];
  const text = [...line.parts.filter((part) => part !== '').map(escapeControls), ...details].join('  ');
  return `${time.slice(11, 19)} ${paint(line.colour, line.label.padEnd(5))} ${text}\n`;
}

function labelOfLevel(level: string): Pick<Line, 'label' | 'colour'> {
  return { label: level.toUpperCase(), colour: LEVEL_COLOURS[level] ?? '0' };
}

function labelOfStatus(status: unknown): Pick<Line, 'label' | 'colour'> {
  const label = String(status);
  return { label, colour: STATUS_COLOURS[label.charAt(0)] ?? '0' };
}

/** `12:00:00 200   POST /mpesa/* /stkpush/v1/query  12 ms  token fetched  #1baa11a0` */
function requestLine(fields: Fields): Line {
  const { status, duration_ms: ms, token, attempts, ...others } = fields;
  const { request, id, rest } = requestOf(others);
  const parts = [
    request,
    ms === undefined ? '' : `${shown(ms)} ms`,
    TOKEN_USES[String(token)] ?? '',
    attempts === 0 ? 'response from Wakala' : '',
    id,
  ];
  return { ...(status === undefined ? { label: '-', colour: '2' } : labelOfStatus(status)), parts, rest };
}

/** `12:00:00 502   GET /own/* /x  upstream_unreachable: No connection to the provider.  #1baa11a0  cause=ECONNREFUSED` */
function failureLine(fields: Fields, level: string): Line {
  const { status, code, error, outcome, duration_ms: ms, token, ...others } = fields;
  const { request, id, rest: more } = requestOf(others);
  const { attempts, ...rest } = more;
  const problemStatus = statusOf(String(code));
  const parts = [
    request,
    [code, error]
      .filter((part) => part !== undefined)
      .map(String)
      .join(': '),
    outcome === 'unknown' ? 'the provider may have acted on it' : '',
    status === undefined ? '' : `the provider responded ${shown(status)}`,
    ms === undefined ? '' : `${shown(ms)} ms`,
    attempts === 0 ? '' : (TOKEN_USES[String(token)] ?? ''),
    id,
  ];
  return { ...(problemStatus === undefined ? labelOfLevel(level) : labelOfStatus(problemStatus)), parts, rest };
}

/** `12:00:00 200   mpesa called back http://127.0.0.1:3000/callbacks/mpesa` */
function callbackLine({ provider, url, status, error, ...rest }: Fields): Line {
  const to = String(url);
  if (status !== undefined) return { ...labelOfStatus(status), parts: [`${String(provider)} called back ${to}`], rest };
  const reason = String(error).replace(/^not delivered: /, '');
  return { ...labelOfLevel('warn'), parts: [`${String(provider)} could not call back ${to}`, reason], rest };
}

/** `request`: method, route and path. `id`: the first characters of the request's id, enough to find it. */
function requestOf(fields: Fields): { readonly request: string; readonly id: string; readonly rest: Fields } {
  const { request_id: id, method, route, path, ...rest } = fields;
  const request = [method, route, path].filter((part) => part !== undefined).map(String);
  return { request: request.join(' '), id: typeof id === 'string' ? `#${id.slice(0, 8)}` : '', rest };
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return escapeControls(/[\s"=]/.test(text) ? JSON.stringify(text) : text);
}

/** Escapes control and bidirectional characters, so that a line cannot control the terminal. */
function escapeControls(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

import { statusOf } from '../errors.ts';
import type { TokenUse } from './request-record.ts';

interface HumanLineOptions {
  readonly colour: boolean;
  /** Every request gets a line at its end. */
  readonly requests?: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/** What a line says after its time. */
interface Words {
  /** Up to five characters. */
  readonly label: string;
  readonly colour: string;
  readonly parts: readonly string[];
  /** Told by their names behind the parts. */
  readonly rest: Fields;
}

const COLOURS: Readonly<Record<string, string>> = { debug: '2', info: '36', warn: '33', error: '31' };

/** By the first digit. */
const STATUS_COLOURS: Readonly<Record<string, string>> = { 1: '36', 2: '32', 3: '36', 4: '33', 5: '31' };

const TOKEN_USES: Readonly<Record<string, string>> = {
  cached: '',
  fetched: 'token fetched',
  replayed: 'token was dead: refreshed and sent again',
  'not-replayed': 'token was dead: not sent again',
} satisfies Record<TokenUse, string>;

/** Messages whose fields say it all, in words of their own. */
const WORDS = new Map<string, (fields: Fields, level: string) => Words>([
  ['request', requestWords],
  ['request failed', failureWords],
  ['request refused', failureWords],
  ['upgrade refused', failureWords],
  ['websocket handshake failed', failureWords],
  ['callback', callbackWords],
]);

/**
 * A line of JSON, for people: `12:00:00 WARN  token exchange failed  provider=mpesa status=500`. Empty if the line at
 * the end of the request says the same.
 */
export function humanLine(json: string, { colour, requests = false }: HumanLineOptions): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Fields & { level: string; time: string };
  const message = String(msg);
  if (requests && message === 'sent again with a new token') return '';
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const words = WORDS.get(message)?.(fields, level) ?? plainWords(message, fields, level);
  const rest = Object.entries(words.rest).map(([name, value]) => `${name}=${shown(value)}`);
  const details = rest.length === 0 ? [] : [paint('2', rest.join(' '))];
  const said = [...words.parts.filter((part) => part !== '').map(harmless), ...details].join('  ');
  return `${time.slice(11, 19)} ${paint(words.colour, words.label.padEnd(5))} ${said}\n`;
}

function plainWords(message: string, rest: Fields, level: string): Words {
  return { ...ofLevel(level), parts: [message], rest };
}

function ofLevel(level: string): Pick<Words, 'label' | 'colour'> {
  return { label: level.toUpperCase(), colour: COLOURS[level] ?? '0' };
}

function ofStatus(status: unknown): Pick<Words, 'label' | 'colour'> {
  const label = String(status);
  return { label, colour: STATUS_COLOURS[label.charAt(0)] ?? '0' };
}

/** `12:00:00 200   POST /mpesa/* /stkpush/v1/query  12 ms  token fetched  #1baa11a0` */
function requestWords(fields: Fields): Words {
  const { status, duration_ms: ms, token, attempts, ...others } = fields;
  const { what, id, rest } = requestOf(others);
  const parts = [
    what,
    ms === undefined ? '' : `${shown(ms)} ms`,
    TOKEN_USES[String(token)] ?? '',
    attempts === 0 ? 'answered by wakala' : '',
    id,
  ];
  return { ...(status === undefined ? { label: '-', colour: '2' } : ofStatus(status)), parts, rest };
}

/** `12:00:00 502   GET /own/* /x  upstream_unreachable: No connection to the provider.  #1baa11a0  cause=ECONNREFUSED` */
function failureWords(fields: Fields, level: string): Words {
  const { status, code, error, outcome, duration_ms: ms, token, ...others } = fields;
  const { what, id, rest: more } = requestOf(others);
  const { attempts, ...rest } = more;
  const own = statusOf(String(code));
  const parts = [
    what,
    [code, error]
      .filter((part) => part !== undefined)
      .map(String)
      .join(': '),
    outcome === 'unknown' ? 'the provider may have acted on it' : '',
    status === undefined ? '' : `the provider answered ${shown(status)}`,
    ms === undefined ? '' : `${shown(ms)} ms`,
    attempts === 0 ? '' : (TOKEN_USES[String(token)] ?? ''),
    id,
  ];
  return { ...(own === undefined ? ofLevel(level) : ofStatus(own)), parts, rest };
}

/** `12:00:00 200   mpesa called back http://127.0.0.1:3000/callbacks/mpesa` */
function callbackWords({ provider, url, status, error, ...rest }: Fields): Words {
  const to = String(url);
  if (status !== undefined) return { ...ofStatus(status), parts: [`${String(provider)} called back ${to}`], rest };
  const why = String(error).replace(/^not delivered: /, '');
  return { ...ofLevel('warn'), parts: [`${String(provider)} could not call back ${to}`, why], rest };
}

/** What is asked of which route, and the beginning of the request's id: enough to find it. */
function requestOf(fields: Fields): { readonly what: string; readonly id: string; readonly rest: Fields } {
  const { request_id: id, method, route, path, ...rest } = fields;
  const what = [method, route, path].filter((part) => part !== undefined).map(String);
  return { what: what.join(' '), id: typeof id === 'string' ? `#${id.slice(0, 8)}` : '', rest };
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

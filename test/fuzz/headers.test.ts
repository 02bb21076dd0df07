import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { compactHeaderName, normalizeHeaderName, OVERRIDE_HEADERS } from '../../src/http/header-list.ts';
import { Via } from '../../src/http/via.ts';
import { requestHeaders, responseHeaders, type RouteHeaders } from '../../src/proxy/headers.ts';
import { Redaction } from '../../src/redaction.ts';
import { type Chance, fuzz } from './random.ts';

const TOKEN = 'real-token-0123456789';
const REDACTION = new Redaction([TOKEN]);
const AUTHORIZATION = `Bearer ${TOKEN}`;
const CLIENTS = 'clients-own-login';
const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'http2-settings'],
];
const NOT_SENT = [
  ...HOP_BY_HOP,
  'expect',
  'host',
  'content-length',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'proxy',
  'x-original-url',
  'script-name',
];
const NAMES = [
  ...NOT_SENT,
  ...['x-http-method', 'x-method-override', 'x-http-method-override'],
  ...['authorization', 'author-ization', '-authorization', 'a-u-t-h-o-r-i-z-a-t-i-o-n', 'authorization-'],
  ...[
    'via',
    'cookie',
    'set-cookie',
    'x-mine',
    'x-mode',
    'x-default',
    'idempotency-key',
    'tx-id',
    'content-type',
    'x-request-id',
  ],
  ...[
    'www-authenticate',
    'access-control-allow-origin',
    'Access-Control-Allow-Credentials',
    'wakala-token',
    'location',
  ],
];
const VALUES = [
  '',
  'close',
  'keep-alive',
  'chunked',
  '1.1 proxy',
  '1.1 wakala-0123abcd',
  'x-mine',
  'a, b',
  '*',
  CLIENTS,
  '5',
  'h2c',
];
const ROUTES: readonly RouteHeaders[] = [
  { set: [], defaults: [], replaced: new Set(), via: new Via('0123abcd') },
  {
    set: [['X-Mode', 'live']],
    defaults: [['x_default', 'ours']],
    replaced: new Set(['x-mode']),
    via: new Via('0123abcd'),
  },
  { set: [], defaults: [], replaced: new Set(), via: new Via('0123abcd'), blocked: OVERRIDE_HEADERS },
];

type Lines = readonly (readonly [name: string, value: string])[];
type Input = { readonly lines: Lines; readonly route: RouteHeaders; readonly status: number };

/** In another case, and with `_` instead of `-`. */
function spelled(chance: Chance, name: string): string {
  const folded = chance.oneIn(3) ? name.replaceAll('-', '_') : name;
  const letters = folded.split('').map((letter) => (chance.oneIn(4) ? letter.toUpperCase() : letter));
  if (chance.oneIn(10))
    letters.splice(chance.below(letters.length + 1), 0, chance.pick(['_', '-', '.', 'x', '!', '~']));
  return letters.join('');
}

function list(chance: Chance): Input {
  const lines = Array.from({ length: chance.below(14) }, () => {
    const name = spelled(chance, chance.pick(NAMES));
    const nominated = chance.pickSome(NAMES, 4).map((each) => spelled(chance, each));
    const value = /connection/i.test(name) ? nominated.join(chance.pick([',', ', ', ' ,', ',,'])) : chance.pick(VALUES);
    return [name, chance.oneIn(15) ? `${value}${chance.pick(['', ' '])}${TOKEN}` : value] as const;
  });
  return { lines, route: chance.pick(ROUTES), status: chance.pick([200, 204, 304, 401, 500]) };
}

function pairs(flat: readonly string[]): Lines {
  return flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? ''] as const] : []));
}

function checkRequest({ lines, route }: Input): void {
  let out: Lines;
  try {
    out = pairs(requestHeaders(lines.flat(), route, AUTHORIZATION));
  } catch (error) {
    if (error instanceof ProxyError && (error.code === 'loop_detected' || error.code === 'bad_request')) return;
    throw error;
  }
  const logins = out.filter(([name]) => /authorization/.test(name.toLowerCase().replace(/[^a-z]/g, '')));
  const ours = logins.filter(([name, value]) => name === 'authorization' && value === AUTHORIZATION);
  const foreign = logins.filter(([name]) => name.replace(/[-_]/g, '').toLowerCase() === 'authorization');
  if (ours.length !== 1 || foreign.length !== 1) throw new Error(`Authorization: ${JSON.stringify(logins)}`);
  if (out.filter(([name]) => name === 'via').length !== 1) throw new Error('not one Via');
  const kept = out.map(([name]) => normalizeHeaderName(name));
  const hop = kept.find((name) => NOT_SENT.includes(name) || name.startsWith('proxy-'));
  if (hop !== undefined) throw new Error(`${hop} was sent`);
  const withheld = kept.find((name) => route.blocked?.has(compactHeaderName(name)) === true);
  if (withheld !== undefined) throw new Error(`${withheld} was sent`);
  const nominated = nominatedBy(lines);
  const set = new Set(
    [...route.set, ...route.defaults].map(([name]) => normalizeHeaderName(name)).concat('via', 'authorization'),
  );
  const named = kept.find((name) => nominated.has(name) && !set.has(name));
  if (named !== undefined) throw new Error(`${named} was sent, but Connection names it`);
  if (route.replaced.has('x-mode') && kept.filter((name) => name === 'x-mode').length !== 1) throw new Error('x-mode');
  expectOrder(lines, out.slice(0, -2));
}

function nominatedBy(lines: Lines): Set<string> {
  const values = lines.filter(([name]) => name.toLowerCase() === 'connection').map(([, value]) => value);
  return new Set(values.flatMap((value) => value.split(',')).map((name) => normalizeHeaderName(name.trim())));
}

/** The forwarded headers are unchanged and in order. */
function expectOrder(given: Lines, kept: Lines): void {
  let at = 0;
  const own = new Set(['X-Mode', 'x_default']);
  for (const [name, value] of kept.filter(([each]) => !own.has(each))) {
    while (at < given.length && !(given[at]?.[0] === name && given[at]?.[1] === value)) at += 1;
    if (at === given.length) throw new Error(`${name} is out of order, or new`);
    at += 1;
  }
}

function checkResponse({ lines, status }: Input): void {
  let out: Lines;
  try {
    out = pairs(responseHeaders(lines.flat(), status, REDACTION));
  } catch (error) {
    if (error instanceof ProxyError && error.code === 'upstream_invalid') return;
    throw error;
  }

  for (const [name, value] of out) {
    const key = name.toLowerCase();
    if (value.includes(TOKEN)) throw new Error(`${name} contains the token`);
    if (key.startsWith('access-control-') || key === 'wakala-token' || key === 'x-request-id') throw new Error(key);
    if (HOP_BY_HOP.includes(key) && key !== 'proxy-authorization' && key !== 'http2-settings') throw new Error(key);
    if (status === 204 && key === 'content-length') throw new Error('a length on a 204');
  }
  const nominated = nominatedBy(lines);
  // A client does not read `keep_alive` as Keep-Alive.
  nominated.delete('keep-alive');
  const named = out.find(([name]) => nominated.has(normalizeHeaderName(name)));
  if (named !== undefined) throw new Error(`${named[0]} was forwarded, but Connection names it`);
}

describe('the headers of a request', () => {
  it('contain the token once, no other credentials, no hop-by-hop headers, and the rest unchanged', async () => {
    await fuzz({ name: 'request headers', count: 60_000, make: list, check: checkRequest });
  });

  it('are usually accepted', async () => {
    let loops = 0;
    const check = ({ lines, route }: Input) => {
      try {
        requestHeaders(lines.flat(), route, AUTHORIZATION);
      } catch {
        loops += 1;
      }
    };
    await fuzz({ name: 'kinds of request headers', count: 1000, make: list, check });
    expect(loops).toBeGreaterThan(0);
    expect(loops).toBeLessThan(500);
  });
});

describe('the headers of a response', () => {
  it('contain no token, no hop-by-hop header and no CORS header', async () => {
    await fuzz({ name: 'response headers', count: 40_000, make: list, check: checkResponse });
  });
});

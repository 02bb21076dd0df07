import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { ProxyError } from '../../src/errors.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { RouteTable } from '../../src/proxy/route.ts';
import { parseTarget } from '../../src/proxy/target.ts';
import { TokenPathGuard } from '../../src/proxy/token-paths.ts';
import { madeUp } from '../support/made-up.ts';
import { normalized, possibleReadings } from './path-readings.ts';
import { type Chance, fuzz } from './random.ts';

const HOST = 'localhost:8080';
const withHosts = providers.filter(({ hosts }) => hosts !== undefined);

function routeOf({ name, credentials, hosts }: Provider, prefix: string) {
  const needed = credentials.filter(({ optional }) => optional !== true);
  const values = needed.map((field) => [field.name, madeUp(field.name)]);
  const route = { provider: name, credentials: Object.fromEntries(values) as object };
  const text = JSON.stringify({ routes: { [`${prefix}/*`]: route } });
  const [resolved] = loadConfig('proxy.config.yaml', { readFile: () => text, env: {} }).config.routes;
  if (resolved === undefined || hosts === undefined) throw new Error(`${name} has no route`);
  const basePath = new URL(resolved.upstream).pathname.replace(/\/$/, '');
  return { prefix: resolved.prefix, basePath, provider: resolved.provider, guard: new TokenPathGuard(resolved) };
}

const routes = withHosts.flatMap((provider) => [
  routeOf(provider, `/${provider.name}`),
  routeOf(provider, `/deep/er/${provider.name}`),
]);
const table = new RouteTable(routes);

const TOKEN_PATHS = withHosts.flatMap(({ tokenPaths }) =>
  tokenPaths.map(({ path }) => path.replace(/\{\w+\}/, 'eyJ.a.b')),
);
const PIECES = [
  ...[
    '..',
    '.',
    '/',
    '//',
    '\\',
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%25',
    '%252e',
    '%255c',
    '%00',
    '%3b',
    ';',
    ';x=y',
    '..;',
  ],
  ...['?', '%3f', '%253f', '#', '%23', '%', '%0', '%zz', '%20', '+', '%09', '%0a', '%ff'],
  ...['%c0%ae', '%c0%af', '%u002e', '%e2%80%ae', '@', ':', '*', '~', '&', '=', 'http://', HOST, 'evil.example'],
  ...['%61', '%6f', 'AUTH', 'Oauth', '/auth', '/token', '/oauth/v1', 'generate', '%2561', 'refresh'],
  ...routes.map(({ prefix }) => prefix),
  ...TOKEN_PATHS,
];

/** Node's parser accepts only these characters in a target. */
function target(chance: Chance): string {
  return anyTarget(chance).replace(/[^!-~]/g, '');
}

function anyTarget(chance: Chance): string {
  const route = chance.pick(routes);
  const path = chance.oneIn(2) ? tokenPath(chance, route.provider) : `/${chance.pickSome(PIECES, 4).join('')}`;
  const start = chance.oneIn(8) ? `http://${HOST}` : '';
  const query = chance.oneIn(3) ? `?${chance.pickSome(PIECES, 3).join('')}` : '';
  const whole = `${start}${route.prefix}${path}${query}`;
  if (chance.oneIn(4)) return escaped(chance, whole);
  return chance.oneIn(3) ? whole : chance.mutate(whole, PIECES, 3);
}

/** A token path with a random refresh token. */
function tokenPath(chance: Chance, { tokenPaths }: Provider): string {
  const own = tokenPaths.map(({ path }) => path.replace(/\{\w+\}/, 'eyJ.a.b'));
  const path = chance.pick(chance.oneIn(2) ? own : TOKEN_PATHS);
  return chance.oneIn(3) ? path.replace('eyJ.a.b', () => chance.pickSome(PIECES, 2).join('')) : path;
}

/** Percent-encodes some characters, some of them twice. */
function escaped(chance: Chance, text: string): string {
  const hex = (letter: string) => `%${letter.charCodeAt(0).toString(16).padStart(2, '0')}`;
  const letters = Array.from(text, (letter, i) => (i > 0 && chance.oneIn(6) ? hex(letter) : letter));
  return letters.map((letter) => (letter.length > 1 && chance.oneIn(3) ? letter.replace('%', '%25') : letter)).join('');
}

/** The parsed target; undefined if it is refused. @throws Error if it is refused with a wrong error */
function forwarded(raw: string) {
  try {
    const { path, query } = parseTarget(raw, HOST);
    const route = table.match(path);
    return { path, query, route };
  } catch (error) {
    if (error instanceof ProxyError && error.code === 'bad_request_target' && error.outcome === 'not_sent') return;
    throw error;
  }
}

function check(raw: string): void {
  const found = forwarded(raw);
  if (found === undefined) return;
  const { path, query, route } = found;
  const origin = raw.startsWith('/') ? raw : raw.slice(raw.indexOf('//') + 2).replace(/^[^/?]*/, '');
  const whole = origin.startsWith('/') ? origin : `/${origin}`;
  if (path + query !== whole) throw new Error(`the bytes became ${JSON.stringify(path + query)}`);
  if (path.includes('?') || (query !== '' && !query.startsWith('?'))) throw new Error('split in the wrong place');
  if (route === undefined) return;
  const below = path.slice(route.prefix.length);
  if (!path.startsWith(route.prefix) || !(below === '' || below.startsWith('/')))
    throw new Error('does not belong to the route');
  const outside = [...possibleReadings(route.basePath + below)].find((read) => !isWithin(read, route.basePath));
  if (outside !== undefined) throw new Error(`may be read as ${JSON.stringify(outside)}, outside ${route.basePath}`);
  checkTokenPaths(route, below);
}

function isWithin(path: string, base: string): boolean {
  return path.startsWith(base) && ['', '/', '?', ';', '#', '%'].includes(path.charAt(base.length));
}

function checkTokenPaths({ guard, provider }: (typeof routes)[number], below: string): void {
  const taken = [...possibleReadings(below)].map(normalized);
  for (const { method, path } of provider.tokenPaths) {
    const segments = normalized(path).split('/');
    const reached = taken.some((read) => {
      const got = read.split('/');
      return (
        got.length === segments.length && segments.every((one, i) => one === got[i] || (one.startsWith('{') && got[i]))
      );
    });
    if (!reached) continue;
    for (const each of [method, 'GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'get']) {
      if (guard.classify(each, below) === 'other') throw new Error(`${each} may reach the token endpoint ${path}`);
    }
  }
}

describe('a request target', () => {
  it(
    'that is accepted stays below its prefix, outside the token paths and unchanged, however a server reads it',
    { timeout: 120_000 },
    async () => {
      await fuzz({ name: 'targets', count: 250_000, make: target, check });
    },
  );

  it('is often accepted and often refused', () => {
    const found = { forwarded: 0, refused: 0, login: 0 };
    return fuzz({
      name: 'kinds of targets',
      count: 2000,
      make: target,
      check: (raw) => {
        const { route, path } = forwarded(raw) ?? {};
        if (path === undefined) found.refused += 1;
        else if (route !== undefined) {
          found.forwarded += 1;
          if (guarded(route, path)) found.login += 1;
        }
      },
    }).then(() => {
      expect(found.forwarded).toBeGreaterThan(200);
      expect(found.refused).toBeGreaterThan(200);
      expect(found.login).toBeGreaterThan(20);
    });
  });
});

function guarded({ guard, prefix }: (typeof routes)[number], path: string): boolean {
  return guard.classify('POST', path.slice(prefix.length)) !== 'other';
}

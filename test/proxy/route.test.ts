import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { Via } from '../../src/http/via.ts';
import { requestHeaders } from '../../src/proxy/headers.ts';
import { Route, RouteTable } from '../../src/proxy/route.ts';
import { RouteStats } from '../../src/telemetry/route-stats.ts';
import { makeToken } from '../../src/tokens/token.ts';
import { routeNamed } from './route-of.ts';

function tableOf(...prefixes: string[]) {
  return new RouteTable(prefixes.map((prefix) => ({ prefix })));
}

describe('RouteTable', () => {
  it.each(['/mpesa', '/mpesa/', '/mpesa/x', '/mpesa/x/y', '/mpesa/%2f'])('routes %s to /mpesa', (path) => {
    expect(tableOf('/mpesa').match(path)?.prefix).toBe('/mpesa');
  });

  it.each(['/mpesax', '/mpes', '/', '/mpesa%2fx', '/mpesa;x', '/Mpesa', '/x/mpesa', '/%6dpesa', ''])(
    'does not route %s to /mpesa',
    (path) => {
      expect(tableOf('/mpesa').match(path)).toBeUndefined();
    },
  );

  it.each([
    ['/a', '/a'],
    ['/a/b', '/a/b'],
    ['/a/bc', '/a'],
    ['/a/b/', '/a/b'],
    ['/a/b/c', '/a/b/c'],
    ['/a/b/cd', '/a/b'],
    ['/a/b/c/d', '/a/b/c'],
  ])('routes %s to %s, the longest prefix that ends on a segment boundary', (path, prefix) => {
    expect(tableOf('/a', '/a/b/c', '/a/b').match(path)?.prefix).toBe(prefix);
  });

  it('routes paths without another route to /*', () => {
    const table = tableOf('', '/a');
    expect(table.match('/a/x')?.prefix).toBe('/a');
    expect(table.match('/ax')?.prefix).toBe('');
    expect(table.match('/')?.prefix).toBe('');
  });

  it('matches nothing without routes', () => {
    expect(tableOf().match('/a')).toBeUndefined();
  });

  it('finds each of 10,000 routes', () => {
    const prefixes = Array.from({ length: 10_000 }, (_, i) => `/team-${i % 100}/app-${i}`);
    const table = tableOf(...prefixes);
    expect(prefixes.map((prefix) => table.match(`${prefix}/call`)?.prefix)).toEqual(prefixes);
    expect(table.match('/team-1/app-2/call')).toBeUndefined();
  });
});

function createRoute(name: string, settings: Readonly<Record<string, unknown>> = {}): Route {
  // Neither the token source nor the pool is used here.
  return new Route(routeNamed(name, settings), {} as never, {} as never, new RouteStats(), new Via('0123abcd'));
}

describe('Route', () => {
  it.each([
    ['http://127.0.0.1:1', ''],
    ['http://127.0.0.1:1/', ''],
    ['http://127.0.0.1:1/api/v1', '/api/v1'],
    ['http://127.0.0.1:1/api/v1/', '/api/v1'],
    ['http://[::1]:1/a%20b', '/a%20b'],
  ])('the base path of %s is %j', (upstream, basePath) => {
    expect(createRoute('mpesa', { upstream }).basePath).toBe(basePath);
  });

  it('computes nothing without `sign` and `token.header_value`', () => {
    expect(createRoute('mpesa').signing).toBeUndefined();
  });

  it('has neither an Authorization value nor dead tokens with `token: none`', () => {
    const written = { routes: { '/api/*': { upstream: 'http://127.0.0.1:1', token: 'none' } } };
    const { config } = loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} });
    const route = new Route(config.routes[0]!, {} as never, {} as never, new RouteStats(), new Via());
    const token = makeToken('', undefined, { lifetimeMs: Infinity, source: 'fixed' }, 0);
    expect([route.hasToken, route.hasFixedToken, route.authorization(token)]).toEqual([false, false, undefined]);
    expect(route.deadToken.classifyStatus(401)).toBe('alive');
  });

  it('builds the Authorization value of each token', () => {
    const route = createRoute('mpesa');
    const [one, two] = ['one', 'two'].map((text) =>
      makeToken(text, undefined, { lifetimeMs: 1, source: 'default' }, 0),
    );
    expect([one!, one!, two!, one!].map((token) => route.authorization(token))).toEqual([
      'Bearer one',
      'Bearer one',
      'Bearer two',
      'Bearer one',
    ]);
  });

  it.each([
    ['POST', '/mpesa/stkpush/v1', true],
    ['POST', '/mpesa/stkpush/', true],
    ['POST', '/mpesa/stkpush', false],
    ['GET', '/mpesa/stkpush/v1', false],
    ['GET', '/exact', true],
    ['GET', '/exact/', false],
    ['GET', '/Exact', false],
    ['DELETE', '/any/x', true],
    ['DELETE', '/%61ny/x', false],
  ])('`allow` on %s %s: %s', (method, path, expected) => {
    const allow = ['POST /mpesa/stkpush/*', 'GET /exact', '* /any/*'];
    expect(createRoute('mpesa', { allow }).allows(method, path)).toBe(expected);
  });

  it('allows everything without an `allow` list', () => {
    expect(createRoute('mpesa').allows('PURGE', '/x')).toBe(true);
  });

  it("fills credentials into configured headers and keeps the provider's defaults", () => {
    const { headers } = createRoute('paypack', { headers: { 'X-App': 'app-{client_id}' } });
    expect(headers.set).toEqual([['X-App', 'app-value-of-client_id']]);
    expect(headers.defaults).toEqual([['X-Webhook-Mode', 'development']]);
  });

  it("a configured header with `_` replaces the client's in either spelling", () => {
    const { headers } = createRoute('mpesa', { headers: { tx_mode: 'live' } });
    const out = requestHeaders(['tx_mode', 'test', 'TX-Mode', 'test'], headers, 'Bearer real');
    expect(out).toEqual(['tx_mode', 'live', 'via', '1.1 wakala-0123abcd', 'authorization', 'Bearer real']);
  });

  it("a provider's header has the value of the route's environment", () => {
    const { headers } = createRoute('paypack', { environment: 'production' });
    expect(headers.defaults).toEqual([['X-Webhook-Mode', 'production']]);
  });
});

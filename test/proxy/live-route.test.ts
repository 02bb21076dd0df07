import { describe, expect, it } from 'vitest';
import { requestHeaders } from '../../src/proxy/headers.ts';
import { Route } from '../../src/proxy/route.ts';
import { RouteStats } from '../../src/telemetry/route-stats.ts';
import { makeToken } from '../../src/tokens/token.ts';
import { routeNamed } from './route-of.ts';

function liveRoute(name: string, settings: Readonly<Record<string, unknown>> = {}): Route {
  // Neither is asked here.
  return new Route(routeNamed(name, settings), {} as never, {} as never, new RouteStats());
}

describe('LiveRoute', () => {
  it.each([
    ['http://127.0.0.1:1', ''],
    ['http://127.0.0.1:1/', ''],
    ['http://127.0.0.1:1/api/v1', '/api/v1'],
    ['http://127.0.0.1:1/api/v1/', '/api/v1'],
    ['http://[::1]:1/a%20b', '/a%20b'],
  ])('takes from %s the base path %j', (upstream, basePath) => {
    expect(liveRoute('mpesa', { upstream }).basePath).toBe(basePath);
  });

  it('makes the Authorization of each token', () => {
    const route = liveRoute('mpesa');
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
    [true, 'POST', true],
    [false, 'GET', false],
    [['GET', 'PUT'], 'PUT', true],
    [['GET', 'PUT'], 'POST', false],
  ])('with replay %j says of %s: %s', (replay, method, expected) => {
    expect(liveRoute('mpesa', { replay }).mayReplay(method)).toBe(expected);
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
  ])('with an allow list says of %s %s: %s', (method, path, expected) => {
    const allow = ['POST /mpesa/stkpush/*', 'GET /exact', '* /any/*'];
    expect(liveRoute('mpesa', { allow }).allows(method, path)).toBe(expected);
  });

  it('allows everything without a list', () => {
    expect(liveRoute('mpesa').allows('PURGE', '/x')).toBe(true);
  });

  it("sets the file's headers with credentials filled in, and yields with the provider's defaults", () => {
    const { headers } = liveRoute('paypack', { headers: { 'X-App': 'app-{client_id}' } });
    expect(headers.set).toEqual([['X-App', 'app-value-of-client_id']]);
    expect(headers.defaults).toEqual([['X-Webhook-Mode', 'development']]);
  });

  it("sets a header with `_` in place of the client's, in either spelling", () => {
    const { headers } = liveRoute('mpesa', { headers: { tx_mode: 'live' } });
    const out = requestHeaders(['tx_mode', 'test', 'TX-Mode', 'test'], headers, 'Bearer real');
    expect(out).toEqual(['tx_mode', 'live', 'via', '1.1 wakala', 'authorization', 'Bearer real']);
  });

  it("gives a provider's header the value of the route's environment", () => {
    const { headers } = liveRoute('paypack', { environment: 'production' });
    expect(headers.defaults).toEqual([['X-Webhook-Mode', 'production']]);
  });
});

import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { mpesa } from '../../src/providers/mpesa.ts';
import { requestHeaders } from '../../src/proxy/headers.ts';
import { DeadTokenRules, Route, RouteTable } from '../../src/proxy/route.ts';
import { RouteStats } from '../../src/telemetry/route-stats.ts';
import { makeToken } from '../../src/tokens/token.ts';
import { routeNamed } from './route-of.ts';

function tableOf(...prefixes: string[]) {
  return new RouteTable(prefixes.map((prefix) => ({ prefix })));
}

describe('RouteTable', () => {
  it.each(['/mpesa', '/mpesa/', '/mpesa/x', '/mpesa/x/y', '/mpesa/%2f'])('gives %s to /mpesa', (path) => {
    expect(tableOf('/mpesa').match(path)?.prefix).toBe('/mpesa');
  });

  it.each(['/mpesax', '/mpes', '/', '/mpesa%2fx', '/mpesa;x', '/Mpesa', '/x/mpesa', '/%6dpesa', ''])(
    'does not give %s to /mpesa',
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
  ])('gives %s to %s, the longest prefix that ends on a segment', (path, prefix) => {
    expect(tableOf('/a', '/a/b/c', '/a/b').match(path)?.prefix).toBe(prefix);
  });

  it('gives to /* what no other route has', () => {
    const table = tableOf('', '/a');
    expect(table.match('/a/x')?.prefix).toBe('/a');
    expect(table.match('/ax')?.prefix).toBe('');
    expect(table.match('/')?.prefix).toBe('');
  });

  it('finds nothing where there are no routes', () => {
    expect(tableOf().match('/a')).toBeUndefined();
  });

  it('finds each of 10,000 routes', () => {
    const prefixes = Array.from({ length: 10_000 }, (_, i) => `/team-${i % 100}/app-${i}`);
    const table = tableOf(...prefixes);
    expect(prefixes.map((prefix) => table.match(`${prefix}/call`)?.prefix)).toEqual(prefixes);
    expect(table.match('/team-1/app-2/call')).toBeUndefined();
  });
});

const rules = new DeadTokenRules(mpesa.deadToken);

function body(errorCode: unknown): Buffer {
  return Buffer.from(JSON.stringify({ requestId: '1', errorCode, errorMessage: 'Invalid Access Token' }));
}

describe('DeadTokenRules', () => {
  it.each([
    [401, 'dead'],
    [404, 'look'],
    [400, 'look'],
    [200, 'alive'],
    [403, 'alive'],
    [402, 'alive'],
    [500, 'alive'],
  ])('makes of status %i alone: %s', (status, verdict) => {
    expect(rules.classifyStatus(status)).toBe(verdict);
  });

  it('calls a status dead that has one rule without a body among others', () => {
    const mixed = new DeadTokenRules([{ status: 403, body: { code: 'x' } }, { status: 403 }]);
    expect(mixed.classifyStatus(403)).toBe('dead');
  });

  it('takes every status for alive where there are no rules', () => {
    expect(new DeadTokenRules([]).classifyStatus(401)).toBe('alive');
  });

  it.each([
    [404, '404.001.03', true],
    [400, '400.003.01', true],
    [404, '400.003.01', false],
    [400, '404.001.03', false],
    [404, '404.001.01', false],
    [404, '404.001.030', false],
    [404, 404, false],
    [500, '404.001.03', false],
  ])('judges %i with %s: %s', (status, errorCode, dead) => {
    expect(rules.matchesBody(status, body(errorCode), undefined)).toBe(dead);
  });

  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    [' GZIP ', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['identity', (bytes: Buffer) => bytes],
  ])('looks into a body in %s', (encoding, compress) => {
    expect(rules.matchesBody(404, compress(body('404.001.03')), encoding)).toBe(true);
    expect(rules.matchesBody(404, compress(body('404.001.01')), encoding)).toBe(false);
  });

  it.each([
    ['an HTML page', Buffer.from('<h1>404.001.03</h1>'), undefined],
    ['nothing', Buffer.alloc(0), undefined],
    ['half a JSON', body('404.001.03').subarray(0, 40), undefined],
    ['null', Buffer.from('null'), undefined],
    ['a list', Buffer.from('["404.001.03"]'), undefined],
    ['a text', Buffer.from('"404.001.03"'), undefined],
    ['broken gzip', gzipSync(body('404.001.03')).subarray(0, 20), 'gzip'],
    ['plain text that says it is gzip', body('404.001.03'), 'gzip'],
    ['an encoding it does not know', body('404.001.03').reverse(), 'zstd'],
  ])('takes %s for a token that is alive', (_, bytes, encoding) => {
    expect(rules.matchesBody(404, bytes, encoding)).toBe(false);
  });

  it('unpacks up to 64 KiB and no more', () => {
    const padded = (length: number) => {
      const bare = body('404.001.03');
      return gzipSync(Buffer.concat([bare, Buffer.alloc(length - bare.length, ' ')]));
    };
    expect(rules.matchesBody(404, padded(64 * 1024), 'gzip')).toBe(true);
    expect(rules.matchesBody(404, padded(64 * 1024 + 1), 'gzip')).toBe(false);
  });

  it('wants every field of one rule, deep ones and numbers too', () => {
    const deep = new DeadTokenRules([{ status: 200, body: { 'error.code': 7, 'error.kind': 'auth' } }]);
    const said = (error: object) => Buffer.from(JSON.stringify({ error }));
    expect(deep.matchesBody(200, said({ code: 7, kind: 'auth', more: true }), undefined)).toBe(true);
    expect(deep.matchesBody(200, said({ code: 7 }), undefined)).toBe(false);
    expect(deep.matchesBody(200, said({ code: '7', kind: 'auth' }), undefined)).toBe(false);
  });

  it('never looks beyond own keys', () => {
    const sly = new DeadTokenRules([{ status: 400, body: { 'constructor.name': 'Object' } }]);
    expect(sly.matchesBody(400, Buffer.from('{}'), undefined)).toBe(false);
  });
});

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

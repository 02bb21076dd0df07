import { describe, expect, it } from 'vitest';
import { RouteTable } from '../../src/proxy/route.ts';

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

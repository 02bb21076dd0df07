import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { decodeFully } from '../../src/http/url-path.ts';
import { parseTarget } from '../../src/proxy/target.ts';

const HOST = 'localhost:8080';

function refusal(raw: string, host = HOST): string {
  try {
    parseTarget(raw, host);
  } catch (error) {
    if (error instanceof ProxyError && error.code === 'bad_request_target') return error.message;
    throw error;
  }
  throw new Error(`${raw} was let through`);
}

describe('parseTarget', () => {
  it.each([
    '/..',
    '/.',
    '/../a',
    '/a/..',
    '/a/.',
    '/a/../b',
    '/a/./b',
    '/a/%2e%2e/b',
    '/a/%2E%2e/b',
    '/a/.%2e/b',
    '/a/%2e./b',
    '/a/%2e',
    '/a/..%2fb',
    '/a%2f..%2fb',
    '/a%2F%2e%2e%2Fb',
    '/a/%252e%252e/b',
    '/a/%25252e./b',
    '/a/..%252fb',
    '/a/..;x/b',
    '/a/..;',
    '/a/.;x',
    '/a/..%3bx/b',
    '/a/%2e%2e?b',
  ])('refuses the dot segment in %s', (raw) => {
    expect(refusal(raw)).toContain('dot segment');
  });

  it.each(['/a\\b', '/a\\..\\b', '/a%5cb', '/a/%2e%5cb', '/a%5Cb', '/a%255cb'])(
    'refuses the backslash in %s',
    (raw) => {
      expect(refusal(raw)).toContain('backslash');
    },
  );

  it.each(['/a\0', '/a?\0', '/a%00', '/a%2500', '/a%2525%2500'])('refuses the NUL in %j', (raw) => {
    expect(refusal(raw)).toContain('NUL');
  });

  it.each(['/a%', '/a%2', '/a%2/', '/a%zz', '/a%g0', '/a%?b'])('refuses the invalid percent escape in %s', (raw) => {
    expect(refusal(raw)).toContain('percent escape');
  });

  it.each(['//', '//a', '/a//b', '/a//', '/a///b', '/a//?b'])('refuses the empty segment in %s', (raw) => {
    expect(refusal(raw)).toContain('empty segment');
  });

  it.each(['/a#b', '/#', '/a?b#c'])('refuses the fragment in %s', (raw) => {
    expect(refusal(raw)).toContain('fragment');
  });

  it.each(['', '*', 'a', 'a/b', '?a', 'localhost:8080', 'ftp://localhost:8080/a', 'mailto:a@b'])(
    'refuses %j, which is neither a path nor an absolute URL',
    (raw) => {
      expect(refusal(raw)).toContain('neither a path nor an absolute URL');
    },
  );

  it.each([
    ['/', '/', ''],
    ['/a', '/a', ''],
    ['/a/', '/a/', ''],
    ['/a.b/c..d/e...', '/a.b/c..d/e...', ''],
    ['/.well-known/x', '/.well-known/x', ''],
    ['/...', '/...', ''],
    ['/..a', '/..a', ''],
    ['/a;v=1/b', '/a;v=1/b', ''],
    ['/%6apay/%C3%A9%20', '/%6apay/%C3%A9%20', ''],
    ['/a%2fb', '/a%2fb', ''],
    ['/a%25', '/a%25', ''],
    ['/a%252', '/a%252', ''],
    ['/a?', '/a', '?'],
    ['/a?b=../..//c', '/a', '?b=../..//c'],
    ['/a?b=%2e%2e%2f%5c', '/a', '?b=%2e%2e%2f%5c'],
    ['/a?b=c?d=e&f=%25', '/a', '?b=c?d=e&f=%25'],
    ['/a?b={c}|"<>^`[]', '/a', '?b={c}|"<>^`[]'],
    ['/a?discount=10%', '/a', '?discount=10%'],
    ['/a?b=%f&c=%zz%', '/a', '?b=%f&c=%zz%'],
    ['/a%2fb?c=%&d=%00', '/a%2fb', '?c=%&d=%00'],
    ['/a?b=\\..\\c', '/a', '?b=\\..\\c'],
    ['/\xe9?\xff', '/\xe9', '?\xff'],
  ])('splits %s and keeps every byte', (raw, path, query) => {
    expect(parseTarget(raw, HOST)).toEqual({ path, query });
  });

  it.each([
    ['http://localhost:8080/a/b?c', '/a/b', '?c'],
    ['HTTP://LocalHost:8080/a', '/a', ''],
    ['https://localhost:8080/a', '/a', ''],
    ['http://localhost:8080', '/', ''],
    ['http://localhost:8080?a', '/', '?a'],
  ])('accepts the absolute form %s with its own host', (raw, path, query) => {
    expect(parseTarget(raw, HOST)).toEqual({ path, query });
  });

  it.each(['http://localhost/a', 'http://evil.example/a', 'http://user@localhost:8080/a', 'http:///a'])(
    'refuses %s, whose authority differs from the Host header',
    (raw) => {
      expect(refusal(raw)).toContain('authority');
    },
  );

  it.each(['http://localhost:8080/a/../b', 'http://localhost:8080//a', 'http://localhost:8080/a#b'])(
    'refuses in the absolute form what it refuses in a path: %s',
    (raw) => {
      refusal(raw);
    },
  );
});

describe('decodeFully', () => {
  it.each([
    ['%2525252e', '.'],
    ['a%2fb', 'a/b'],
    ['%zz%', '%zz%'],
    ['100%25', '100%'],
  ])('decodes %s to %s', (encoded, decoded) => {
    expect(decodeFully(encoded)).toBe(decoded);
  });
});

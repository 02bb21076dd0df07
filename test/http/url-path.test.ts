import { describe, expect, it } from 'vitest';
import { locationOf, relativePath } from '../../src/http/url-path.ts';

const below = (base: string, url: string) => relativePath(locationOf(base), locationOf(url));

describe('the server of a URL', () => {
  it.each([
    ['https://api.example', 'https://API.example:443/x'],
    ['https://api.example', 'https://api.example./'],
    ['https://api.example', 'http://api.example'],
    ['http://localhost:80', 'https://127.0.0.1'],
    ...[
      '127.0.0.1',
      '127.1',
      '0x7f000001',
      '127.255.0.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '[::]',
      '0.0.0.0',
      'a.localhost.',
    ].map((host): [string, string] => ['http://localhost:8080', `http://${host}:8080`]),
    ['http://192.0.2.1', 'http://[::ffff:192.0.2.1]'],
    ['http://192.0.2.1', 'http://3221225985'],
    ['https://xn--bcher-kva.example', 'https://bücher.example'],
  ])('%s is equal to that of %s', (one, other) => {
    expect(locationOf(other).server).toBe(locationOf(one).server);
  });

  it.each([
    ['https://api.example', 'https://api.example:8443'],
    ['https://api.example', 'https://auth.example'],
    ['http://localhost:8080', 'http://localhost:8081'],
    ['http://localhost', 'http://localhost.example'],
    ['http://192.0.2.1', 'http://192.0.2.2'],
    ['http://[2001:db8::1]', 'http://[2001:db8::2]'],
  ])('%s is not equal to that of %s', (one, other) => {
    expect(locationOf(other).server).not.toBe(locationOf(one).server);
  });
});

describe('relativePath', () => {
  it.each([
    ['https://h', 'https://h/token', '/token'],
    ['https://h/', 'https://h/a/token?b=c', '/a/token'],
    ['https://h/a', 'https://h/a/token', '/token'],
    ['https://h/a', 'https://h/a', ''],
    ['https://h/a', 'https://h/A/Token', '/Token'],
    ['https://h/%61', 'https://h/a/%74oken', '/%74oken'],
    ['https://h/a', 'https://h/%2561/token', '/token'],
    ['https://h/a', 'https://h//a//token/', '/token'],
    ['https://h/a', 'https://h/b/../a/token', '/token'],
    ['https://h', 'https://h/auth/{id}/{key}', '/auth/{id}/{key}'],
    ['https://h', 'https://h/tökén', '/t%C3%B6k%C3%A9n'],
  ])('%s: %s is %j', (base, url, expected) => {
    expect(below(base, url)).toBe(expected);
  });

  it.each([
    ['https://h/a', 'https://h/ab/token'],
    ['https://h/a', 'https://h/token'],
    ['https://h/a/b', 'https://h/a'],
    ['https://h', 'https://g/token'],
    ['https://h/a', 'https://h/a%2Ftoken'],
  ])('%s: %s is undefined', (base, url) => {
    expect(below(base, url)).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { locationOf } from '../../src/http/url-path.ts';
import { providers } from '../../src/providers/registry.ts';
import { TokenEndpoints, TokenPathGuard } from '../../src/proxy/token-paths.ts';
import { routeNamed } from './route-of.ts';

const withHosts = providers.filter(({ hosts }) => hosts !== undefined);
const logins = withHosts.flatMap(({ name, tokenPaths }) =>
  tokenPaths.map(({ method, path }) => ({ name, method, path: path.replaceAll(/\{\w+\}/g, 'r.e-f_1') })),
);

/** Ways in which one server or another still reads the same path. */
const SPELLINGS: readonly [how: string, spell: (path: string) => string][] = [
  ['in capitals', (path) => path.toUpperCase()],
  ['with a slash behind', (path) => `${path}/`],
  ['with a parameter behind', (path) => `${path};a=b`],
  ['with a parameter within', (path) => path.replace(/(.)\/|$/, '$1;a=b/')],
  ['with an empty parameter', (path) => `${path};`],
  ['with a letter encoded', (path) => path.replace(/[ao]/, hex)],
  ['with a letter encoded twice', (path) => path.replace(/[ao]/, (letter) => hex(letter).replace('%', '%25'))],
  ['with its last slash encoded', (path) => path.replace(/(?<=.)\/(?=[^/]*$)|$/, '%2f')],
  ['with its last slash encoded in capitals', (path) => path.replace(/(?<=.)\/(?=[^/]*$)|$/, '%2F')],
  ['with a slash doubled by encoding', (path) => path.replace(/\/(?=[^/]*$)/, '/%2f')],
  ['with an encoded slash behind', (path) => `${path}%2f`],
  ['with an encoded space behind', (path) => `${path}%20`],
  ['with an encoded query behind', (path) => `${path}%3fa=b`],
  ['with a query behind that is encoded twice', (path) => `${path}%253fa=b`],
  ['with an encoded fragment behind', (path) => `${path}%23a`],
  ['with an encoded parameter behind', (path) => `${path}%3ba=b`],
];

function hex(letter: string): string {
  return `%${letter.charCodeAt(0).toString(16)}`;
}

describe.each(logins)('$method $path of $name', ({ name, method, path }) => {
  const guard = new TokenPathGuard(routeNamed(name));

  it('is a login as documented', () => {
    expect(guard.classify(method, path)).toBe('login');
  });

  it('is refused with any other method', () => {
    const others = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'get', 'post', 'PURGE'];
    const verdicts = others.filter((other) => other !== method).map((other) => guard.classify(other, path));
    expect(new Set(verdicts)).toEqual(new Set(['refused']));
  });

  it.each(SPELLINGS)('is never forwarded as %s', (_, spell) => {
    expect(spell(path)).not.toBe(path);
    expect(guard.classify(method, spell(path))).not.toBe('other');
    expect(guard.classify('GET', spell(path))).not.toBe('other');
  });

  it('is refused if the route is configured so', () => {
    const refusing = new TokenPathGuard(routeNamed(name, { token_paths: 'refuse' }));
    expect(refusing.classify(method, path)).toBe('refused');
    expect(refusing.classify(method, path.toUpperCase())).toBe('refused');
  });

  it.each([`/x${path}`, `${path}/more`, '/', ''])('does not match %j', (other) => {
    expect(guard.classify(method, other)).toBe('other');
  });
});

describe('TokenPathGuard', () => {
  const paypack = new TokenPathGuard(routeNamed('paypack'));

  it('accepts any one segment as the refresh token, and only one', () => {
    expect(paypack.classify('GET', '/auth/refresh/eyJ.a.b')).toBe('login');
    expect(paypack.classify('GET', '/auth/refresh/')).toBe('other');
    expect(paypack.classify('GET', '/auth/refresh/a/b')).toBe('other');
  });

  it.each(['/transactions/cashin', '/auth', '/auth/agents', '/auth/agents/authorized', '/events/transactions'])(
    'treats %s as an API call',
    (path) => {
      expect(paypack.classify('POST', path)).toBe('other');
    },
  );

  it.each(['/a%252fb%2ftoken', '/%6fauth%252fv3%2ftoken', `/a%${'25'.repeat(30)}2fb/token`])(
    'matches one segment if one server decodes and another does not: %s',
    (path) => {
      expect(new TokenPathGuard(routeNamed('mtn-momo')).classify('POST', path)).not.toBe('other');
    },
  );

  it.each(['/%20/token', '/%20/token;x=y', '/%20/token%3fx', '/%20/token;x%3fy'])(
    'matches a segment of spaces that some servers keep: %s',
    (path) => {
      expect(new TokenPathGuard(routeNamed('mtn-momo')).classify('POST', path)).not.toBe('other');
    },
  );

  it('guards nothing on a route without token requests', () => {
    const fixed = routeNamed('static', { upstream: 'http://127.0.0.1:1' });
    expect(new TokenPathGuard(fixed).classify('POST', '/oauth2/token')).toBe('other');
  });
});

describe('TokenEndpoints', () => {
  it('caches the paths for each API, however many routes lead there', () => {
    const endpoints = new TokenEndpoints([locationOf('https://api.example.com/v1/token')]);
    const [one, same, other] = [
      'https://API.example.com/v1',
      'https://api.example.com/v1/',
      'https://api.example.com/v2',
    ]
      .map(locationOf)
      .map((api) => endpoints.under(api));
    expect(same).toBe(one);
    expect([one?.has('/token'), other?.has('/token')]).toEqual([true, false]);
  });
});

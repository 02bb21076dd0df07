import { describe, expect, it } from 'vitest';
import { providers } from '../../src/providers/registry.ts';
import { benchForFile, customRoute, ROUTED } from './support/bench.ts';
import { exchange, expectAccepted, expectRefusal, request } from './support/request-case.ts';

// The API host of `/own/*` issues the tokens too.
const bench = benchForFile(({ upstream }) => ({
  '/own/*': customRoute('own', { upstream, auth_server: `${upstream}/base/own` }),
}));

const WITH_HOSTS = providers.filter(({ hosts }) => hosts !== undefined);
const LOGINS = WITH_HOSTS.flatMap(({ name, tokenPaths }) =>
  (ROUTED.includes(name) ? tokenPaths : []).map(({ method, path }) => ({
    name,
    method,
    path: path.replace('{refresh_token}', 'r3fr3sh'),
  })),
);

/** Ways in which one server or another still reads the path of a login. */
const SPELLINGS: readonly [how: string, spell: (path: string) => string][] = [
  ['in capitals', (path) => path.toUpperCase()],
  ['with one capital', (path) => path.replace(/[a-z]/, (letter) => letter.toUpperCase())],
  ['with a slash behind', (path) => `${path}/`],
  ['with an empty parameter behind', (path) => `${path};`],
  ['with a parameter behind', (path) => `${path};a=b`],
  ['with a parameter in its first segment', (path) => path.replace(/(.)\//, '$1;a=b/')],
  ['with an encoded parameter behind', (path) => `${path}%3ba=b`],
  ['with a letter encoded', (path) => path.replace('a', '%61')],
  ['with a letter encoded in capitals', (path) => path.replace(/o|t/, (letter) => hex(letter).toUpperCase())],
  ['with a letter encoded twice', (path) => path.replace('a', '%2561')],
  ['with a letter encoded four times', (path) => path.replace('a', '%25252561')],
  ['with every letter encoded', (path) => path.replaceAll(/[a-z]/g, hex)],
  ['with its slashes encoded', (path) => path.replaceAll(/(?!^)\//g, '%2f')],
  ['with its slashes encoded twice', (path) => path.replaceAll(/(?!^)\//g, '%252F')],
  ['with a slash doubled by encoding', (path) => path.replaceAll(/(?!^)\//g, '/%2f')],
  ['with an encoded slash before it', (path) => `/%2f${path.slice(1)}`],
  ['with an encoded slash behind', (path) => `${path}%2F`],
  ['with an encoded space behind', (path) => `${path}%20`],
  ['with an encoded query behind', (path) => `${path}%3fa=b`],
  ['with an encoded fragment behind', (path) => `${path}%23`],
  ['with a query in another spelling', (path) => `${path}/?a=b`],
];

function hex(letter: string): string {
  return `%${letter.charCodeAt(0).toString(16)}`;
}

describe.each(LOGINS)('$method $path of $name', ({ name, method, path }) => {
  it.each(SPELLINGS)('is refused and never sent as %s', async (_, spell) => {
    expect(spell(path)).not.toBe(path);
    const bytes = request(`${method} /${name}${spell(path)}`, 'Authorization: Basic client-canary');
    const { responses } = await exchange(bench(), bytes, 1);
    expect(bench().forwarded()).toEqual([]);
    // What stands behind a refresh token may be part of it: then it is a login as documented.
    const refreshes = path.endsWith('r3fr3sh') && spell(path).startsWith(path) && !/\/($|\?)/.test(spell(path));
    expect(responses[0]!.status).toBe(refreshes ? 200 : 403);
  });

  it.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((other) => other !== method))(
    'is refused and never sent with %s',
    async (other) => {
      const bytes = request(`${other} /${name}${path}`);
      if (other === 'HEAD') {
        const { responses } = await exchange(bench(), bytes, 1);
        expect([responses[0]!.status, bench().forwarded()]).toEqual([403, []]);
      } else {
        await expectRefusal(bench(), { name: path, bytes, expected: '403 path_refused' });
      }
    },
  );

  it.each([
    ['as documented', path],
    ['with a query', `${path}?grant_type=client_credentials&x=${encodeURIComponent('../')}`],
  ])('gets a placeholder from Wakala %s', async (_, spelled) => {
    const bytes = request(`${method} /${name}${spelled}`, 'Authorization: Basic client-canary');
    const { responses } = await exchange(bench(), bytes, 1);
    expect(responses[0]!.status).toBe(200);
    expect(Object.keys(responses[0]!.json())).toEqual(expect.arrayContaining([expect.stringMatching(/^access/)]));
    expect(bench().forwarded()).toEqual([]);
  });

  it.each([`/x${path}`, `${path}/x/y`, `${path}x/y`])('does not match %s, which is forwarded', async (other) => {
    const bytes = request(`${method} /${name}${other}`);
    await expectAccepted(bench(), { name: other, bytes, expected: { sent: `${method} /${name}${other}` } });
  });
});

describe('the token exchange of a route', () => {
  it.each(['/issue/token/', '/ISSUE/token', '/issue%2ftoken', '/iss%75e/token', '/issue/token;x', '/issue%252ftoken'])(
    'is refused and never sent as %s',
    async (path) => {
      const bytes = request(`POST /own${path}`);
      await expectRefusal(bench(), { name: path, bytes, expected: '403 path_refused' });
    },
  );

  it('gets a placeholder from Wakala as documented', async () => {
    const { responses } = await exchange(bench(), request('POST /own/issue/token'), 1);
    expect([responses[0]!.status, Object.keys(responses[0]!.json())]).toEqual([
      200,
      expect.arrayContaining(['access_token']),
    ]);
    expect(bench().forwarded()).toEqual([]);
  });
});

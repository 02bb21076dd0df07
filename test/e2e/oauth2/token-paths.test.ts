import { once } from 'node:events';
import { request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/clock.ts';
import { sendRequest } from '../../support/proxy-client.ts';
import { startProxy } from '../../support/proxy-server.ts';
import { sendRaw } from '../../support/raw-client.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { PATIENT } from '../../tokens/store/provider.ts';
import { CLIENT_ID, type ScriptedResponse, scriptedServer, SECRET } from './servers.ts';
import type { Settings } from './token-fetcher.ts';

const METADATA = '/.well-known/oauth-authorization-server';
const CREDENTIALS = { client_id: CLIENT_ID, client_secret: SECRET };

/** An API that issues its tokens itself: at `endpoint`, to whoever calls it, in whatever spelling. */
async function api(endpoint = '/token') {
  const state = { endpoint, issued: 0, dead: new Set<string>() };
  const isToken = (path: string) => plain(path) === plain(state.endpoint);
  const server = await scriptedServer(({ path, headers }, origin): ScriptedResponse => {
    if (path === METADATA) return { json: { issuer: origin, token_endpoint: `${origin}${state.endpoint}` } };
    if (isToken(path) && !state.dead.has(String(headers['authorization']))) {
      state.issued += 1;
      return { json: { access_token: `real-token-${state.issued}`, expires_in: 86_400 } };
    }
    return { status: state.dead.has(String(headers['authorization'])) ? 401 : 200, json: { path } };
  });
  /** Calls that arrived at the token endpoint. */
  const asked = () => server.arrived.filter(({ path }) => isToken(path)).length;
  return { ...server, state, asked, port: new URL(server.origin).port };
}

/** A path as a lenient server reads it. */
function plain(path: string): string {
  return decodeURIComponent(new URL(path, 'http://localhost').pathname).replace(/\/$/, '').toLowerCase();
}

async function proxyTo(
  upstream: string,
  oauth2: Settings,
  settings: Settings = {},
  routes: Settings = {},
  clock?: Clock,
) {
  const route = { provider: 'oauth2', upstream, credentials: CREDENTIALS, oauth2, ...settings };
  return startProxy({ routes: { '/bank/*': route, ...routes } }, clock);
}

const SPELLINGS = ['/token', '/token/', '/%74oken', '/%2574oken', '/TOKEN', '/token?a=b', '/token;x', '/token%2f'];

/** Ways to write an upstream that is this machine. */
const HOSTS = [
  '127.0.0.1',
  'localhost',
  'LocalHost',
  '127.1',
  '0x7f.0.0.1',
  '2130706433',
  '[::ffff:127.0.0.1]',
  '0.0.0.0',
];

describe('a token endpoint on the host of the API, named by an issuer,', () => {
  it.each(HOSTS.flatMap((host) => (['refuse', 'placeholder'] as const).map((mode) => [host, mode] as const)))(
    'is not reachable through a route to %s with `token_paths: %s`, in any spelling',
    async (host, token_paths) => {
      const { origin, port, asked } = await api();
      const proxy = await proxyTo(`http://${host}:${port}`, { issuer: origin }, { token_paths });
      for (const path of SPELLINGS) {
        const response = await sendRequest(proxy.port, `/bank${path}`, { body: 'grant_type=client_credentials' });
        expect([path, response.status, response.json()['code']]).toEqual([path, 403, 'path_refused']);
      }
      expect((await sendRequest(proxy.port, '/bank/token')).status).toBe(403);
      // Wakala's own.
      expect(asked()).toBe(1);
      expect((await sendRequest(proxy.port, '/bank/tokens')).json()).toEqual({ path: '/tokens' });
      expect((await sendRequest(proxy.port, '/bank/v1/token')).json()).toEqual({ path: '/v1/token' });
    },
  );

  it.each([
    ['/x/api', '/x/api/token', '/token'],
    ['/%78/api', '/x/api/token', '/token'],
    ['/x/api', '/%78/%61pi/token', '/token'],
    ['/x', '/%78/%74oken', '/token'],
    ['/x', '/x/%74oken', '/%74oken'],
    ['/X', '/x/token', '/token'],
    ['/x', '/y/../x/token', '/token'],
    ['/x/token', '/x/token', ''],
  ])('is recognized under an upstream with the path %s if it is %s', async (base, endpoint, below) => {
    const { origin, state } = await api(endpoint);
    const proxy = await proxyTo(`${origin}${base}`, { issuer: origin });
    const response = await sendRequest(proxy.port, `/bank${below}`, { method: 'POST' });
    expect([response.status, response.json()['code']]).toEqual([403, 'path_refused']);
    // Wakala's own.
    expect(state.issued).toBe(1);
  });

  it('is not reached by a request whose body arrives during discovery', async () => {
    const { origin, asked } = await api();
    const proxy = await proxyTo(origin, { issuer: origin });
    const slow = request({ host: '127.0.0.1', port: proxy.port, path: '/bank/token', method: 'POST', agent: false });
    slow.setHeader('content-length', 4).write('ab');
    const responded = once(slow, 'response') as Promise<[{ statusCode: number; resume(): void }]>;
    // Its token is there before the rest of the body.
    await sendRequest(proxy.port, '/bank/x');
    slow.end('cd');
    const [{ statusCode }] = await responded;
    expect([statusCode, asked()]).toEqual([403, 1]);
  });

  it('is not reached by the second attempt of a request during whose refresh it was discovered', async () => {
    const { origin, state, arrived } = await api('/old');
    let laterMs = 0;
    const clock: Clock = { now: () => systemClock.now() + laterMs, after: systemClock.after };
    const proxy = await proxyTo(origin, { issuer: origin }, {}, {}, clock);
    await sendRequest(proxy.port, '/bank/x');
    state.dead.add('Bearer real-token-1');
    state.endpoint = '/new';
    // What the issuer said is kept for an hour; its tokens live for a day.
    laterMs = 3_600_001;
    const response = await sendRequest(proxy.port, '/bank/new', { body: '{}' });
    expect(response.status).toBe(401);
    const calls = arrived.filter(({ path }) => path === '/new').map(({ headers }) => String(headers['authorization']));
    expect(calls).toEqual(['Bearer real-token-1', expect.stringMatching(/^Basic /)]);
    expect((await sendRequest(proxy.port, '/bank/new', { body: '{}' })).status).toBe(403);
  });

  it('is not reached by a WebSocket handshake', async () => {
    const { origin, asked } = await api();
    const { port } = await proxyTo(origin, { issuer: origin }, { websocket: true });
    const handshake = [
      'GET /bank/token HTTP/1.1',
      'Host: localhost',
      'Connection: Upgrade',
      'Upgrade: websocket',
      '',
      '',
    ];
    expect((await sendRaw(port, handshake.join('\r\n'))).status).toBe(403);
    expect(asked()).toBe(1);
  });

  it('is not reachable through another route to that host after discovery', async () => {
    const { origin, port, asked } = await api();
    const key = { provider: 'static', upstream: `http://localhost:${port}`, credentials: { token: 'made-up-key' } };
    const proxy = await proxyTo(origin, { issuer: origin }, {}, { '/key/*': key });
    await sendRequest(proxy.port, '/bank/x');
    for (const path of SPELLINGS) {
      expect((await sendRequest(proxy.port, `/key${path}`, { method: 'POST' })).status).toBe(403);
    }
    expect(asked()).toBe(1);
    expect((await sendRequest(proxy.port, '/key/x')).json()).toEqual({ path: '/x' });
  });

  it('is an ordinary path on another host', async () => {
    const [{ origin }, other] = [await api(), await api('/elsewhere')];
    const proxy = await proxyTo(other.origin, { issuer: origin });
    expect((await sendRequest(proxy.port, '/bank/token', { method: 'POST' })).json()).toEqual({ path: '/token' });
  });

  it.runIf(hasTool('redis-server'))('is known to a replica that got its token from another one', async () => {
    const redis = await RedisServer.start();
    const { origin, asked } = await api();
    const token_store = { redis: redis.url, encryption_key: 'an encryption key for tests, long enough' };
    const route = { provider: 'oauth2', upstream: origin, credentials: CREDENTIALS, oauth2: { issuer: origin } };
    const start = () => startProxy({ token_store, routes: { '/bank/*': route } }, PATIENT);
    const [one, two, three] = [await start(), await start(), await start()];
    expect((await sendRequest(one.port, '/bank/x')).header('wakala-token')).toBe('fetched');
    // One replica that received the token as an event, and one that reads it now.
    expect((await sendRequest(two.port, '/bank/token', { method: 'POST' })).status).toBe(403);
    expect((await sendRequest((await start()).port, '/bank/token', { method: 'POST' })).status).toBe(403);
    expect((await sendRequest(three.port, '/bank/token', { method: 'POST' })).status).toBe(403);
    expect(asked()).toBe(1);
  });
});

describe('a token endpoint on the host of the API, named by the configuration,', () => {
  it.each<[host: string, written: string]>([
    ...HOSTS.map((host): [string, string] => [host, '/token']),
    ['127.0.0.1', '/%74oken'],
    ['localhost', '/%74%6fken'],
  ])('is not reachable through a route to %s, written as %s', async (host, written) => {
    const { origin, port, asked } = await api();
    const proxy = await proxyTo(
      `http://${host}:${port}`,
      { token_endpoint: `${origin}${written}` },
      { token_paths: 'refuse' },
    );
    for (const path of [...SPELLINGS, written]) {
      expect([path, (await sendRequest(proxy.port, `/bank${path}`, { method: 'POST' })).status]).toEqual([path, 403]);
    }
    expect(asked()).toBe(0);
  });

  it('returns a placeholder if configured, whatever the spelling of the host', async () => {
    const { origin, port, asked } = await api();
    const proxy = await proxyTo(`http://127.1:${port}`, {
      token_endpoint: origin.replace('127.0.0.1', 'localhost') + '/token',
    });
    const response = await sendRequest(proxy.port, '/bank/token', { method: 'POST' });
    expect([response.status, Object.keys(response.json())]).toEqual([200, expect.arrayContaining(['access_token'])]);
    expect([response.text.includes('real-token'), asked()]).toEqual([false, 0]);
  });

  it('is refused if its path has a percent escape: no placeholder for such a path', async () => {
    const { origin, asked } = await api();
    const proxy = await proxyTo(origin, { token_endpoint: `${origin}/%74oken` });
    for (const path of ['/%74oken', '/token']) {
      expect((await sendRequest(proxy.port, `/bank${path}`, { method: 'POST' })).status).toBe(403);
    }
    expect(asked()).toBe(0);
  });

  it('is not reachable through another route to that host', async () => {
    const { origin, port, asked } = await api('/v1/token');
    const key = { provider: 'static', upstream: `http://localhost:${port}/v1`, credentials: { token: 'made-up-key' } };
    const proxy = await proxyTo(origin, { token_endpoint: `${origin}/v1/token` }, {}, { '/key/*': key });
    for (const path of SPELLINGS) {
      expect([path, (await sendRequest(proxy.port, `/key${path}`, { method: 'POST' })).status]).toEqual([path, 403]);
    }
    expect(asked()).toBe(0);
    expect((await sendRequest(proxy.port, '/key/x')).json()).toEqual({ path: '/v1/x' });
  });
});

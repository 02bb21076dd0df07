import { createServer, type IncomingMessage, request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { sendRequest } from '../../support/proxy-client.ts';
import { startProxy } from '../../support/proxy-server.ts';
import { expectNoSecret } from '../../support/token-fakes.ts';
import {
  CLIENT_ID,
  listening,
  mockServer,
  oidcProvider,
  scriptedServer,
  scriptedTokenServer,
  SECRET,
} from './servers.ts';
import type { Settings } from './token-fetcher.ts';

const CREDENTIALS = { client_id: CLIENT_ID, client_secret: SECRET };

/** An API that responds with the headers of each call. A call with `dead: 1` gets a 401 until `dead` is empty. */
async function api(dead = new Set<string>()) {
  return scriptedServer(({ path, headers }) => {
    const isDead = dead.has(String(headers['authorization'] ?? headers['x-api-key']));
    return { status: isDead ? 401 : 200, json: { path, headers } };
  });
}

async function proxyTo(upstream: string, oauth2: Settings, settings: Settings = {}) {
  const route = { provider: 'oauth2', upstream, credentials: CREDENTIALS, oauth2, ...settings };
  return startProxy({ routes: { '/bank/*': route } });
}

function headersIn(response: { json(): Record<string, unknown> }): Record<string, string> {
  return response.json()['headers'] as Record<string, string>;
}

describe('a route with `provider: oauth2`', () => {
  it('calls the API with a token of a real server, and caches it', async () => {
    const { issuer } = await mockServer();
    const { origin } = await api();
    const { port, logText } = await proxyTo(origin, { issuer, scope: 'payments' });
    const first = await sendRequest(port, '/bank/v1/payments');
    const second = await sendRequest(port, '/bank/v1/payments');
    expect([first, second].map((response) => response.header('wakala-token'))).toEqual(['fetched', 'cached']);
    expect(headersIn(second)['authorization']).toMatch(/^Bearer eyJ/);
    expect(headersIn(second)['authorization']).toBe(headersIn(first)['authorization']);
    expectNoSecret(logText(), SECRET, String(headersIn(first)['authorization']).slice('Bearer '.length));
  });

  it('gets another token when one dies, and sends the call again', async () => {
    const dead = new Set<string>();
    const { origin } = await api(dead);
    const tokens = await scriptedTokenServer();
    const { port } = await proxyTo(origin, { token_endpoint: tokens.endpoint });
    await sendRequest(port, '/bank/x');
    dead.add('Bearer token-1');
    const response = await sendRequest(port, '/bank/x');
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(headersIn(response)['authorization']).toBe('Bearer token-2');
  });

  it('logs in once if the server issues one refresh token, and again if it refuses that', async () => {
    const dead = new Set<string>();
    const { origin } = await api(dead);
    let isRevoked = false;
    let count = 0;
    const server = await scriptedServer(({ form }) => {
      const { grant_type: grant, refresh_token: refreshToken } = Object.fromEntries(form);
      if (grant === 'refresh_token' && (isRevoked || refreshToken !== 'refresh-1')) {
        return { status: 400, json: { error: 'invalid_grant' } };
      }
      count += 1;
      const issued = grant === 'refresh_token' ? {} : { refresh_token: 'refresh-1' };
      return { json: { access_token: `token-${count}`, expires_in: 3600, ...issued } };
    });
    const { port } = await proxyTo(origin, { token_endpoint: `${server.origin}/token` });
    await sendRequest(port, '/bank/x');
    for (let n = 1; n <= 4; n++) {
      isRevoked = n === 4;
      dead.add(`Bearer token-${n}`);
      expect(headersIn(await sendRequest(port, '/bank/x'))['authorization']).toBe(`Bearer token-${n + 1}`);
    }
    const grants = server.arrived.map(({ form }) => Object.fromEntries(form)['grant_type']);
    const [login, refresh] = ['client_credentials', 'refresh_token'];
    expect(grants).toEqual([login, refresh, refresh, refresh, refresh, login]);
  });

  it('shares its token only with a route to another API with the same token request', async () => {
    const tokens = await scriptedTokenServer();
    const [one, two] = [await api(), await api()];
    const route = (upstream: string, scope: string) => ({
      provider: 'oauth2',
      upstream,
      credentials: CREDENTIALS,
      oauth2: { token_endpoint: tokens.endpoint, scope },
    });
    const { port } = await startProxy({
      routes: { '/a/*': route(one.origin, 'x'), '/b/*': route(two.origin, 'x'), '/c/*': route(two.origin, 'y') },
    });
    const used: (string | undefined)[] = [];
    for (const name of ['a', 'b', 'c']) used.push(headersIn(await sendRequest(port, `/${name}/`))['authorization']);
    expect(used).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-2']);
  });

  it('responds 502 token_denied to a wrong secret, and only the log has the words of the server', async () => {
    const { issuer } = await oidcProvider({ client_secret: 'another made-up secret' });
    const { origin, arrived } = await api();
    const { port, logText } = await proxyTo(origin, { issuer });
    const response = await sendRequest(port, '/bank/x');
    expect([response.status, response.json()['code']]).toEqual([502, 'token_denied']);
    expect(response.text).not.toContain('invalid_client');
    expect(logText()).toContain('invalid_client');
    expectNoSecret([logText(), response.text], SECRET);
    expect(arrived).toEqual([]);
  });

  it('responds 503 token_unavailable with an explanation if the issuer is another', async () => {
    const imposter = await scriptedServer(() => ({ json: { issuer: 'https://login.bank.example' } }));
    const { origin } = await api();
    const { port } = await proxyTo(origin, { issuer: imposter.origin });
    const response = await sendRequest(port, '/bank/x');
    expect([response.status, response.json()['code']]).toEqual([503, 'token_unavailable']);
    expect(response.json()['detail']).toContain('belongs to another issuer');
  });
});

describe('token_header', () => {
  const OTHER_SPELLINGS = ['X-Api-Key', 'x-api-key', 'X_API_KEY', 'x-api_key', 'xapikey', 'X--Api-Key', '_X_Api_Key'];

  it.each([
    [{ name: 'X-Api-Key' }, 'x-api-key', 'token-1'],
    [{ name: 'X-Api-Key', scheme: 'Token' }, 'x-api-key', 'Token token-1'],
    [{ scheme: 'Token' }, 'authorization', 'Token token-1'],
    [{ name: 'authorization' }, 'authorization', 'Bearer token-1'],
    [{ name: 'Authorization', scheme: '' }, 'authorization', 'token-1'],
  ])('%j puts the token into %s as %j', async (token_header, name, value) => {
    const [tokens, { origin, arrived }] = [await scriptedTokenServer(), await api()];
    const { port } = await proxyTo(origin, { token_endpoint: tokens.endpoint }, { token_header });
    await sendRequest(port, '/bank/x', { headers: { Authorization: 'Bearer mine', Connection: `${name}, close` } });
    const headers = arrived[0]?.headers ?? {};
    expect(headers[name]).toBe(value);
    if (name !== 'authorization') expect(headers).not.toHaveProperty('authorization');
  });

  it.each(OTHER_SPELLINGS)("keeps the client's %s away from the API", async (spelling) => {
    const [tokens, { origin, arrived }] = [await scriptedTokenServer(), await api()];
    const { port } = await proxyTo(
      origin,
      { token_endpoint: tokens.endpoint },
      { token_header: { name: 'X-Api-Key' } },
    );
    await sendRequest(port, '/bank/x', { headers: { [spelling]: 'mine', 'X-Api-Key-Id': 'kept' } });
    expect(JSON.stringify(arrived[0]?.headers)).not.toContain('mine');
    expect(arrived[0]?.headers).toMatchObject({ 'x-api-key': 'token-1', 'x-api-key-id': 'kept' });
  });

  it('works with a fixed key', async () => {
    const { origin, arrived } = await api();
    const route = { provider: 'static', upstream: origin, credentials: { token: 'made-up-key' } };
    const { port } = await startProxy({ routes: { '/x/*': { ...route, token_header: { name: 'X-Api-Key' } } } });
    await sendRequest(port, '/x/', { headers: { 'x-api-key': 'mine' } });
    expect(arrived[0]?.headers['x-api-key']).toBe('made-up-key');
  });

  it('does not return headers of a response that contain the token', async () => {
    const tokens = await scriptedTokenServer(() => ({ access_token: 'made-up-token' }));
    const leaky = await scriptedServer(({ headers }) => ({
      headers: { 'x-echo': `key=${String(headers['x-api-key'])}`, 'x-other': 'kept' },
      json: {},
    }));
    const { port } = await proxyTo(
      leaky.origin,
      { token_endpoint: tokens.endpoint },
      { token_header: { name: 'X-Api-Key' } },
    );
    const response = await sendRequest(port, '/bank/x');
    expect([response.header('x-echo'), response.header('x-other')]).toEqual([undefined, 'kept']);
  });

  it('is replaced when the provider refuses its token', async () => {
    const dead = new Set<string>();
    const [tokens, { origin }] = [await scriptedTokenServer(), await api(dead)];
    const { port } = await proxyTo(
      origin,
      { token_endpoint: tokens.endpoint },
      { token_header: { name: 'X-Api-Key' } },
    );
    await sendRequest(port, '/bank/x');
    dead.add('token-1');
    const response = await sendRequest(port, '/bank/x');
    expect([response.status, headersIn(response)['x-api-key']]).toEqual([200, 'token-2']);
  });
});

describe('a WebSocket handshake', () => {
  it('has the token and the headers issued with it under the names of the route, and none of the client', async () => {
    const tokens = await scriptedTokenServer(() => ({ app_code: 7310 }));
    const server = createServer();
    const shaken = Promise.withResolvers<IncomingMessage>();
    server.on('upgrade', (req, socket) => {
      shaken.resolve(req);
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    });
    const { port } = await proxyTo(
      await listening(server),
      { token_endpoint: tokens.endpoint },
      { websocket: true, token_header: { name: 'X-Api-Key' }, headers_from_token: { 'X-App-Code': 'app_code' } },
    );
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket', x_api_key: 'mine', 'X-App-Code': 'mine' };
    const outgoing = request({ host: '127.0.0.1', port, path: '/bank/ws', headers, agent: false });
    outgoing.on('upgrade', (_response, socket) => socket.destroy()).on('error', () => {});
    outgoing.end();
    const { headers: arrived } = await shaken.promise;
    expect(arrived).toMatchObject({ 'x-api-key': 'token-1', 'x-app-code': '7310' });
    expect(JSON.stringify(arrived)).not.toContain('mine');
    expect(arrived).not.toHaveProperty('authorization');
  });
});

describe('headers_from_token', () => {
  const HEADERS = { headers_from_token: { 'X-App-Code': 'data.app_code', 'X-Merchant': 'merchant' } };

  it("sends values of the token response with every call, in place of the client's", async () => {
    const tokens = await scriptedTokenServer(() => ({ data: { app_code: 7310 }, merchant: 'shop 1' }));
    const { origin, arrived } = await api();
    const { port } = await proxyTo(origin, { token_endpoint: tokens.endpoint }, HEADERS);
    await sendRequest(port, '/bank/x', {
      headers: { x_app_code: 'mine', 'x-merchant': 'mine', Connection: 'x-app-code' },
    });
    await sendRequest(port, '/bank/x');
    for (const { headers } of arrived) expect(headers).toMatchObject({ 'x-app-code': '7310', 'x-merchant': 'shop 1' });
    expect(JSON.stringify(arrived)).not.toContain('mine');
  });

  it.each([
    ['is missing', {}],
    ['is an object', { merchant: { id: 1 } }],
    ['is null', { merchant: null }],
    ['holds a line break', { merchant: 'shop\r\nx-evil: 1' }],
    ['holds a character beyond ASCII', { merchant: 'shöp' }],
    ['is empty', { merchant: '' }],
  ])("omits a value that %s, logs it once, and still drops the client's header", async (_, extra) => {
    const tokens = await scriptedTokenServer(() => ({ data: { app_code: true }, ...extra }));
    const dead = new Set<string>();
    const { origin, arrived } = await api(dead);
    const { port, log } = await proxyTo(origin, { token_endpoint: tokens.endpoint }, HEADERS);
    await sendRequest(port, '/bank/x', { headers: { 'X-Merchant': 'mine' } });
    dead.add('Bearer token-1');
    await sendRequest(port, '/bank/x', { headers: { 'X-Merchant': 'mine' } });
    expect(arrived.length).toBe(3);
    for (const { headers } of arrived) {
      expect(headers['x-app-code']).toBe('true');
      expect(headers).not.toHaveProperty('x-merchant');
    }
    const said = log.filter(({ event }) => event === 'token_header_missing');
    expect(said).toMatchObject([{ header: 'X-Merchant', path: 'merchant', provider: 'oauth2' }]);
  });

  it('keeps values that the response to a refresh does not repeat', async () => {
    const tokens = await scriptedTokenServer((n) => ({
      refresh_token: `refresh-${n}`,
      ...(n === 1 && { data: { app_code: 1 }, merchant: 'first' }),
      ...(n === 2 && { merchant: 'second' }),
    }));
    const dead = new Set<string>();
    const { origin, arrived } = await api(dead);
    const { port, log } = await proxyTo(origin, { token_endpoint: tokens.endpoint }, HEADERS);
    await sendRequest(port, '/bank/x');
    dead.add('Bearer token-1');
    await sendRequest(port, '/bank/x');
    expect(Object.fromEntries(tokens.arrived[1]?.form ?? [])).toMatchObject({ grant_type: 'refresh_token' });
    expect(arrived.at(-1)?.headers).toMatchObject({ 'x-app-code': '1', 'x-merchant': 'second' });
    expect(log.filter(({ event }) => event === 'token_header_missing')).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { sendRequest } from '../../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../../support/proxy-server.ts';
import { type RawResponse, sendRaw } from '../../support/raw-client.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { basic, SHOP, TILL } from './support.ts';

const LOGIN = '/mpesa/oauth/v1/generate?grant_type=client_credentials';
const MPESA = { provider: 'mpesa', credentials: { consumer_key: 'k', consumer_secret: 's' } };

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const routes = { '/api/*': routeTo(upstream), '/other/*': routeTo(upstream), '/mpesa/*': MPESA };
  const proxy = await startProxy({ routes, ...settings });
  const get = (target: string, host: string) => sendRaw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  return { proxy, get };
}

function expectNoRoute(response: RawResponse): void {
  expect([response.status, ...response.values('content-type')]).toEqual([404, 'application/problem+json']);
  expect(response.json()).toMatchObject({ code: 'no_route', outcome: 'not_sent' });
}

describe('a Host that is not valid in a URL', () => {
  it.each(['localhost:99999', 'localhost:', '127.0.0.1:65536', '[::1]:99999', '[::1]:'])(
    'does not change the responses of Wakala on a loopback address: %j',
    async (host) => {
      const { get } = await start();
      expectNoRoute(await get('/nowhere', host));
      expectNoRoute(await get(`http://${host}/nowhere`, host));
      const login = await get(LOGIN, host);
      expect([login.status, Object.keys(login.json())]).toEqual([200, ['access_token', 'expires_in']]);
    },
  );

  it.each(['[::1', '[', ']', 'a:b:c', ':', ':80', '', '-', '_', '999999999999'])(
    'does not change the responses of Wakala on an open address: %j',
    async (host) => {
      const { get } = await start({ listen: '0.0.0.0:0', open: true });
      expectNoRoute(await get('/nowhere', host));
      const login = await get(LOGIN, host);
      expect([login.status, Object.keys(login.json())]).toEqual([200, ['access_token', 'expires_in']]);
    },
  );
});

describe('404 no_route', () => {
  const detailFor = async (settings: Settings, headers: Record<string, string> = {}) => {
    const { proxy } = await start(settings);
    const response = await sendRequest(proxy.port, '/nowhere', { headers });
    expect(response.status).toBe(404);
    return String(response.json()['detail']);
  };

  it('names every route if anyone may call', async () => {
    expect(await detailFor({})).toContain('/api/*, /other/*, /mpesa/*');
  });

  it('names only the routes that the client may use', async () => {
    const clients = [SHOP, TILL];
    const limited = await detailFor({ clients }, basic(SHOP));
    expect(limited).toContain('/api/*');
    expect(limited).not.toMatch(/other|mpesa/);
    expect(await detailFor({ clients }, basic(TILL))).toContain('/api/*, /other/*, /mpesa/*');
  });
});

describe('a response of Wakala itself', () => {
  it('reads the request body, so that the connection can carry the next request', async () => {
    const { proxy } = await start();
    const body = 'x'.repeat(100_000);
    const login = `GET ${LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const responses = await sendRaw(proxy.port, login);
    expect(responses.status).toBe(200);
    expect(responses.values('connection')).not.toContain('close');
  });
});

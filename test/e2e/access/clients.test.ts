import { describe, expect, it } from 'vitest';
import { expectProblem, type ProxyResponse, sendRequest } from '../../support/proxy-client.ts';
import { routeTo, type Settings, startProxy } from '../../support/proxy-server.ts';
import { sendRaw } from '../../support/raw-client.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { basic, bearer, SHOP, TILL } from './support.ts';

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const routes = { '/api/*': routeTo(upstream), '/other/*': routeTo(upstream) };
  const proxy = await startProxy({ clients: [SHOP, TILL], routes, ...settings });
  const call = (headers: Record<string, string> = {}, path = '/api/x'): Promise<ProxyResponse> =>
    sendRequest(proxy.port, path, { headers });
  return { upstream, proxy, call };
}

describe('a proxy with a `clients` list', () => {
  it.each([
    ['Authorization: Bearer', bearer(SHOP.key)],
    ['Authorization: bearer, in lower case', { authorization: `bearer ${SHOP.key}` }],
    ['Proxy-Authorization: Bearer', { 'proxy-authorization': `Bearer ${SHOP.key}` }],
    ['Authorization: Basic name:key', basic(SHOP)],
    ['Proxy-Authorization: Basic name:key', { 'proxy-authorization': basic(SHOP).authorization }],
    ['Proxy-Authorization beside another login', { ...bearer('sdk'), 'proxy-authorization': `Bearer ${SHOP.key}` }],
    ['Basic with a key that has a colon in it', basic(TILL)],
  ])('admits a request with %s', async (_, headers) => {
    const { upstream, call } = await start();
    expect((await call(headers)).status).toBe(200);
    expect(upstream.requests[0]?.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]}`]);
  });

  it.each([
    ['nothing', {}],
    ['a wrong key', bearer('shop-key-0123456788')],
    ['the beginning of a key', bearer(SHOP.key.slice(0, -1))],
    ['more than a key', bearer(`${SHOP.key}0`)],
    ['a key in other letters', bearer(SHOP.key.toUpperCase())],
    ['the name in place of the key', bearer(SHOP.name)],
    ['a key without a scheme', { authorization: SHOP.key }],
    ['a key under another scheme', { authorization: `Token ${SHOP.key}` }],
    ['a key in another header', { 'x-api-key': SHOP.key }],
    ["another client's name with a key", basic({ name: 'till', key: SHOP.key })],
    ['a name that is in no list with a key', basic({ name: 'nobody', key: SHOP.key })],
    ['an empty name with a key', basic({ name: '', key: SHOP.key })],
    ['a name with an empty key', basic({ name: 'shop', key: '' })],
    ['a name of every object with a key', basic({ name: '__proto__', key: SHOP.key })],
  ])('responds 401 to a request with %s and sends nothing', async (_, headers) => {
    const { upstream, call } = await start();
    const response = await call(headers);
    expectProblem(response, { status: 401, code: 'client_unauthorized', outcome: 'not_sent' });
    expect(response.header('www-authenticate')).toMatch(/^Bearer realm="/);
    expect(response.text).not.toContain(SHOP.key);
    expect(upstream.received).toHaveLength(0);
  });

  it('requires a key also for paths without a route', async () => {
    const { call } = await start();
    expectProblem(await call({}, '/nowhere'), { status: 401, code: 'client_unauthorized' });
    expectProblem(await call(bearer(SHOP.key), '/nowhere'), { status: 404, code: 'no_route' });
  });

  it('restricts each client to its routes', async () => {
    const { upstream, call } = await start();
    const response = await call(bearer(SHOP.key), '/other/x');
    expectProblem(response, { status: 403, code: 'client_forbidden', outcome: 'not_sent' });
    expect(response.text).toContain('shop');
    expect(upstream.received).toHaveLength(0);
    expect((await call(bearer(TILL.key), '/other/x')).status).toBe(200);
    expect((await call(bearer(SHOP.key), '/api/x')).status).toBe(200);
  });

  it('never forwards a key, whatever header it is in', async () => {
    const { upstream, proxy } = await start();
    const response = await sendRaw(
      proxy.port,
      [
        'GET /api/x HTTP/1.1',
        'Host: localhost',
        `Authorization: Bearer ${SHOP.key}`,
        `Proxy-Authorization: Bearer ${SHOP.key}`,
        `Proxy_Authorization: Bearer ${SHOP.key}`,
        `Author_ization: Bearer ${SHOP.key}`,
        `Authorization: ${basic(SHOP).authorization}`,
        'Connection: authorization, x-mine',
        `X-Mine: ${SHOP.key}`,
        '',
        '',
      ].join('\r\n'),
    );
    expect(response.status).toBe(200);
    const sent = upstream.received.toString('latin1');
    expect(sent).not.toContain(SHOP.key);
    expect(sent).not.toContain(Buffer.from(SHOP.key).toString('base64').slice(4, 16));
    expect(upstream.requests[0]?.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]}`]);
  });

  it('never logs a key', async () => {
    const { proxy, call } = await start();
    await call(bearer(SHOP.key));
    await call(basic(SHOP), '/other/x');
    await call(bearer(`${SHOP.key}0`));
    expect(proxy.log.filter(({ event }) => event === 'request_refused')).toHaveLength(2);
    expect(proxy.logText()).not.toContain(SHOP.key);
  });
});

describe('a proxy without a `clients` list', () => {
  it('drops any key in a request', async () => {
    const { upstream, call } = await start({ clients: undefined });
    expect((await call(bearer(SHOP.key))).status).toBe(200);
    expect((await call(basic(SHOP))).status).toBe(200);
    expect(upstream.received.toString('latin1')).not.toContain(SHOP.key);
  });
});

import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { issue } from '../../config/certificate.ts';
import { routeTo, type Settings } from '../../support/proxy-server.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { basic, bearer, connectTls, makePki, sendTls, SHOP, startTlsProxy, tlsFiles } from './support.ts';

const pki = makePki();
const otherCa = issue({ name: 'Other CA', isCa: true });
const trusting = { ca: pki.ca.cert };
const YESTERDAY = new Date(Date.now() - 86_400_000);

const certified = (name: string, issuer = pki.ca) => {
  const { cert, key } = issue({ name, issuer });
  return { ...trusting, cert, key };
};

/** `shop` is known by its certificate alone and may call one route; `till` has a key too. */
const CLIENTS = [
  { name: 'shop', routes: ['/api/*'] },
  { name: 'till', key: 'till:key:0123456789' },
];

async function start(settings: Settings = { clients: CLIENTS }, mutual = true) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const files = tlsFiles(pki);
  const routes = { '/api/*': routeTo(upstream), '/other/*': routeTo(upstream) };
  const proxy = await startTlsProxy({ routes, ...settings }, files, mutual);
  const status = async (...asked: [...(Parameters<typeof sendTls> extends [number, ...infer Rest] ? Rest : never)]) =>
    (await sendTls(proxy.port, ...asked)).status;
  return { upstream, proxy, files, routes, status };
}

describe('a proxy with client_ca', () => {
  it('admits only callers with a certificate of that authority', async () => {
    const { upstream, proxy, status } = await start();
    await expect(status('/api/x', trusting)).rejects.toThrow();
    await expect(status('/api/x', certified('shop', otherCa))).rejects.toThrow();
    const { cert, key } = issue({ name: 'shop' });
    await expect(status('/api/x', { ...trusting, cert, key })).rejects.toThrow();
    expect(upstream.received).toHaveLength(0);
    expect(proxy.log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
    expect(await status('/api/x', certified('shop'))).toBe(200);
  });

  it('refuses an expired certificate', async () => {
    const { status } = await start();
    const { cert, key } = issue({ name: 'shop', issuer: pki.ca, to: YESTERDAY });
    await expect(status('/api/x', { ...trusting, cert, key })).rejects.toThrow();
  });

  it('identifies a client by the common name and applies its routes', async () => {
    const { status } = await start();
    expect(await status('/api/x', certified('shop'))).toBe(200);
    expect(await status('/other/x', certified('shop'))).toBe(403);
    expect(await status('/other/x', certified('till'))).toBe(200);
  });

  it.each(['nobody', 'Shop', 'shop2', ' shop', 'sho', '', '__proto__', 'shop\0x'])(
    'responds 401 to the common name %j, which is not a client, unless the request has a key',
    async (name) => {
      const { upstream, status } = await start();
      expect(await status('/api/x', certified(name))).toBe(401);
      expect(upstream.received).toHaveLength(0);
      expect(await status('/api/x', certified(name), bearer('till:key:0123456789'))).toBe(200);
      const login = basic({ name: 'till', key: 'till:key:0123456789' });
      expect(await status('/api/x', certified(name), login)).toBe(200);
    },
  );

  it('uses the certificate if the request also has the key of another client', async () => {
    const { status } = await start();
    expect(await status('/other/x', certified('shop'), bearer('till:key:0123456789'))).toBe(403);
  });

  it('admits a client without a key only by its certificate', async () => {
    const { status } = await start();
    const nobody = certified('nobody');
    for (const headers of [bearer('undefined'), bearer(''), basic({ name: 'shop', key: '' }), bearer('shop')]) {
      expect(await status('/api/x', nobody, headers)).toBe(401);
    }
  });

  it('requires only a certificate if there is no `clients` list', async () => {
    const { status } = await start({});
    expect(await status('/api/x', certified('anything'))).toBe(200);
    await expect(status('/api/x', trusting)).rejects.toThrow();
  });

  it('removes a client at a reload, also on open connections', async () => {
    const { proxy, routes } = await start();
    const socket = await connectTls(proxy.port, certified('shop'));
    const ask = async () => {
      socket.write('GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      return bytes.toString('latin1').slice(9, 12);
    };
    expect(await ask()).toBe('200');
    proxy.reload({ routes, clients: CLIENTS.slice(1) });
    expect(await ask()).toBe('401');
  });
});

describe('a change of client_ca', () => {
  it('applies to new connections, including resumed sessions', async () => {
    const { proxy, files, status } = await start();
    const shop = certified('shop');
    const socket = await connectTls(proxy.port, shop);
    const [session] = (await once(socket, 'session')) as [Buffer];
    expect(await status('/api/x', { ...shop, session })).toBe(200);
    files['/tls/ca.pem'] = otherCa.cert;
    proxy.reload();
    await expect(status('/api/x', shop)).rejects.toThrow();
    await expect(status('/api/x', { ...shop, session })).rejects.toThrow();
    expect(await status('/api/x', certified('shop', otherCa))).toBe(200);
  });

  it('from none to one needs a restart: open connections have no certificate', async () => {
    const { proxy, routes, status } = await start({ clients: [SHOP] }, false);
    expect(await status('/api/x', trusting, bearer(SHOP.key))).toBe(200);
    const tls = { cert: '/tls/cert.pem', key: '/tls/key.pem', client_ca: '/tls/ca.pem' };
    const listen = { address: '127.0.0.1:0', tls };
    expect(() => proxy.reload({ routes, listen })).toThrow(/restart/);
    expect(await status('/api/x', trusting)).toBe(401);
  });

  it('from one to none needs a restart: certificates of any public authority would be accepted', async () => {
    const { proxy, routes, status } = await start();
    const listen = { address: '127.0.0.1:0', tls: { cert: '/tls/cert.pem', key: '/tls/key.pem' } };
    expect(() => proxy.reload({ routes, listen })).toThrow(/restart/);
    expect(await status('/api/x', certified('shop'))).toBe(200);
  });
});

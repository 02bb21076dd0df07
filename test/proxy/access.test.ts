import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { ProxyError } from '../../src/errors.ts';
import { Access } from '../../src/proxy/access.ts';

const SHOP = { name: 'shop', key: 'shop-key-0123456789', routes: ['/mpesa/*'] };
const TILL = { name: 'till', key: 'till:key:0123456789' };

function accessOf(settings: Readonly<Record<string, unknown>>): Access {
  const routes = { '/mpesa/*': { provider: 'mpesa', credentials: { consumer_key: 'k', consumer_secret: 's' } } };
  const readFile = () => JSON.stringify({ routes, ...settings });
  return new Access(loadConfig('proxy.config.yaml', { readFile, env: {} }).config, () => 0);
}

function requestOf(method: string, ...rawHeaders: string[]): IncomingMessage {
  return Object.assign(new IncomingMessage(new Socket()), { method, rawHeaders });
}

function verdict(access: Access, host: string, ...raw: string[]): string {
  try {
    return access.admit(requestOf('GET', 'Host', host, ...raw), host).client?.name ?? 'anyone';
  } catch (error) {
    if (error instanceof ProxyError) return error.code;
    throw error;
  }
}

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString('base64')}`;
}

describe('Host on a loopback address', () => {
  const access = accessOf({ allowed_hosts: ['wakala.internal', 'Proxy.Test:8443'] });

  it.each([
    'localhost',
    'localhost:8080',
    'LOCALHOST:1',
    'app.localhost:8080',
    '127.0.0.1:8080',
    '127.9.8.7',
    '[::1]:8080',
    '[::1]',
    'wakala.internal',
    'WAKALA.internal:8080',
    'proxy.test:8443',
  ])('admits %s', (host) => {
    expect(verdict(access, host)).toBe('anyone');
  });

  it.each([
    '',
    'evil.example',
    'localhost.evil.example',
    'evil-localhost',
    '127.0.0.1.evil.example',
    '128.0.0.1',
    '0.0.0.0:8080',
    '10.0.0.1',
    '[::2]:8080',
    'x.wakala.internal',
    'proxy.test',
    'proxy.test:8444',
  ])('refuses %j', (host) => {
    expect(verdict(access, host)).toBe('host_refused');
  });

  it('is not checked elsewhere, except that DNS rebinding is prevented', () => {
    const open = accessOf({ listen: '0.0.0.0:8080', open: true });
    expect(verdict(open, 'wakala.payments.svc')).toBe('anyone');
    expect(verdict(open, 'evil.example')).toBe('host_refused');
  });
});

describe('Origin', () => {
  const access = accessOf({ allowed_origins: ['https://app.example', 'http://localhost:3000'] });

  it.each(['https://app.example', 'HTTPS://APP.example', 'http://localhost:3000'])('admits %s', (origin) => {
    expect(verdict(access, 'localhost', 'Origin', origin)).toBe('anyone');
  });

  it.each([
    'https://app.example.evil',
    'http://app.example',
    'https://app.example:444',
    'http://localhost',
    'null',
    '',
  ])('refuses %j', (origin) => {
    expect(verdict(access, 'localhost', 'Origin', origin)).toBe('origin_refused');
  });

  it.each([
    ['cross-site', 'origin_refused'],
    ['Cross-Site', 'origin_refused'],
    ['same-site', 'origin_refused'],
    ['same-origin', 'anyone'],
    ['none', 'anyone'],
  ])('is supplemented by Sec-Fetch-Site: %s -> %s', (site, expected) => {
    expect(verdict(access, 'localhost', 'Sec-Fetch-Site', site)).toBe(expected);
  });

  it('takes precedence over Sec-Fetch-Site if it is allowed', () => {
    const raw = ['Sec-Fetch-Site', 'cross-site', 'Origin', 'https://app.example'];
    expect(verdict(access, 'localhost', ...raw)).toBe('anyone');
  });

  it('is refused on an open address', () => {
    const open = accessOf({ listen: '0.0.0.0:8080', open: true });
    expect(verdict(open, '10.0.0.5', 'Origin', 'https://app.example')).toBe('origin_refused');
  });
});

describe('clients', () => {
  const access = accessOf({ listen: '0.0.0.0:8080', clients: [SHOP, TILL] });

  it.each([
    ['Authorization', `Bearer ${SHOP.key}`, 'shop'],
    ['authorization', `bearer  ${SHOP.key} `, 'shop'],
    ['Proxy-Authorization', `Bearer ${SHOP.key}`, 'shop'],
    ['Authorization', basic(`shop:${SHOP.key}`), 'shop'],
    ['Proxy-Authorization', basic(`shop:${SHOP.key}`), 'shop'],
    ['Authorization', basic(`till:${TILL.key}`), 'till'],
  ])('are identified by %s: %s', (name, value, client) => {
    expect(verdict(access, 'any.example', name, value)).toBe(client);
  });

  it.each([
    ['X-Api-Key', SHOP.key],
    ['Authorization', SHOP.key],
    ['Authorization', `Bearer ${SHOP.key}x`],
    ['Authorization', `Bearer ${SHOP.key.slice(0, -1)}`],
    ['Authorization', `Bearer ${SHOP.key.toUpperCase()}`],
    ['Authorization', `Bearer ${SHOP.key} x`],
    ['Authorization', 'Bearer '],
    ['Authorization', 'Bearer'],
    ['Authorization', `Digest ${SHOP.key}`],
    ['Authorization', basic(`till:${SHOP.key}`)],
    ['Authorization', basic(`:${SHOP.key}`)],
    ['Authorization', basic('shop:')],
    ['Authorization', basic('shop')],
    ['Authorization', 'Basic !!!'],
    ['Authorization', ''],
  ])('are not identified by %s: %s', (name, value) => {
    expect(verdict(access, 'any.example', name, value)).toBe('client_unauthorized');
  });

  it('can send their key beside an Authorization with another meaning', () => {
    const raw = ['Authorization', 'Bearer placeholder', 'Proxy-Authorization', `Bearer ${SHOP.key}`];
    expect(verdict(access, 'any.example', ...raw)).toBe('shop');
  });

  it('are required on a loopback address if configured', () => {
    const loopback = accessOf({ clients: [SHOP] });
    expect(verdict(loopback, 'localhost')).toBe('client_unauthorized');
    expect(verdict(loopback, 'localhost', 'Authorization', `Bearer ${SHOP.key}`)).toBe('shop');
  });
});

describe('a preflight', () => {
  const access = accessOf({ clients: [SHOP], allowed_origins: ['https://app.example'] });
  const asked = ['Access-Control-Request-Method', 'POST'];

  it('is admitted without a key for a page of an allowed origin, and distinguished from a call', () => {
    const caller = access.admit(requestOf('OPTIONS', 'Origin', 'https://app.example', ...asked), 'localhost');
    expect(caller).toEqual({ client: undefined, origin: 'https://app.example', preflight: 'POST' });
  });

  it.each([
    ['of a foreign origin', 'OPTIONS', ['Origin', 'https://evil.example', ...asked], 'origin_refused'],
    ['without an origin', 'OPTIONS', asked, 'client_unauthorized'],
    ['with another method', 'POST', ['Origin', 'https://app.example', ...asked], 'client_unauthorized'],
    ['that asks for nothing', 'OPTIONS', ['Origin', 'https://app.example'], 'client_unauthorized'],
  ])('%s is not one', (_, method, raw, code) => {
    expect(() => access.admit(requestOf(method, ...raw), 'localhost')).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });
});

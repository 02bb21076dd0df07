import { describe, expect, it } from 'vitest';
import { isLoopbackAddress, isLoopbackName, isPrivateName } from '../src/http/ip-address.ts';

const ADDRESSES = [
  '127.0.0.1',
  '127.0.0.0',
  '127.255.255.254',
  '::1',
  '[::1]',
  '::ffff:127.0.0.1',
  '::FFFF:127.1.2.3',
  // As `new URL` writes it.
  '[::ffff:7f00:1]',
];

const NEITHER = [
  '',
  '0.0.0.0',
  '::',
  '[::]',
  '126.255.255.255',
  '128.0.0.1',
  '10.0.0.1',
  '192.168.1.127',
  '::2',
  '::ffff:10.0.0.1',
  '::ffff:a00:1',
  '::127.0.0.1',
  '1127.0.0.1',
  '127.0.0.1.example.com',
  '127.0.0.1:8080',
  '127.0.0.1 ',
  '127.0.0.1\n',
  ' 127.0.0.1',
  '127.0.0',
  '127.0.0.1.1',
  '127..0.1',
  'localhost.example.com',
  'notlocalhost',
  'localhost:80',
  'my-localhost',
  'example.com',
];

describe('a loopback address', () => {
  it.each(ADDRESSES)('is %j', (address) => {
    expect(isLoopbackAddress(address)).toBe(true);
    expect(isLoopbackName(address)).toBe(true);
  });

  it.each(['localhost', 'app.localhost', ...NEITHER])('is not %j', (address) => {
    expect(isLoopbackAddress(address)).toBe(false);
  });
});

describe('a loopback name', () => {
  it.each(['localhost', 'LocalHost', 'app.localhost', 'a.b.LOCALHOST'])('is %j', (name) => {
    expect(isLoopbackName(name)).toBe(true);
  });

  it.each(NEITHER)('is not %j', (name) => {
    expect(isLoopbackName(name)).toBe(false);
  });
});

describe('a name that no web page can have', () => {
  it.each([
    '',
    'wakala',
    'WAKALA',
    '10.0.0.5',
    '[::2]',
    '[fe80::1]',
    'a.localhost',
    'a.b.svc',
    'a.b.svc.cluster.local',
    'a.local.',
    'a.internal',
    'a.test',
    'a.home.arpa',
  ])('is %j', (name) => {
    expect(isPrivateName(name)).toBe(true);
  });

  it.each([
    'example.com',
    'example.com.',
    'wakala.payments',
    'local.example.com',
    'alocal.b',
    'a.xhome.arpa',
    'home.arpa.example.com',
    '10.0.0.5.example.com',
    '1.2.3',
    '[::1].example.com',
    '[1.2]',
  ])('is not %j', (name) => {
    expect(isPrivateName(name)).toBe(false);
  });
});

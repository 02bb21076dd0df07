import { describe, expect, it } from 'vitest';
import { isLoopbackAddress, isLoopbackName } from '../src/loopback.ts';

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

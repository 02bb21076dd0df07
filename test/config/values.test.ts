import { describe, expect, it } from 'vitest';
import {
  formatDuration,
  formatSize,
  isLinkLocal,
  leadsTo,
  overlaps,
  parseAddress,
  parseDuration,
  parseHost,
  parsePublicUrl,
  parseSize,
} from '../../src/config/values.ts';

describe('units', () => {
  it.each([
    ['500ms', 500],
    ['60s', 60_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['0s', 0],
  ])('parses the duration %s as %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '60', 's', '1.5s', '-1s', '1m30s', '60 s', '60S', '60s ', '1d', '1e3s', '60s\n'])(
    'rejects the duration %j',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it.each([
    ['0', 0],
    ['1048576', 1_048_576],
    ['10B', 10],
    ['1kB', 1000],
    ['1KB', 1000],
    ['1MB', 1_000_000],
    ['1GB', 1_000_000_000],
    ['64KiB', 65_536],
    ['10MiB', 10_485_760],
    ['10 MiB', 10_485_760],
    ['1GiB', 1_073_741_824],
  ])('parses the size %s as %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'MiB', '10mib', '10M', '1.5MiB', '-1', '1e3', '10  MiB', '10MiB '])('rejects the size %j', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it('writes durations and sizes in the largest unit that is exact', () => {
    expect([0, 1, 1000, 1500, 60_000, 3_600_000, 86_400_000].map(formatDuration)).toEqual([
      '0ms',
      '1ms',
      '1s',
      '1500ms',
      '1m',
      '1h',
      '24h',
    ]);
    expect([0, 1000, 1024, 1024 ** 2, 1024 ** 3].map(formatSize)).toEqual(['0', '1000', '1KiB', '1MiB', '1GiB']);
  });
});

describe('parseAddress', () => {
  it.each([
    ['127.0.0.1:8080', '127.0.0.1', 8080],
    ['0.0.0.0:0', '0.0.0.0', 0],
    ['[::1]:65535', '::1', 65_535],
    ['[::]:8080', '::', 8080],
    ['proxy.internal:80', 'proxy.internal', 80],
    ['localhost:8080', '127.0.0.1', 8080],
  ])('parses %s', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ value: { host, port } });
  });

  it.each([
    [':8080', 'the address to listen on is missing'],
    ['*:8080', 'the address to listen on is missing'],
    ['8080', 'the address to listen on is missing'],
    ['127.0.0.1', 'an address and a port'],
    ['127.0.0.1:', 'an address and a port'],
    ['127.0.0.1:http', 'an address and a port'],
    ['127.0.0.1:65536', 'between 0 and 65535'],
    ['999.0.0.1:80', 'not an address'],
    ['1.2.3:80', 'not an address'],
    ['::1', 'in brackets'],
    ['::1:8080', 'in brackets'],
    ['[127.0.0.1]:80', 'only an IPv6 address'],
    ['http://127.0.0.1:8080', 'must not contain a scheme'],
    ['my host:80', 'not an address'],
  ])('rejects %s and says why', (text, reason) => {
    expect(parseAddress(text)).toMatchObject({ problem: expect.stringContaining(reason) as string });
  });
});

describe('isLinkLocal', () => {
  it.each(['169.254.0.0', '169.254.169.254', '169.254.255.255', '[fe80::1]', '[febf::1]', '[::ffff:169.254.169.254]'])(
    'is true for %s',
    (host) => {
      expect(isLinkLocal(host)).toBe(true);
    },
  );

  it.each([
    'metadata',
    'metadata.google.internal',
    'METADATA.google.internal.',
    'metadata.goog',
    'instance-data.ec2.internal',
    '[fd00:ec2::254]',
  ])('is true for %s', (host) => {
    expect(isLinkLocal(host)).toBe(true);
  });

  it.each(['169.253.255.255', '169.255.0.0', '[fe7f::1]', '[fec0::1]', 'api.example.com', '10.0.0.1', '127.0.0.1'])(
    'is false for %s',
    (host) => {
      expect(isLinkLocal(host)).toBe(false);
    },
  );
});

describe('overlaps', () => {
  const at = (host: string, port: number) => ({ host, port });

  it('is true on the same port of the same or of every address', () => {
    expect(overlaps(at('127.0.0.1', 80), at('127.0.0.1', 80))).toBe(true);
    expect(overlaps(at('0.0.0.0', 80), at('127.0.0.1', 80))).toBe(true);
  });

  it('is false for other ports, other addresses, and free ports', () => {
    expect(overlaps(at('127.0.0.1', 80), at('127.0.0.1', 81))).toBe(false);
    expect(overlaps(at('127.0.0.1', 80), at('127.0.0.2', 80))).toBe(false);
    expect(overlaps(at('127.0.0.1', 0), at('127.0.0.1', 0))).toBe(false);
  });
});

describe('leadsTo', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1', true],
    ['127.0.0.1', 'localhost', true],
    ['127.0.0.1', 'app.localhost.', true],
    ['127.0.0.1', '0.0.0.0', true],
    ['127.0.0.1', '127.0.0.2', false],
    ['127.0.0.1', '[::1]', false],
    ['::1', '[::1]', true],
    ['::1', 'localhost', true],
    ['0.0.0.0', '127.9.9.9', true],
    ['::', '[::]', true],
    ['0.0.0.0', 'api.example.com', false],
    ['10.0.0.1', '10.0.0.1', true],
    ['10.0.0.1', '127.0.0.1', false],
    ['10.0.0.1', 'localhost', false],
    ['proxy.internal', 'Proxy.internal.', true],
    ['127.0.0.1', '[::ffff:127.0.0.1]', true],
    ['127.0.0.1', '[::ffff:7f00:1]', true],
    ['127.0.0.1', '[::]', true],
    ['127.0.0.1', 'localhost..', true],
    ['0:0:0:0:0:0:0:1', '[::1]', true],
    ['::', '[::ffff:7f00:1]', true],
    ['0.0.0.0', '[::1]', true],
    ['10.0.0.1', '[::ffff:10.0.0.1]', true],
    ['10.0.0.1', '[::ffff:10.0.0.2]', false],
  ])('from a proxy on %s, a connection to %s: %s', (host, upstream, expected) => {
    expect(leadsTo({ host, port: 80 }, upstream, 80)).toBe(expected);
    expect(leadsTo({ host, port: 80 }, upstream, 81)).toBe(false);
  });

  it('is false for a free port', () => {
    expect(leadsTo({ host: '127.0.0.1', port: 0 }, '127.0.0.1', 0)).toBe(false);
  });
});

describe('a `Host` header', () => {
  it.each(['api.bank.example', 'API', 'api.bank.example:8443', '10.0.0.7:8443', '[2001:db8::1]:443'])(
    'may be %s',
    (text) => {
      expect(parseHost(text)).toEqual({ value: text });
    },
  );

  it.each([
    '',
    ':443',
    'https://api.bank.example',
    'api.bank.example/v1',
    'a.example:70000',
    'a.example\r\nX-Evil: 1',
    'a.example\n',
    'a b',
    'user@a.example',
    '2001:db8::1',
    'a.example:',
  ])('may not be %j', (text) => {
    expect(parseHost(text)).toEqual({ problem: expect.stringMatching(/^must be a host name/) as string });
  });
});

describe('the URL at which clients reach Wakala', () => {
  it.each([
    ['https://pay.example.com', 'https://pay.example.com'],
    ['HTTPS://Pay.example.com:443/', 'https://pay.example.com'],
    ['http://[2001:db8::1]:8080/wakala/', 'http://[2001:db8::1]:8080/wakala'],
  ])('may be %s', (text, value) => {
    expect(parsePublicUrl(text)).toEqual({ value });
  });

  it.each([
    '',
    'true',
    'pay.example.com',
    'https:pay.example.com',
    'ftp://pay.example.com',
    'https://user@pay.example.com',
    'https://pay.example.com?a',
    'https://pay.example.com/#a',
    'https://pay.example.com/a//b',
    'https://pay.example.com/..',
    'https://pay.example.com\\a',
    'https://pay.example.com\r\nX-Evil: 1',
  ])('may not be %j', (text) => {
    expect(parsePublicUrl(text)).toEqual({ problem: expect.stringMatching(/^must /) as string });
  });
});

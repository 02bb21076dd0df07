import { describe, expect, it } from 'vitest';
import {
  addressGuard,
  allowedRangeError,
  isLinkLocalAddress,
  isLoopbackAddress,
  isLoopbackName,
  isPrivateName,
} from '../../src/http/ip-address.ts';

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

describe('a link-local address or a metadata service', () => {
  it.each([
    '169.254.0.0',
    '169.254.169.254',
    '169.254.255.255',
    'fe80::1',
    '[fe80::1]',
    'fe80::1%eth0',
    'FEBF::1',
    'fd00:ec2::254',
    'fd20:ce::254',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '0:0:0:0:0:ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::169.254.169.254',
    // NAT64 with a local prefix (RFC 8215), of 96, 64, 56 and 48 bits.
    '64:ff9b:1::a9fe:a9fe',
    '64:ff9b:1:ffff:ffff:ffff:a9fe:a9fe',
    '64:ff9b:1::a9:fea9:fe00:0',
    '64:ff9b:1:a9:fe:a9fe::',
    '64:ff9b:1:a9fe:a9:fe00::',
    // IPv4-translated, IPv4-compatible.
    '::ffff:0:169.254.169.254',
    '::ffff:0:a9fe:a9fe',
    '::169.254.169.254',
    '::a9fe:1',
    // 6to4, Teredo (server, client), ISATAP.
    '2002:a9fe:a9fe::1',
    '2002:a9fe:1:2:3:4:5:6',
    '2001:0:a9fe:a9fe::1',
    '2001:0:808:808:0:0:5601:5601',
    '2001:db8::5efe:169.254.169.254',
    '2001:db8::200:5efe:a9fe:a9fe',
    // The same of the other addresses.
    '::ffff:0:100.100.100.200',
    '64:ff9b::168.63.129.16',
    '64:ff9b:1::168.63.129.16',
    '2002:a83f:8110::',
    '::192.0.0.192',
    '[::ffff:a9fe:a9fe]',
    '::FFFF:A9FE:A9FE%eth0',
    '100.100.100.200',
    '::ffff:100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
  ])('is %s', (ip) => {
    expect(isLinkLocalAddress(ip)).toBe(true);
  });

  it.each([
    '',
    '169.253.255.255',
    '169.255.0.0',
    'fe7f::1',
    'fec0::1',
    '100.100.100.199',
    '100.100.100.201',
    'fd00:ec3::254',
    '10.0.0.1',
    '127.0.0.1',
    '::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a9ff:0',
    '64:ff9b:1::a9ff:0',
    '64:ff9b:2::a9fe:a9fe',
    '64:ff9c::a9fe:a9fe',
    '::ffff:0:10.0.0.1',
    '::10.0.0.1',
    '::',
    '::1:0:a9fe:a9fe',
    '2002:808:808:a9fe:a9fe::',
    '2001:0:808:808::1',
    '2001:db8::a9fe:a9fe',
    '2001:db8::1:5efe:a9fe:a9fe',
    '2001:db8::5efe:10.0.0.1',
    '2001:db8:a9fe:a9fe:a9fe:a9fe:0:1',
    '1:2:3:4:5:6:7:8',
    '1::',
    'api.example.com',
    '169.254.169.254.example.com',
  ])('is not %j', (ip) => {
    expect(isLinkLocalAddress(ip)).toBe(false);
  });
});

describe('an address guard', () => {
  const isRefused = (address: string, ...allowed: string[]) => {
    try {
      addressGuard(allowed).check(address);
      return false;
    } catch (error) {
      expect(error).toMatchObject({ code: 'LINK_LOCAL_ADDRESS' });
      return true;
    }
  };

  it.each([
    ['169.254.171.5', '169.254.171.0/24'],
    ['169.254.171.5', '169.254.171.5'],
    ['::ffff:169.254.171.5', '169.254.171.0/24'],
    ['64:ff9b::169.254.171.5', '169.254.171.0/24'],
    ['169.254.1.1', '169.254.0.0/16'],
    ['fe80::1', 'fe80::/10'],
    ['[fe80::1%eth0]', 'fe80::/64'],
    ['fd00:ec2:80::1', 'fd00:ec2:80::/64'],
  ])('refuses %s, and lets it pass if %s is allowed', (address, allowed) => {
    expect(isRefused(address)).toBe(true);
    expect(isRefused(address, '169.254.9.9', allowed)).toBe(false);
  });

  it.each([
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '169.254.0.23',
    '169.254.42.42',
    'fe80::a9fe:a9fe',
    'fd00:ec2::254',
    'fd00:ec2::23',
    'fd20:ce::254',
    'fd00:42::42',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '::ffff:169.254.169.254',
    '64:ff9b::169.254.169.254',
    'fe80::5efe:169.254.169.254',
  ])('refuses the metadata address %s whatever is allowed', (address) => {
    expect(isRefused(address, '0.0.0.0/0', '::/0', '169.254.0.0/16', 'fe80::/10', address)).toBe(true);
  });

  it('does not refuse other addresses, nor names', () => {
    for (const host of ['10.0.0.1', '2001:db8::1', 'api.example.com']) expect(isRefused(host)).toBe(false);
  });

  it('refuses an address that is not in the range', () => {
    expect(isRefused('169.254.172.1', '169.254.171.0/24')).toBe(true);
    expect(isRefused('fe80::1', '169.254.0.0/16')).toBe(true);
  });
});

describe('an entry of `allow_addresses`', () => {
  it.each(['169.254.171.0/24', '169.254.171.7', '169.254.0.0/16', 'fe80::/10', 'fd00:ec2:80::/64', 'fe80::1'])(
    'may be %s',
    (text) => {
      expect(allowedRangeError(text)).toBeUndefined();
    },
  );

  it.each([
    ['', 'must be an IP address or a range'],
    ['api.example.com', 'must be an IP address or a range'],
    ['169.254.171.0/33', 'must be an IP address or a range'],
    ['169.254.171.0/', 'must be an IP address or a range'],
    ['169.254.171', 'must be an IP address or a range'],
    ['[fe80::1]', 'must be an IP address or a range'],
    ['fe80::/129', 'must be an IP address or a range'],
    ['10.0.0.0/8', 'is not link-local'],
    ['169.0.0.0/8', 'is not link-local'],
    ['0.0.0.0/0', 'is not link-local'],
    ['169.254.0.0/15', 'is not link-local'],
    ['169.254.169.254', 'cloud metadata service'],
    ['169.254.169.0/24', 'cloud metadata service'],
    ['100.100.100.200/32', 'cloud metadata service'],
    ['fd00:ec2::254', 'cloud metadata service'],
  ])('may not be %j', (text, problem) => {
    expect(allowedRangeError(text)).toContain(problem);
  });
});

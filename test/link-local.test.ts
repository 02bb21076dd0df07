import { describe, expect, it } from 'vitest';
import { isLinkLocalAddress } from '../src/link-local.ts';

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
    'api.example.com',
    '169.254.169.254.example.com',
  ])('is not %j', (ip) => {
    expect(isLinkLocalAddress(ip)).toBe(false);
  });
});

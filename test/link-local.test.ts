import { describe, expect, it } from 'vitest';
import { isLinkLocalAddress } from '../src/http/ip-address.ts';

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

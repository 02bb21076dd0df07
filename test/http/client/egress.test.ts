import { describe, expect, it } from 'vitest';
import type { EgressProxy } from '../../../src/http/client/connect-options.ts';
import { egressProxyFor } from '../../../src/http/client/egress.ts';
import { originOf } from '../../../src/http/client/origin.ts';

const proxy = (host: string): EgressProxy => ({ isTls: false, host, port: 3128, source: 'egress_proxy' });
const RULES = { http: proxy('for-http'), https: proxy('for-https') };

describe('the egress proxy', () => {
  it.each([
    ['https://api.test', RULES, 'for-https'],
    ['http://api.test', RULES, 'for-http'],
    ['http://api.test', { https: RULES.https }, undefined],
    ['https://api.test', { http: RULES.http }, undefined],
    ['https://api.test', undefined, undefined],
    ['https://127.0.0.1', RULES, 'for-https'],
    ['https://localhost', RULES, 'for-https'],
  ])('for %s with %j is %s', (origin, rules, host) => {
    expect(egressProxyFor(originOf(origin), rules)?.host).toBe(host);
  });

  it.each([
    ['*', 'https://api.test'],
    ['api.test', 'https://api.test'],
    ['API.Test', 'https://api.test'],
    ['api.test', 'https://API.TEST'],
    [' api.test ', 'https://api.test'],
    ['api.test.', 'https://api.test'],
    ['api.test', 'https://api.test.'],
    ['.api.test', 'https://api.test'],
    ['*.api.test', 'https://v1.api.test'],
    ['test', 'https://api.test'],
    ['.test', 'https://v1.api.test'],
    ['api.test:443', 'https://api.test'],
    ['api.test:80', 'http://api.test'],
    ['.test:8443', 'https://api.test:8443'],
    ['localhost', 'http://api.localhost'],
    ['192.0.2.7', 'https://192.0.2.7'],
    ['192.0.2.7:8443', 'https://192.0.2.7:8443'],
    ['192.0.2.7', 'https://[::ffff:192.0.2.7]'],
    ['192.0.2.0/24', 'https://192.0.2.7'],
    ['192.0.2.99/24', 'https://192.0.2.7'],
    ['0.0.0.0/0', 'https://192.0.2.7'],
    ['127.0.0.0/8', 'http://127.1.2.3'],
    ['127.0.0.0/8', 'https://[::ffff:127.0.0.1]'],
    ['::1', 'https://[::1]'],
    ['[::1]', 'https://[::1]'],
    ['[::1]:8443', 'https://[::1]:8443'],
    ['2001:DB8::0:1', 'https://[2001:db8::1]'],
    ['2001:db8::/32', 'https://[2001:db8:7::1]'],
    ['[2001:db8::/32]', 'https://[2001:db8:7::1]'],
  ])('is not used with noProxy %j for %s', (entry, origin) => {
    expect(egressProxyFor(originOf(origin), { ...RULES, noProxy: ['other.test', entry] })).toBeUndefined();
  });

  it.each([
    ['', 'https://api.test'],
    ['.', 'https://api.test'],
    [':443', 'https://api.test'],
    ['pi.test', 'https://api.test'],
    ['v1.api.test', 'https://api.test'],
    ['api.test.example', 'https://api.test'],
    ['api.test:80', 'https://api.test'],
    ['api.test:443', 'http://api.test'],
    ['*.2.7', 'https://192.0.2.7'],
    ['2.7', 'https://192.0.2.7'],
    ['192.0.2.0/24', 'https://192.0.3.7'],
    ['192.0.2.0/33', 'https://192.0.2.7'],
    ['192.0.2.0/x', 'https://192.0.2.7'],
    ['192.0.2.0/24', 'https://api.test'],
    ['[::1]:80', 'https://[::1]'],
    ['::1', 'https://[::2]'],
    ['::/0', 'https://192.0.2.7'],
    ['2001:db8::/32', 'https://[2001:db9::1]'],
  ])('is used in spite of noProxy %j for %s', (entry, origin) => {
    expect(egressProxyFor(originOf(origin), { ...RULES, noProxy: [entry] })).toBeDefined();
  });
});

import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { hasLocations, Locations } from '../../src/proxy/locations.ts';

function requestOf(host: string, socket = new Socket()): IncomingMessage {
  const req = new IncomingMessage(socket);
  req.rawHeaders.push('Host', host);
  return req;
}

const REQUEST = requestOf('pay.internal:8080');

/** A location header of this route, as the client receives it. */
function rewritten(
  value: string,
  { upstream = 'https://api.bank.example/v1', prefix = '/bank', hostHeader = undefined as string | undefined } = {},
  name = 'location',
): string {
  return new Locations({ upstream, prefix, hostHeader }).rewrite(name, value, REQUEST);
}

describe('a reference to the API', () => {
  it.each([
    ['https://api.bank.example/v1/payments/3', 'http://pay.internal:8080/bank/payments/3'],
    ['https://api.bank.example/v1/payments/3?a=%2F&&b#c', 'http://pay.internal:8080/bank/payments/3?a=%2F&&b#c'],
    ['https://api.bank.example/v1', 'http://pay.internal:8080/bank'],
    ['https://api.bank.example/v1/', 'http://pay.internal:8080/bank/'],
    ['https://api.bank.example/v1?a', 'http://pay.internal:8080/bank?a'],
    ['HTTPS://API.Bank.Example:443/v1/x', 'http://pay.internal:8080/bank/x'],
    ['https://api.bank.example./v1/x', 'http://pay.internal:8080/bank/x'],
    ['https://api.bank.example:/v1/x', 'http://pay.internal:8080/bank/x'],
    ['http://api.bank.example/v1/x', 'http://pay.internal:8080/bank/x'],
    ['http://api.bank.example:80/v1/x', 'http://pay.internal:8080/bank/x'],
    ['//api.bank.example/v1/x', '//pay.internal:8080/bank/x'],
    ['/v1/payments/3', '/bank/payments/3'],
    ['/v1', '/bank'],
    ['/v1?a=b', '/bank?a=b'],
    ['/v1//x', '/bank//x'],
    [
      'https://api.bank.example/v1/x?next=https://api.bank.example/v1',
      'http://pay.internal:8080/bank/x?next=https://api.bank.example/v1',
    ],
  ])('leads to the route: %s becomes %s', (value, expected) => {
    expect(rewritten(value)).toBe(expected);
  });

  it.each([
    ['https://api.bank.example', 'http://pay.internal:8080/bank'],
    ['https://api.bank.example/', 'http://pay.internal:8080/bank/'],
    ['https://api.bank.example?a', 'http://pay.internal:8080/bank?a'],
    ['/v1/x', '/bank/v1/x'],
    ['/', '/bank/'],
  ])('leads to the route if the upstream has no path: %s becomes %s', (value, expected) => {
    expect(rewritten(value, { upstream: 'https://api.bank.example' })).toBe(expected);
  });

  it('leads to the route that serves every path', () => {
    const catchAll = { prefix: '' };
    expect(rewritten('https://api.bank.example/v1/x', catchAll)).toBe('http://pay.internal:8080/x');
    expect(rewritten('/v1/x', catchAll)).toBe('/x');
    expect(rewritten('/v1', catchAll)).toBe('/');
    // Browsers drop the tab.
    expect(rewritten('/v1/\t/evil.example', catchAll)).toBe('https://api.bank.example/v1/\t/evil.example');
  });

  it('may have another port, if the upstream has it', () => {
    const upstream = 'http://127.0.0.1:9000';
    expect(rewritten('http://127.0.0.1:9000/x', { upstream })).toBe('http://pay.internal:8080/bank/x');
    expect(rewritten('http://127.0.0.1:9001/x', { upstream })).toBe('http://127.0.0.1:9001/x');
    expect(rewritten('http://127.0.0.1/x', { upstream })).toBe('http://127.0.0.1/x');
  });

  it('may name the provider by the `host_header` of the route', () => {
    const route = { upstream: 'https://10.0.0.5:8443/v1', hostHeader: 'api.bank.example' };
    for (const host of ['10.0.0.5:8443', 'api.bank.example', 'API.bank.example:443']) {
      expect(rewritten(`https://${host}/v1/x`, route)).toBe('http://pay.internal:8080/bank/x');
    }
  });

  it('has the scheme that the client uses', () => {
    const locations = new Locations({ upstream: 'https://api.bank.example', prefix: '/bank' });
    const overTls = requestOf('pay.internal', new TLSSocket(new Socket()));
    expect(locations.rewrite('location', 'https://api.bank.example/x', overTls)).toBe('https://pay.internal/bank/x');
  });

  it('stays as it is for a client that names no host', () => {
    const locations = new Locations({ upstream: 'https://api.bank.example', prefix: '/bank' });
    expect(locations.rewrite('location', 'https://api.bank.example/x', requestOf(''))).toBe(
      'https://api.bank.example/x',
    );
  });
});

describe('a public URL', () => {
  it.each([
    ['https://pay.example.com', 'https://api.bank.example/v1/x?a#b', 'https://pay.example.com/bank/x?a#b'],
    ['https://pay.example.com', '//api.bank.example/v1/x', 'https://pay.example.com/bank/x'],
    ['https://pay.example.com', 'https://api.bank.example/v1', 'https://pay.example.com/bank'],
    ['https://pay.example.com', '/v1/x', '/bank/x'],
    ['https://pay.example.com/wakala', 'https://api.bank.example/v1/x', 'https://pay.example.com/wakala/bank/x'],
    ['https://pay.example.com/wakala', '/v1/x', '/wakala/bank/x'],
    ['https://[2001:db8::1]:8443', 'https://api.bank.example/v1/x', 'https://[2001:db8::1]:8443/bank/x'],
    ['https://pay.example.com', 'https://other.example/v1/x', 'https://other.example/v1/x'],
    ['https://pay.example.com', '/v2/x', 'https://api.bank.example/v2/x'],
  ])('%s is where a reference leads to: %s becomes %s', (publicUrl, value, expected) => {
    const locations = new Locations({ upstream: 'https://api.bank.example/v1', prefix: '/bank', publicUrl });
    for (const host of ['pay.internal:8080', '']) {
      expect(locations.rewrite('location', value, requestOf(host))).toBe(expected);
    }
  });
});

describe('another reference', () => {
  it.each([
    'https://other.example/v1/x',
    'https://api.bank.example.evil.example/v1/x',
    'https://api.bank.example@evil.example/v1/x',
    'https://user@api.bank.example/v1/x',
    'https://api.bank.example:8443/v1/x',
    'http://api.bank.example:443/v1/x',
    'https://api.bank.example/v2/x',
    'https://api.bank.example/v10/x',
    'https://api.bank.example',
    'https://api.bank.example/V1/x',
    'https://api.bank.example/v1/../admin',
    'https://api.bank.example/v1/.\t./admin',
    'https://api.bank.example/v1/%2E%2e/admin',
    'https://api.bank.example/v1/..\\admin',
    'https:/api.bank.example/v1/x',
    'https:\\\\api.bank.example/v1/x',
    'ftp://api.bank.example/v1/x',
    'wss://api.bank.example/v1/x',
    'mailto:a@api.bank.example',
    '3',
    'v1/x',
    '../x',
    '?a=b',
    '#a',
    '',
  ])('stays as it is: %s', (value) => {
    expect(rewritten(value)).toBe(value);
  });

  it.each(['/v2/x', '/', '/v10', '/v1/../admin', '/v1/%2e%2e', '/\\evil.example/x'])(
    'that is a path outside the API becomes a URL at the provider: %s',
    (value) => {
      expect(rewritten(value)).toBe(`https://api.bank.example${value}`);
    },
  );

  it.each(['/v1//evil.example/x', '/v1/\\evil.example/x'])('cannot name another server: %s', (value) => {
    expect(rewritten(value, { prefix: '' })).toBe(`https://api.bank.example${value}`);
  });
});

describe('a Link header', () => {
  const own = 'https://api.bank.example/v1/x';
  const ours = 'http://pay.internal:8080/bank/x';

  it.each([
    [`<${own}?page=2>; rel="next", </v1/x>; rel="first"`, `<${ours}?page=2>; rel="next", </bank/x>; rel="first"`],
    [`<${own}>; title="a, <${own}> \\" <${own}>"`, `<${ours}>; title="a, <${own}> \\" <${own}>"`],
    [`<https://other.example>; anchor="${own}"`, `<https://other.example>; anchor="${own}"`],
    [`<${own}`, `<${own}`],
    [`<${own}>; title="open <${own}>`, `<${ours}>; title="open <${own}>`],
    [own, own],
  ])('has the target of each link rewritten: %s', (value, expected) => {
    expect(rewritten(value, {}, 'link')).toBe(expected);
  });
});

describe('a Refresh header', () => {
  it.each([
    ['5; url=https://api.bank.example/v1/x', '5; url=http://pay.internal:8080/bank/x'],
    ["0;URL='/v1/x'", "0;URL='/bank/x'"],
    ['5', '5'],
    ['5; url=https://other.example/', '5; url=https://other.example/'],
  ])('has its URL rewritten: %s', (value, expected) => {
    expect(rewritten(value, {}, 'refresh')).toBe(expected);
  });
});

it('the headers with references are Location, Content-Location, Link and Refresh', () => {
  const names = ['location', 'content-location', 'link', 'refresh', 'set-cookie', 'content-type', 'x-location'];
  expect(names.filter(hasLocations)).toEqual(['location', 'content-location', 'link', 'refresh']);
});

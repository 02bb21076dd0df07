import { describe, it } from 'vitest';
import { benchForFile } from './support/bench.ts';
import {
  type Accepted,
  bare,
  expectAccepted,
  expectRefusal,
  type Refused,
  request,
  visible,
} from './support/request-case.ts';

const bench = benchForFile();

/** Ways to write a step up, from which any number of servers behind one another undo the escapes. */
const STEPS_UP = [
  '/api/../jpay/x',
  '/api/..',
  '/api/../',
  '/api/.',
  '/api/./x',
  '/api/x/../../jpay',
  '/../api/x',
  '/./api/x',
  '/api/%2e%2e/jpay/x',
  '/api/%2E%2e/jpay/x',
  '/api/.%2e/jpay/x',
  '/api/%2e./jpay/x',
  '/api/%2e',
  '/api/%252e%252e/x',
  '/api/%25252e%25252e/x',
  '/api/%2525252525252e%2525252525252e/x',
  '/api/%%32%65%%32%65/x',
  '/api/%25%32%65%25%32%65/x',
  '/api/..%2fjpay',
  '/api/..%2Fjpay',
  '/api%2f..%2fjpay',
  '/api%2f..',
  '/api/%2f..%2f..%2fjpay',
  '/api/x%2f%2e%2e%2f%2e%2e%2fjpay',
  '/api/..%252fjpay',
  '/api/..%25252fjpay',
  '/api/..;/jpay',
  '/api/..;x=y/jpay',
  '/api/..;',
  '/api/.;/x',
  '/api/..%3b/jpay',
  '/api/..%253b/jpay',
  '/api/%2e%2e;/jpay',
  '/api/%2e%2e%3bx/jpay',
  '/api/..\\jpay',
  '/api\\..\\jpay',
  '/api/%2e%2e%5cjpay',
  '/api/..%5cjpay',
  '/api/..%5Cjpay',
  '/api/..%255cjpay',
  '/api/%5c..%5cjpay',
  '/api/x%5cy',
  '/api/..%00/jpay',
  '/api/..%00',
  '/api/%00../jpay',
  '/api/x%00.json',
  '/api/x%2500',
  '/api/..%2500/x',
  '/api/x%0d%0aHost:%20evil',
  '/api/x%09',
  '/api/.%09./x',
  '/api/x%7f',
  '/api//x',
  '/api//',
  '//api/x',
  '//evil.example/api/x',
  '///api/x',
  '/api///../x',
  '/api/..//x',
  '/api/x#y',
  '/api/x?y#z',
  '/api#/../jpay',
  '/api/x%',
  '/api/x%2',
  '/api/x%zz',
  '/api/x%u002e%u002e/y',
  '/api/%c0%ae%c0%ae%zz/x',
];

const FORMS = [
  '*',
  'http://evil.example/api/x',
  'http://evil.example:80/api/x',
  'http://localhost.evil.example/api/x',
  'http://localhost:8080/api/x',
  'http://user@localhost/api/x',
  'http://user:secret@localhost/api/x',
  'http://localhost@evil.example/api/x',
  'http:///api/x',
  'http://localhost/api/../jpay',
  'http://localhost/api/%2e%2e/jpay',
  'http://localhost//api/x',
  'http://localhost/api/x#y',
  'ftp://localhost/api/x',
  'file:///api/x',
  'ws://localhost/api/x',
];

/** What node's parser takes for no target at all. */
const NO_TARGETS = [
  'api/x',
  '.',
  '?x',
  '#x',
  'localhost',
  'localhost:443',
  'http://localhost#@evil.example/api/x',
  'http:/api/x',
  'http:api/x',
  'http:\\\\localhost\\api\\x',
  'http://localhost\\@evil.example/api/x',
  'javascript:alert(1)',
  'data:,/api/x',
  '\\api\\x',
  '%2fapi/x',
  '\xe9',
  '/api\xe9/x',
  '/api/x\xe9\xff',
  '/api/\xc0\xae\xc0\xae/x',
  '/api/\x0e\x0e/x',
  '/api/x?\xe9',
  '\x01',
  '/api/x\x01',
  '/api/x\x7f',
  '/api/x\x1b',
  '/api/x\0',
  '/api/x\f',
  '/api/x\v',
];

const REFUSED: Refused[] = [
  ...[...STEPS_UP, ...FORMS].map((target) => ({
    name: visible(target),
    bytes: request(`GET ${target}`),
    expected: '400 bad_request_target',
  })),
  ...NO_TARGETS.map((target) => ({
    name: visible(target),
    bytes: request(`GET ${target}`),
    expected: '400 bad_request',
  })),
  {
    name: 'the absolute form with another authority than Host',
    bytes: bare('GET http://localhost:1/api/x', 'Host: localhost:2'),
    expected: '400 bad_request_target',
  },
  {
    name: 'the absolute form of a foreign host, and no Host',
    bytes: bare('GET http://evil.example/api/x'),
    expected: '400 bad_request',
  },
  {
    name: 'an asterisk with OPTIONS',
    bytes: request('OPTIONS *'),
    expected: '400 bad_request_target',
  },
];

describe('a target that could leave its route', () => {
  it.each(REFUSED)('is refused and sends nothing: $name', async (row) => {
    await expectRefusal(bench(), row);
  });
});

const NO_ROUTE = [
  '/',
  '/?x',
  '/apix',
  '/apix/y',
  '/api.x',
  '/api;x/y',
  '/api;/y',
  '/api%20/x',
  '/api%2fx',
  '/api%2Fx',
  '/api%3fx',
  '/api%23x',
  '/%61pi/x',
  '/ap%69/x',
  '/%2561pi/x',
  '/API/x',
  '/Api/x',
  '/mpesax',
  '/mpesax/y',
  '/mpesa%2fx',
  '/%6dpesa/x',
  '/x/api/y',
  '/x/mpesa',
];

describe('a target that resembles that of a route', () => {
  it.each(NO_ROUTE.map((target) => [visible(target), target]))(
    'gets a 404 and sends nothing: %s',
    async (_, target) => {
      await expectRefusal(bench(), { name: target, bytes: request(`GET ${target}`), expected: '404 no_route' });
    },
  );
});

/** As sent, and as forwarded below the base path. */
const BYTE_FOR_BYTE: readonly [target: string, sent: string][] = [
  ['/api', '/api'],
  ['/api?x', '/api?x'],
  ['/api/', '/api/'],
  ['/api/x/', '/api/x/'],
  ['/api/...', '/api/...'],
  ['/api/..x/x..', '/api/..x/x..'],
  ['/api/.x', '/api/.x'],
  ['/api/x.', '/api/x.'],
  ['/api/x;y=1/z;', '/api/x;y=1/z;'],
  ['/api/x%2fy', '/api/x%2fy'],
  ['/api/%2F', '/api/%2F'],
  ['/api/%61%70%69', '/api/%61%70%69'],
  ['/api/x%25', '/api/x%25'],
  ['/api/x%20y+z', '/api/x%20y+z'],
  ['/api/%c0%ae%c0%ae/x', '/api/%c0%ae%c0%ae/x'],
  ['/api/x?y=../../z', '/api/x?y=../../z'],
  ['/api/x?y=%2e%2e%2f%5c', '/api/x?y=%2e%2e%2f%5c'],
  ['/api/x?//y', '/api/x?//y'],
  ['/api/x?discount=10%', '/api/x?discount=10%'],
  ['/api/x?y=%&z=%g1&%zz=%00', '/api/x?y=%&z=%g1&%zz=%00'],
  ['/api/x?y="<>^`{|}[]\\', '/api/x?y="<>^`{|}[]\\'],
  ['/api/x??y=?', '/api/x??y=?'],
  ['/api/x?y=http://evil.example/', '/api/x?y=http://evil.example/'],
  ['/api/x:80', '/api/x:80'],
  ['/api/x@evil.example', '/api/x@evil.example'],
  ['/api/api/api', '/api/api/api'],
  ['/api/jpay/mpesa', '/api/jpay/mpesa'],
  ['/api/x"<>^`{|}', '/api/x"<>^`{|}'],
  ['http://localhost/api/x?y', '/api/x?y'],
  ['HTTP://LOCALHOST/api/x', '/api/x'],
  ['https://localhost/api/x', '/api/x'],
];

const TAKEN: Accepted[] = BYTE_FOR_BYTE.map(([target, sent]) => ({
  name: visible(target),
  bytes: request(`GET ${target}`),
  expected: { sent: `GET ${sent}` },
}));

describe('a target within its route', () => {
  it.each(TAKEN)('is sent once, byte for byte: $name', async (row) => {
    await expectAccepted(bench(), row);
  });

  it('of 15,000 bytes is sent completely', async () => {
    const path = `/api/${'x'.repeat(15_000)}`;
    await expectAccepted(bench(), { name: path, bytes: request(`GET ${path}`), expected: { sent: `GET ${path}` } });
  });

  it.each([17_000, 65_536, 1_000_000])('of %i bytes gets a 431', async (length) => {
    const bytes = request(`GET /api/${'x'.repeat(length)}`);
    await expectRefusal(bench(), { name: 'long', bytes, expected: '431 header_too_large' });
  });

  it('of 10,000 nested escapes is refused without delay', async () => {
    const bytes = request(`GET /api/%${'25'.repeat(7000)}2e%2e/x`);
    await expectRefusal(bench(), { name: 'nested', bytes, expected: '400 bad_request_target' });
  });
});

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

function host(...values: string[]): string {
  return bare('GET /api/x', ...values.map((value) => `Host: ${value}`));
}

const MALFORMED = [
  'localhost/x',
  'localhost?x',
  'localhost#x',
  'user@localhost',
  'user:secret@localhost',
  'localhost@evil.example',
  'localhost, localhost',
  'localhost,evil.example',
  'localhost evil.example',
  'localhost\tevil.example',
  'local\xe9host',
  '\xd0\xbblocalhost',
  'localhost%00',
  'local%68ost',
  'http://localhost',
  'localhost\\evil.example',
  'localhost;x',
  '"localhost"',
  '<localhost>',
  '*',
  'localhost:80@evil.example',
  '{localhost}',
];

const REFUSED: Refused[] = [
  ...MALFORMED.map((value) => ({
    name: `Host: ${visible(value)}`,
    bytes: host(value),
    expected: '400 bad_request',
  })),
  ...(
    [
      ['no Host', bare('GET /api/x')],
      ['no Host on HTTP/1.0', 'GET /api/x HTTP/1.0\r\n\r\n'],
      ['two Hosts', host('localhost', 'localhost')],
      ['a foreign Host behind', host('localhost', 'evil.example')],
      ['a foreign Host before', host('evil.example', 'localhost')],
      ['an empty Host before', host('', 'localhost')],
      ['an empty Host behind', host('localhost', '')],
      ['two Hosts in different cases', bare('GET /api/x', 'Host: localhost', 'HOST: localhost')],
      ['a folded Host', bare('GET /api/x', 'Host:', ' localhost')],
      ['a space before the colon', bare('GET /api/x', 'Host : localhost')],
      ['a NUL', bare('GET /api/x', 'Host: localhost\0')],
      ['an underscored name for it', bare('GET /api/x', 'X_Host: localhost')],
    ] as const
  ).map(([name, bytes]) => ({ name, bytes, expected: '400 bad_request' })),
];

describe('a request without exactly one valid Host', () => {
  it.each(REFUSED)('is refused and sends nothing: $name', async (row) => {
    await expectRefusal(bench(), row);
  });
});

/** Sound, or nearly, and not of this machine: what a page sends after DNS rebinding. */
const FOREIGN = [
  'evil.example',
  'localhost.evil.example',
  'evil-localhost',
  'localhost.',
  '127.0.0.1.evil.example',
  '127.0.0.1:8080:9',
  'localhost:x',
  'localhost:-1',
  'localhost:8080:8080',
  '[::1',
  '[::2]',
  '0.0.0.0',
  '0',
  '2130706433',
  '0x7f000001',
  '127.1',
  '128.0.0.1',
  '10.0.0.1',
  '169.254.169.254',
  '',
  ':8080',
  '[]',
];

describe('a request to a Host that is not this machine', () => {
  it.each(FOREIGN)('is refused and sends nothing: %j', async (value) => {
    await expectRefusal(bench(), { name: value, bytes: host(value), expected: '403 host_refused' });
  });
});

const OWN = [
  'localhost',
  'LOCALHOST',
  'localhost:8080',
  'localhost:',
  'app.localhost:3000',
  '127.0.0.1',
  '127.9.9.9:1',
  '[::1]',
  '[::1]:80',
];

const TAKEN: Accepted[] = OWN.map((value) => ({
  name: value,
  bytes: host(value),
  expected: { sent: 'GET /api/x' },
}));

describe('a request to a Host that is this machine', () => {
  it.each(TAKEN)('is sent once, with the Host of the upstream: $name', async (row) => {
    await expectAccepted(bench(), row);
  });

  it.each([
    ['X-Forwarded-Host: evil.example', 'x-forwarded-host'],
    ['Forwarded: host=evil.example', 'forwarded'],
  ])('does not forward %s', async (line, name) => {
    const row = {
      name: line,
      bytes: request('GET /api/x', line),
      expected: { sent: 'GET /api/x', headers: { [name]: [] } },
    };
    await expectAccepted(bench(), row);
  });
});

import { describe, expect, it } from 'vitest';
import { valuesOf } from '../support/raw-message.ts';
import { benchForFile } from './support/bench.ts';
import {
  type Accepted,
  exchange,
  expectAccepted,
  expectRefusal,
  type Refused,
  request,
} from './support/request-case.ts';

const bench = benchForFile();

function taken(lines: readonly string[], headers: Record<string, readonly string[]> = {}): Accepted {
  return { name: lines.join(' | '), bytes: request('GET /api/x', ...lines), expected: { sent: 'GET /api/x', headers } };
}

const AUTHORIZATIONS = [
  'Authorization',
  'authorization',
  'AUTHORIZATION',
  'aUTHORIZATION',
  'AuThOrIzAtIoN',
  'Author_ization',
  'author-ization',
  'Authorization_',
  'authorization-',
  '_Authorization',
  '-authorization',
  '__authorization__',
  'A-u-t-h-o-r-i-z-a-t-i-o-n',
  'A_UTHORIZATION',
  'Proxy-Authorization',
  'proxy_authorization',
  'PROXY_AUTHORIZATION',
  'Proxy-Authentication-Info',
];

describe('credentials of the client', () => {
  it.each(AUTHORIZATIONS)('as %s are never forwarded, and the token is sent once', async (name) => {
    await expectAccepted(bench(), taken([`${name}: Bearer client-canary`]));
  });

  it.each([
    ['in several lines', ['Authorization: Bearer client-canary', 'authorization: Basic client-canary']],
    ['in every spelling at once', AUTHORIZATIONS.map((name, i) => `${name}: Bearer client-canary-${i}`)],
    ['in a list', ['Authorization: Bearer client-canary, Basic client-canary']],
    ['with nothing in it', ['Authorization:']],
    ['nominated by Connection', ['Connection: authorization', 'Authorization: Bearer client-canary']],
    ['nominated in capitals', ['Connection: AUTHORIZATION', 'Authorization: Bearer client-canary']],
    ['nominated before others', ['Connection: close, Authorization , x', 'Authorization: Bearer client-canary']],
    ['nominated with an underscore', ['Connection: author_ization', 'Author_ization: Bearer client-canary']],
    ['nominated in a second line', ['Connection: close', 'Connection: authorization', 'X: y']],
    ['nominated by the name of the scheme', ['Connection: bearer', 'Authorization: Bearer client-canary']],
    ['nominated between empty options', ['Connection: ,,authorization,,']],
    ['nominated with a tab', ['Connection: x,\tauthorization\t']],
    ['nominated, quoted', ['Connection: "authorization"']],
  ])('are never forwarded and never remove the token: %s', async (_, lines) => {
    await expectAccepted(bench(), taken(lines));
  });
});

const NOMINATED: Refused[] = [
  'content-length',
  'Content-Length',
  'content_length',
  'close, content-length',
  'content-length, close',
  ',,content-length',
  'x,\tcontent-length\t',
  'transfer-encoding',
  'Transfer-Encoding',
  'transfer_encoding',
  'keep-alive, transfer-encoding',
  'host',
  'HOST',
  'x, y, host',
].map((value) => ({
  name: value,
  bytes: request('POST /api/x', `Connection: ${value}`, 'Content-Length: 1') + 'a',
  expected: '400 bad_request',
}));

describe('a Connection header', () => {
  it.each(NOMINATED)('that names a framing or routing header is refused: $name', async (row) => {
    await expectRefusal(bench(), row);
  });

  it('that does so in a second line is refused', async () => {
    const bytes = request('POST /api/x', 'Connection: close', 'Connection: content-length', 'Content-Length: 1') + 'a';
    await expectRefusal(bench(), { name: 'second', bytes, expected: '400 bad_request' });
  });

  it('that does so on a chunked request is refused', async () => {
    const bytes = request('POST /api/x', 'Connection: transfer-encoding', 'Transfer-Encoding: chunked') + '0\r\n\r\n';
    await expectRefusal(bench(), { name: 'chunks', bytes, expected: '400 bad_request' });
  });

  it.each<[string, readonly string[], Record<string, readonly string[]>]>([
    ['cookie', ['Connection: cookie', 'Cookie: a=b', 'X: y'], { cookie: [], x: ['y'] }],
    ['x-hop', ['Connection: x-hop', 'X-Hop: 1', 'x-hop: 2', 'x_hop: 3'], { 'x-hop': [], x_hop: [] }],
    ['headers in two lines', ['Connection: a', 'B: 1', 'Connection: b', 'A: 2'], { a: [], b: [] }],
    ['via', ['Connection: via', 'Via: 1.1 edge'], { via: [viaEndingWith('1.1 edge')] }],
    ['upgrade', ['Connection: upgrade', 'X: y'], { upgrade: [], x: ['y'] }],
    ['te', ['Connection: te', 'TE: trailers'], { te: [] }],
    ['itself', ['Connection: connection'], {}],
    ['nothing', ['Connection:'], {}],
    ['a name in brackets', ['Connection: [x]', 'X: y'], { x: ['y'] }],
    ['a name with a parameter', ['Connection: x;y=z', 'X: y'], { x: ['y'] }],
  ])('removes what it names, but nothing that Wakala sets: %s', async (_, lines, headers) => {
    await expectAccepted(bench(), taken(lines, headers));
  });

  it('that names idempotency-key is applied or refused', async () => {
    await expectAccepted(
      bench(),
      taken(['Connection: idempotency-key', 'Idempotency-Key: k-1', 'idempotency_key: k-2'], {
        'idempotency-key': [],
        idempotency_key: [],
      }),
    );
  });
});

describe('headers between client and proxy', () => {
  it.each<[string, readonly string[], Record<string, readonly string[]>]>([
    ['Proxy-Connection', ['Proxy-Connection: keep-alive'], { 'proxy-connection': [] }],
    ['proxy_connection', ['proxy_connection: close'], { proxy_connection: [] }],
    ['Keep-Alive', ['Keep-Alive: timeout=60'], { 'keep-alive': [] }],
    ['keep_alive', ['keep_alive: timeout=60'], { keep_alive: [] }],
    ['TE', ['TE: trailers'], { te: [] }],
    ['Trailer', ['Trailer: authorization'], { trailer: [] }],
    ['transfer_encoding', ['transfer_encoding: chunked'], { transfer_encoding: [] }],
    ['Content_Length', ['Content_Length: 5'], { content_length: [] }],
    ['HTTP2-Settings', ['HTTP2-Settings: AAMAAABk'], { 'http2-settings': [] }],
    ['X-Forwarded-For', ['X-Forwarded-For: 10.0.0.1', 'x_forwarded_for: 10.0.0.2'], { 'x-forwarded-for': [] }],
    ['X-Forwarded-Proto', ['X-Forwarded-Proto: https'], { 'x-forwarded-proto': [] }],
    ['X-Forwarded-Host', ['X-Forwarded-Host: evil.example'], { 'x-forwarded-host': [] }],
    ['X_FORWARDED_HOST', ['X_FORWARDED_HOST: evil.example'], { x_forwarded_host: [] }],
    ['X_FORWARDED_FOR in capitals', ['X_FORWARDED_FOR: 10.0.0.1'], { x_forwarded_for: [] }],
    [
      'x-forwarded_for',
      ['x-forwarded_for: 10.0.0.1', 'x_forwarded-for: 10.0.0.1'],
      { 'x-forwarded_for': [], 'x_forwarded-for': [] },
    ],
    ['http2_settings', ['http2_settings: AAMAAABk'], { http2_settings: [] }],
    [
      'Proxy_Connection',
      ['Proxy_Connection: close', 'PROXY_AUTHENTICATE: x'],
      { proxy_connection: [], proxy_authenticate: [] },
    ],
    [
      'X-Original-URL',
      ['X-Original-URL: /admin', 'x_original_url: /admin'],
      { 'x-original-url': [], x_original_url: [] },
    ],
    ['X-Rewrite-URL', ['X-Rewrite-URL: /admin', 'X_Rewrite_Url: /admin'], { 'x-rewrite-url': [], x_rewrite_url: [] }],
    ['SCRIPT_NAME', ['SCRIPT_NAME: /x', 'Script-Name: /x'], { script_name: [], 'script-name': [] }],
    ['Forwarded', ['Forwarded: for=10.0.0.1;host=evil.example'], { forwarded: [] }],
  ])('are not forwarded: %s', async (_, lines, headers) => {
    await expectAccepted(bench(), taken(lines, headers));
  });

  it.each<[string, readonly string[], Record<string, readonly string[]>]>([
    ['tx_id', ['tx_id: 1', 'TX_ID: 2'], { tx_id: ['1', '2'] }],
    ['Cookie', ['Cookie: a=b', 'Cookie: c=d'], { cookie: ['a=b', 'c=d'] }],
    ['Idempotency-Key', ['Idempotency-Key: k'], { 'idempotency-key': ['k'] }],
    ['Set-Cookie', ['Set-Cookie: a=b', 'Set-Cookie: c=d'], { 'set-cookie': ['a=b', 'c=d'] }],
    ['X-Api-Key', ['X-Api-Key: theirs'], { 'x-api-key': ['theirs'] }],
    ['X-Real-IP', ['X-Real-IP: 10.0.0.1'], { 'x-real-ip': ['10.0.0.1'] }],
    ['__proto__', ['__proto__: a', 'constructor: b', 'toString: c'], { constructor: ['b'], tostring: ['c'] }],
    ['Content-Encoding', ['Content-Encoding: gzip'], { 'content-encoding': ['gzip'] }],
    ['Via of others', ['Via: 1.0 edge', 'Via: 1.1 wakala2'], { via: [viaEndingWith('1.0 edge, 1.1 wakala2')] }],
    ['Via of another Wakala', ['Via: 1.1 wakala-00000000'], { via: [viaEndingWith('1.1 wakala-00000000')] }],
    ['X-HTTP-Method-Override', ['X-HTTP-Method-Override: DELETE'], { 'x-http-method-override': ['DELETE'] }],
    ['Range', ['Range: bytes=0-0', 'Max-Forwards: 0'], { range: ['bytes=0-0'], 'max-forwards': ['0'] }],
  ])('of another kind are forwarded: %s', async (_, lines, headers) => {
    await expectAccepted(bench(), taken(lines, headers));
  });
});

describe('Proxy, which CGI programs read as the variable HTTP_PROXY (httpoxy),', () => {
  it.each(['Proxy', 'proxy', 'PROXY', 'Proxy_', 'Proxy-'])('is not forwarded: %s', async (name) => {
    await expectAccepted(bench(), taken([`${name}: http://evil.example:8080`], { [name.toLowerCase()]: [] }));
  });
});

describe('a request that has already passed through this Wakala, or through ten others,', () => {
  it.each([
    ['Via: OWN'],
    ['via: own'],
    ['Via: 1.0 edge, OWN'],
    ['Via: OWN, 1.1 edge'],
    ['Via: 1.0 edge', 'Via: OWN'],
    ['Via:  OWN ,'],
    ['Via: OWN, 1.1 wakala-00000000'],
    ['Connection: via', 'Via: OWN'],
    [`Via: ${'1.1 wakala-00000000,'.repeat(10)}`],
  ])('gets a 508 and is not forwarded: %s', async (...lines) => {
    await exchange(bench(), request('GET /api/x'), 1);
    const own = valuesOf(bench().upstream.requests[0]!, 'via').join();
    const written = lines.map((line) => line.replace('OWN', own).replace('own', own.toUpperCase()));
    const bytes = request('GET /api/x', ...written);
    await expectRefusal(bench(), { name: 'loop', bytes, expected: '508 loop_detected' });
  });
});

describe('a large header block', () => {
  it('of 199 short lines is forwarded completely', async () => {
    const numbers = Array.from({ length: 199 }, (_, i) => i);
    const headers = Object.fromEntries(numbers.map((i) => [`x${i}`, [`${i}`]]));
    await expectAccepted(
      bench(),
      taken(
        numbers.map((i) => `x${i}: ${i}`),
        headers,
      ),
    );
  });

  it.each([
    ['one header of 20 KB', [`a: ${'b'.repeat(20_000)}`]],
    ['one header of 64 KiB', [`a: ${'b'.repeat(65_536)}`]],
    ['one header of 1 MB', [`a: ${'b'.repeat(1_000_000)}`]],
    ['a name of 64 KiB', [`${'a'.repeat(65_536)}: b`]],
    ['200 lines more than Host', Array.from({ length: 200 }, () => 'a: b')],
    ['2,000 lines', Array.from({ length: 2000 }, () => 'a: b')],
    ['100,000 lines', Array.from({ length: 100_000 }, () => 'a: b')],
  ])('gets a 431: %s', async (_, lines) => {
    const bytes = request('GET /api/x', ...lines);
    await expectRefusal(bench(), { name: 'large', bytes, expected: '431 header_too_large' });
  });
});

describe('x-request-id', () => {
  it.each([
    ['sane', 'req-1.a_b:c/d@e+f=', true],
    ['too long', 'a'.repeat(129), false],
    ['with a space', 'a b', false],
    ['with a high byte', 'a\xe9', false],
    ['with markup', '<script>', false],
    ['empty', '', false],
  ])('that is %s is repeated only if valid', async (_, id, repeated) => {
    const response = await expectAccepted(bench(), taken([`X-Request-Id: ${id}`]));
    const [given = ''] = response.values('x-request-id');
    expect(given === id).toBe(repeated);
    expect(given).toMatch(/^[\w.:@/+=-]+$/);
  });
});

/** A `Via` of this proxy behind these entries. */
function viaEndingWith(received: string): string {
  return expect.stringMatching(new RegExp(`^${received}, 1\\.1 wakala-[0-9a-f]{8}$`)) as string;
}

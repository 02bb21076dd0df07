import { describe, expect, it } from 'vitest';
import { benchForFile } from './support/bench.ts';
import {
  type Accepted,
  bare,
  exchange,
  expectAccepted,
  expectRefusal,
  type Refused,
  request,
  SMUGGLED,
  summaryOf,
} from './support/request-case.ts';

const bench = benchForFile();

const HOST = 'Host: localhost';

const REFUSED: Refused[] = (
  [
    ['bare line feeds throughout', `GET /api/x HTTP/1.1\n${HOST}\n\n`],
    ['a bare line feed behind the request line', `GET /api/x HTTP/1.1\n${HOST}\r\n\r\n`],
    ['a bare line feed behind a header', `GET /api/x HTTP/1.1\r\n${HOST}\nA: b\r\n\r\n`],
    ['a bare line feed for the empty line', `GET /api/x HTTP/1.1\r\n${HOST}\r\n\n`],
    ['a bare carriage return behind the request line', `GET /api/x HTTP/1.1\r${HOST}\r\n\r\n`],
    ['a bare carriage return in a value', request('GET /api/x', 'A: b\rc')],
    ['a bare carriage return before a header', request('GET /api/x', 'A: b\rAuthorization: Bearer client-canary')],
    ['a bare carriage return for the empty line', `GET /api/x HTTP/1.1\r\n${HOST}\r\n\r\r\n`],
    ['a carriage return before a line end', request('GET /api/x', 'A: b\r')],
    ['a folded header', request('GET /api/x', 'A: b', ' c')],
    ['a header folded with a tab', request('GET /api/x', 'A: b', '\tc')],
    ['a fold behind the request line', bare('GET /api/x', ' A: b', HOST)],
    ['a fold behind Host', bare('GET /api/x', HOST, ' .evil.example')],
    ['a space before the colon', request('GET /api/x', 'A : b')],
    ['a tab before the colon', request('GET /api/x', 'A\t: b')],
    ['a space in a name', request('GET /api/x', 'A b: c')],
    ['a header without a colon', request('GET /api/x', 'A')],
    ['a header without a name', request('GET /api/x', ': a')],
    ['a NUL in a value', request('GET /api/x', 'A: b\0c')],
    ['a NUL in a name', request('GET /api/x', 'A\0: b')],
    ['a control character in a value', request('GET /api/x', 'A: b\x01c')],
    ['a DEL in a value', request('GET /api/x', 'A: b\x7fc')],
    ['a bracket in a name', request('GET /api/x', 'A(b): c')],
    ['a slash in a name', request('GET /api/x', 'A/b: c')],
    ['a quoted name', request('GET /api/x', '"A": b')],
    ['a high byte in a name', request('GET /api/x', 'A\xe9: b')],
    ['an empty line before Host and a header', 'GET /api/x HTTP/1.1\r\n\r\nHost: localhost\r\n\r\n'],
    ['HTTP/0.9', 'GET /api/x\r\n\r\n'],
    ['HTTP/0.9 in its version', request('GET /api/x HTTP/0.9')],
    ['HTTP/1.2', request('GET /api/x HTTP/1.2')],
    ['HTTP/1.10', request('GET /api/x HTTP/1.10')],
    ['HTTP/2.0', request('GET /api/x HTTP/2.0')],
    ['HTTP/3', request('GET /api/x HTTP/3')],
    ['HTTP/1', request('GET /api/x HTTP/1')],
    ['a version in lower case', request('GET /api/x HTTP/1.1').replace('HTTP/', 'http/')],
    ['ICY', request('GET /api/x HTTP/1.1').replace('HTTP/', 'ICE/')],
    ['a version with a space', `GET /api/x HTTP/1. 1\r\n${HOST}\r\n\r\n`],
    ['a space behind the version', `GET /api/x HTTP/1.1 \r\n${HOST}\r\n\r\n`],
    ['a tab behind the method', `GET\t/api/x HTTP/1.1\r\n${HOST}\r\n\r\n`],
    ['a tab before the version', `GET /api/x\tHTTP/1.1\r\n${HOST}\r\n\r\n`],
    ['a vertical tab before the version', `GET /api/x\vHTTP/1.1\r\n${HOST}\r\n\r\n`],
    ['a space before the method', ` GET /api/x HTTP/1.1\r\n${HOST}\r\n\r\n`],
    ['a space in the target', `GET /api/x y HTTP/1.1\r\n${HOST}\r\n\r\n`],
    ['no target', `GET HTTP/1.1\r\n${HOST}\r\n\r\n`],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'],
    ['a TLS handshake', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
    ['a status line', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['a NUL before the method', `\0${request('GET /api/x')}`],
    ['a byte order mark', `\xef\xbb\xbf${request('GET /api/x')}`],
    ['a PROXY protocol line', `PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n${request('GET /api/x')}`],
  ] as const
).map(([name, bytes]) => ({ name, bytes, expected: '400 bad_request' }));

describe('a request with a malformed line', () => {
  it.each(REFUSED)('is refused and sends nothing, and so is the request after it: $name', async ({ bytes, ...row }) => {
    await expectRefusal(bench(), { ...row, bytes: bytes.toString('latin1') + SMUGGLED });
  });
});

const TAKEN: Accepted[] = [
  { name: 'empty lines before it', bytes: `\r\n\r\n${request('GET /api/x')}`, expected: { sent: 'GET /api/x' } },
  {
    name: 'an empty value',
    bytes: request('GET /api/x', 'A:', 'B: '),
    expected: { sent: 'GET /api/x', headers: { a: [''], b: [''] } },
  },
  {
    name: 'spaces and tabs around a value',
    bytes: request('GET /api/x', 'A: \t b\tc \t'),
    expected: { sent: 'GET /api/x' },
  },
  {
    name: 'high bytes in a value',
    bytes: request('GET /api/x', 'A: \xe9\xff'),
    expected: { sent: 'GET /api/x', headers: { a: ['\xe9\xff'] } },
  },
  {
    name: 'a colon in a value',
    bytes: request('GET /api/x', 'A: b: c'),
    expected: { sent: 'GET /api/x', headers: { a: ['b: c'] } },
  },
  {
    name: 'every character that a name may have',
    bytes: request('GET /api/x', "!#$%&'*+.^_`|~0a: b"),
    expected: { sent: 'GET /api/x', headers: { "!#$%&'*+.^_`|~0a": ['b'] } },
  },
  // Node's parser accepts these, and they are not forwarded.
  {
    name: 'two spaces before the version',
    bytes: `GET /api/x  HTTP/1.1\r\n${HOST}\r\n\r\n`,
    expected: { sent: 'GET /api/x' },
  },
  {
    name: 'two spaces behind the method',
    bytes: `GET  /api/x HTTP/1.1\r\n${HOST}\r\n\r\n`,
    expected: { sent: 'GET /api/x' },
  },
  {
    name: 'RTSP in place of HTTP',
    bytes: request('GET /api/x HTTP/1.1').replace('HTTP/', 'RTSP/'),
    expected: { sent: 'GET /api/x' },
  },
  { name: 'HTTP/1.0', bytes: request('GET /api/x HTTP/1.0'), expected: { sent: 'GET /api/x' } },
];

describe('a request with unusual but valid lines', () => {
  it.each(TAKEN)('is sent once: $name', async (row) => {
    await expectAccepted(bench(), row);
  });
});

describe('pipelined requests in one packet', () => {
  it('get their responses in order', async () => {
    const { upstream } = bench();
    const requests = Array.from({ length: 10 }, (_, i) => request(`GET /api/order/${i}`));
    for (let i = 0; i < 10; i++) {
      upstream.responses.set(`/base/api/order/${i}`, (socket) => {
        // The later the request, the earlier its response.
        setTimeout(() => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${i}`), 20 - 2 * i);
        return undefined;
      });
    }
    const { responses } = await exchange(bench(), requests.join(''), 10);
    expect(responses.map(({ body }) => body.toString()).join('')).toBe('0123456789');
    expect(bench().forwarded().toSorted()).toEqual(requests.map((_, i) => `GET /base/api/order/${i}`));
  });

  it('with bodies are sent with their own bodies', async () => {
    const bodies = ['a', 'bb', '', 'dddd'];
    const bytes = bodies.map((body) => request('POST /api/x', `Content-Length: ${body.length}`) + body).join('');
    await exchange(bench(), bytes, 4);
    expect(
      bench()
        .upstream.requests.map(({ body }) => body.toString())
        .filter(Boolean)
        .toSorted(),
    ).toEqual(bodies.filter(Boolean));
    expect(bench().forwarded()).toHaveLength(4);
  });

  it.each([
    ['two Hosts', request('GET /api/x', 'Host: localhost')],
    ['a dot segment', request('GET /api/../x')],
    ['a forged authority', request('GET http://evil.example/api/x')],
    ['a nominated length', request('POST /api/x', 'Connection: content-length', 'Content-Length: 1') + 'a'],
    ['a foreign coding', request('POST /api/x', 'Transfer-Encoding: gzip, chunked') + '0\r\n\r\n'],
  ])('are not executed after one that is refused for %s', async (_, refused) => {
    const { responses } = await exchange(bench(), request('GET /api/first') + refused + SMUGGLED, 2);
    expect(responses[0]!.status).toBe(200);
    expect(summaryOf(responses[1]!)).toMatch(/^400 /);
    expect(bench().forwarded()).toEqual(['GET /base/api/first']);
  });

  it.each([
    ['no route', request('GET /elsewhere'), 404],
    ['a method that is not forwarded', request('TRACE /api/x'), 405],
    ['a loop', request('GET /api/x', `Via: ${'1.1 wakala-00000000,'.repeat(10)}`), 508],
    ['a foreign Host', bare('GET /api/x', 'Host: evil.example'), 403],
  ])('get responses in order after one with valid framing that is refused for %s', async (_, refused, status) => {
    const { responses } = await exchange(bench(), request('GET /api/first') + refused + request('GET /api/last'), 3);
    expect(responses.map((response) => response.status)).toEqual([200, status, 200]);
    expect(bench().forwarded()).toEqual(['GET /base/api/first', 'GET /base/api/last']);
  });

  it('before one with malformed lines are sent at most once, and get true responses', async () => {
    const bytes = request('GET /api/first') + request('GET /api/x', 'A : b') + SMUGGLED;
    const { responses } = await exchange(bench(), bytes, 1);
    expect(responses[0]!.status).toBe(200);
    expect(bench().forwarded()).toEqual(['GET /base/api/first']);
  });

  it.each([
    ['Connection: close', request('GET /api/first', 'Connection: close')],
    ['HTTP/1.0', request('GET /api/first HTTP/1.0')],
  ])('are not executed after one with %s, which gets a response', async (_, last) => {
    const { responses } = await exchange(bench(), last + SMUGGLED, 1);
    expect(responses[0]!.status).toBe(200);
    expect(bench().forwarded()).toEqual(['GET /base/api/first']);
  });

  it('never get a `not_sent` from the refusal of a CONNECT after them', async () => {
    const { responses } = await exchange(bench(), request('GET /api/first') + request('CONNECT localhost:443'), 2);
    expect(responses.map(({ status }) => status)).toEqual([200, 405]);
    expect(bench().forwarded()).toEqual(['GET /base/api/first']);
  });
});

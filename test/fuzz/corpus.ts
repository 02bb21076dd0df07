import type { Chance } from './random.ts';

/** The client's own credential. */
const CANARY = 'canary-clients-own-login';

const HOST = 'Host: localhost';
const inner = `GET /api/smuggled HTTP/1.1\r\n${HOST}\r\n\r\n`;
const request = (start: string, lines: readonly string[], body = '') =>
  [`${start} HTTP/1.1`, HOST, ...lines, '', body].join('\r\n');

/** Valid requests and known request smuggling attacks. */
const CORPUS: readonly string[] = [
  request('GET /api/x', [`Authorization: Bearer ${CANARY}`]),
  request('GET /api/x?a=b&c=%20', ['Accept: */*', 'X-Mine: 1', `Author_ization: Basic ${CANARY}`]),
  request('HEAD /api/x', []),
  request(
    'POST /api/pay',
    ['Content-Length: 5', 'Content-Type: text/plain', `Proxy-Authorization: Basic ${CANARY}`],
    'money',
  ),
  request('POST /api/pay', ['Transfer-Encoding: chunked'], '5\r\nmoney\r\n0\r\n\r\n'),
  request(
    'PUT /api/pay',
    ['Transfer-Encoding: chunked', 'Trailer: X-T'],
    '2;e=f\r\nmo\r\n3\r\nney\r\n0\r\nX-T: 1\r\n\r\n',
  ),
  request('DELETE /api/x', ['Content-Length: 0', 'Connection: x-mine', 'X-Mine: 1']),
  request('PATCH /api/x', ['Expect: 100-continue', 'Content-Length: 2'], '{}'),
  request('OPTIONS /api/x', ['Connection: authorization, close', `Authorization: ${CANARY}`]),
  request('POST /api/x', ['Content-Length: 5', 'Transfer-Encoding: chunked'], `0\r\n\r\n${inner}`),
  request('POST /api/x', ['Transfer-Encoding: gzip, chunked'], `0\r\n\r\n${inner}`),
  request('POST /api/x', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], `0\r\n\r\n${inner}`),
  request('POST /api/x', [`Content-Length: ${inner.length}`], inner),
  request('GET http://localhost/api/x', [`Upgrade: websocket`, 'Connection: upgrade', 'Sec-WebSocket-Key: x']),
];

const PIECES: readonly string[] = [
  ...[
    '\r\n',
    '\n',
    '\r',
    '\r\n\r\n',
    '\0',
    '\t',
    ' ',
    ':',
    '\x0b',
    '\x7f',
    '\xff',
    ',',
    ';',
    '0',
    '-1',
    '+5',
    '0x5',
    '%2e',
  ],
  ...[
    'Content-Length: 5\r\n',
    'Content-Length: 0\r\n',
    'Content_Length: 9\r\n',
    'Content-Length : 5\r\n',
    'Content-Length:\r\n',
  ],
  ...[
    'Transfer-Encoding: chunked\r\n',
    'Transfer_Encoding: chunked\r\n',
    'Transfer-Encoding:\x0bchunked\r\n',
    'chunked',
  ],
  ...['Transfer-Encoding: x\r\n ', 'Host: evil.example\r\n', 'Host: localhost\r\n', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/1.1'],
  ...[
    'Connection: content-length\r\n',
    'Connection: keep-alive\r\n',
    'Connection: close\r\n',
    'Expect: 100-continue\r\n',
  ],
  ...[
    `authorization: ${CANARY}\r\n`,
    `Authorization:${CANARY}\r\n`,
    `AUTHOR-IZATION: ${CANARY}\r\n`,
    'Via: 1.1 wakala-00000000\r\n',
  ],
  ...[
    '0\r\n\r\n',
    '1\r\na\r\n',
    'ffffffff\r\n',
    '5;a="\r\n',
    '5 \r\n',
    '/../',
    '//',
    '/api',
    'CONNECT ',
    'PRI * HTTP/2.0\r\n',
  ],
];

/** A request that is valid or mutated in up to six places. */
export function rawRequest(chance: Chance): string {
  const whole = chance.pick(CORPUS);
  return chance.oneIn(10) ? whole : chance.mutate(whole, PIECES, 6);
}

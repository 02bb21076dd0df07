import { describe, it } from 'vitest';
import { benchForFile } from './support/bench.ts';
import { expectResponse, head, relayed, type ResponseCase } from './support/response-case.ts';

const bench = benchForFile();

const INVALID = '502 upstream_invalid unknown';
const RESET = '502 upstream_reset unknown';
const FINE = 'content-length: 4\r\n\r\nfine';

function start(line: string): string {
  return `${line}\r\n${FINE}`;
}

function withLines(...lines: string[]): string {
  return `${head('HTTP/1.1 200 OK', ...lines, 'content-length: 4')}fine`;
}

const STATUS_LINES: ResponseCase[] = [
  ...[
    'HTTP/1.1 000 None',
    'HTTP/1.1 099 Low',
    'HTTP/1.1 600 High',
    'HTTP/1.1 999 Higher',
    'HTTP/1.1 1000 Long',
    'HTTP/1.1 20 Short',
    'HTTP/1.1 2',
    'HTTP/1.1 abc OK',
    'HTTP/1.1 -200 OK',
    'HTTP/1.1 +200 OK',
    'HTTP/1.1 0x200 OK',
    'HTTP/1.1 2 00 OK',
    'HTTP/1.1 200OK',
    'HTTP/1.1',
    'HTTP/1.1 ',
    'HTTP/3.0 200 OK',
    'HTTP/1.10 200 OK',
    'http/1.1 200 OK',
    'HTTPS/1.1 200 OK',
    'ICY 200 OK',
    '200 OK',
    ' HTTP/1.1 200 OK',
    'GET /x HTTP/1.1',
    'SSH-2.0-OpenSSH_9.6',
    '\x15\x03\x03\0\x02\x02\x28',
    '{"status":200}',
    '<html>',
    '\0',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 O\x01K',
    'HTTP/1.1 200 O\x7fK',
    'HTTP/1.1 200 O\x1bK',
    'HTTP/1.1 200 O\rK',
  ].map((line) => ({ name: JSON.stringify(line), response: start(line), expected: INVALID }) as const),
  ...['HTTP/1.1 200', 'HTTP/1.1 200 ', 'HTTP/1.1 200 Ok, then', 'HTTP/1.1 200 \xe9', 'HTTP/1.0 200 OK'].map((line) => ({
    name: JSON.stringify(line),
    response: start(line),
    expected: relayed(200, 'fine'),
  })),
  ...[200, 201, 299, 300, 400, 418, 499, 500, 599].map((status) => ({
    name: `HTTP/1.1 ${status}`,
    response: start(`HTTP/1.1 ${status} Odd`),
    expected: relayed(status, 'fine'),
  })),
];

describe('a status line', () => {
  it.each(STATUS_LINES)('is relayed if valid and otherwise results in 502: $name', async (row) => {
    await expectResponse(bench(), row);
  });

  it.each(['POST', 'DELETE'])('that is invalid does not cause a second %s', async (method) => {
    await expectResponse(bench(), { name: method, method, response: start('HTTP/1.1 099 Low'), expected: INVALID });
  });
});

const HEADERS: ResponseCase[] = [
  ...(
    [
      ['a NUL in a value', ['a: b\0c']],
      ['a control character in a value', ['a: b\x01c']],
      ['a DEL in a value', ['a: b\x7fc']],
      ['a bare carriage return in a value', ['a: b\rc']],
      ['a NUL in a name', ['a\0b: c']],
      ['a space in a name', ['a b: c']],
      ['a space before the colon', ['a : b']],
      ['a high byte in a name', ['\xe9: b']],
      ['a line without a colon', ['abc']],
      ['no name', [': b']],
      ['a folded line', ['a: b', ' c']],
      ['a fold behind the status line', [' a: b']],
      ['one line of 20 KB', [`a: ${'b'.repeat(20_000)}`]],
      ['20 KB of lines', Array.from({ length: 1000 }, (_, i) => `a${i}: ${'b'.repeat(15)}`)],
      ['two different lengths', ['content-length: 3']],
      ['two equal lengths', ['content-length: 4']],
      ['two lengths in different cases', ['Content-LENGTH: 4']],
      ['a length beside chunks', ['transfer-encoding: chunked']],
    ] as const
  ).map(([name, lines]) => ({ name, response: withLines(...lines), expected: INVALID }) as const),
  ...['-1', '+4', '0x4', '4, 4', '4,5', '4.0', 'four', '', '18446744073709551616', '4 4', '\v4'].map(
    (length) =>
      ({
        name: `Content-Length: ${JSON.stringify(length)}`,
        response: `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\nfine`,
        expected: INVALID,
      }) as const,
  ),
  ...['chunked, chunked', 'chunked, gzip', 'chunked;q=1', 'xchunked', 'identity', 'gzip'].map(
    (coding) =>
      ({
        name: `Transfer-Encoding: ${coding}`,
        response: (socket) => {
          socket.end(`HTTP/1.1 200 OK\r\ntransfer-encoding: ${coding}\r\n\r\n4\r\nfine\r\n0\r\n\r\n`);
          return undefined;
        },
        expected: INVALID,
      }) satisfies ResponseCase,
  ),
];

describe('a head that is not valid HTTP', () => {
  it.each(HEADERS)('results in 502, outcome unknown: $name', async (row) => {
    await expectResponse(bench(), row);
  });

  it('without an end is aborted after a limited number of bytes', async () => {
    const written = { bytes: 0 };
    await expectResponse(bench(), {
      name: 'endless',
      response: (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const line = `a: ${'b'.repeat(1000)}\r\n`;
        const more = () => {
          for (let hasSpace = true; hasSpace && socket.writable; written.bytes += line.length)
            hasSpace = socket.write(line);
        };
        socket.on('drain', more);
        more();
        return undefined;
      },
      expected: INVALID,
    });
    if (written.bytes > 16_000_000) throw new Error(`${written.bytes} bytes of a head were taken`);
  });
});

const INTERIM: ResponseCase[] = [
  { name: '102', response: `HTTP/1.1 102 Processing\r\n\r\n${withLines()}`, expected: relayed(200, 'fine') },
  {
    name: "103 with headers, which are not the response's",
    response: `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\nset-cookie: a=b\r\n\r\n${withLines()}`,
    expected: relayed(200, 'fine', { link: [], 'set-cookie': [] }),
  },
  {
    name: '103 with a length',
    response: `HTTP/1.1 103 Early Hints\r\ncontent-length: 0\r\n\r\n${withLines()}`,
    expected: relayed(200, 'fine'),
  },
  { name: '199', response: `HTTP/1.1 199 Odd\r\n\r\n${withLines()}`, expected: relayed(200, 'fine') },
  { name: '32 of them', response: 'HTTP/1.1 102 P\r\n\r\n'.repeat(32) + withLines(), expected: relayed(200, 'fine') },
  { name: '33 of them', response: 'HTTP/1.1 102 P\r\n\r\n'.repeat(33) + withLines(), expected: INVALID },
  { name: '10,000 of them', response: 'HTTP/1.1 102 P\r\n\r\n'.repeat(10_000) + withLines(), expected: INVALID },
  {
    name: '100 that was not requested',
    response: `HTTP/1.1 100 Continue\r\n\r\n${withLines()}`,
    expected: relayed(200, 'fine'),
  },
  { name: '101 that was not requested', response: `HTTP/1.1 101 Switching\r\n\r\n${withLines()}`, expected: INVALID },
  {
    name: '101 for a WebSocket that was not requested',
    response: `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${withLines()}`,
    expected: INVALID,
  },
  {
    name: '102 and then nothing',
    response: (socket) => {
      socket.end('HTTP/1.1 102 Processing\r\n\r\n');
      return undefined;
    },
    expected: RESET,
  },
];

describe('an interim response', () => {
  it.each(INTERIM)('is never taken for the final response: $name', async (row) => {
    await expectResponse(bench(), row);
  });
});

/** Unsolicited bytes, which must not become part of the next response on that connection. */
const EXTRA: ResponseCase[] = [
  { name: 'one byte', response: `${withLines()}x`, expected: relayed(200, 'fine') },
  { name: 'an empty line', response: `${withLines()}\r\n`, expected: relayed(200, 'fine') },
  { name: 'a second response', response: withLines() + start('HTTP/1.1 500 Second'), expected: relayed(200, 'fine') },
  {
    name: 'a second response behind chunks',
    response: `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n${start('HTTP/1.1 500 Second')}`,
    expected: relayed(200, 'fine'),
  },
  { name: '100,000 bytes', response: withLines() + 'x'.repeat(100_000), expected: relayed(200, 'fine') },
  { name: 'a body on a 204', response: start('HTTP/1.1 204 No Content'), expected: relayed(204, '') },
  {
    name: 'chunks on a 204',
    response: 'HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n',
    expected: relayed(204, '', { 'transfer-encoding': [] }),
  },
  { name: 'a body on a 304', response: start('HTTP/1.1 304 Not Modified'), expected: relayed(304, '') },
  {
    name: 'a second response on a 204',
    response: `HTTP/1.1 204 No Content\r\n\r\n${start('HTTP/1.1 500 Second')}`,
    expected: relayed(204, '', { 'content-length': [] }),
  },
  {
    name: 'a body to a HEAD',
    method: 'HEAD',
    response: withLines(),
    expected: relayed(200, '', { 'content-length': ['4'] }),
  },
];

describe('bytes after a response', () => {
  it.each(EXTRA)('never become part of another response: $name', async (row) => {
    await expectResponse(bench(), row);
  });
});

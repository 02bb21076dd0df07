import type { Socket } from 'node:net';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { chunk } from '../support/upstream-raw.ts';
import { benchForFile, customRoute } from './support/bench.ts';
import { expectResponse, head, relayed, type ResponseCase } from './support/response-case.ts';
import type { Respond } from './support/strict-upstream.ts';

const bench = benchForFile((hosts) => {
  const token = (dead: object[]) => ({
    request: { path: '/issue/token', json: { key: '{key}' } },
    response: { access_token: 'access_token', expires_in: 'expires_in' },
    dead_token: dead,
  });
  return {
    '/slow/*': customRoute('slow', hosts, { timeout: '300ms' }),
    '/dead/*': customRoute('dead', hosts, { token: token([{ status: 404, body: { errorCode: 'dead' } }]) }),
  };
});

const INVALID = '502 upstream_invalid unknown';
const RESET = '502 upstream_reset unknown';
const LATE = '504 upstream_timeout unknown';
const OK = 'HTTP/1.1 200 OK';
const CHUNKED = head(OK, 'transfer-encoding: chunked');

function last(bytes: string | Buffer): Respond {
  return (socket) => void socket.end(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
}

/** Sends these bytes, sees to it that they are read, and then resets the connection. */
function reset(bytes: string): Respond {
  return (socket) => void socket.write(bytes, () => setImmediate(() => socket.resetAndDestroy()));
}

const CUT: ResponseCase[] = [
  // A GET goes once more on a new connection.
  { name: 'before the first byte', response: last(''), expected: RESET, sendings: 2 },
  { name: 'before the first byte, with a reset', response: reset(''), expected: RESET, sendings: 2 },
  { name: 'within the status line', response: last('HTTP/1.1 20'), expected: RESET },
  { name: 'within the head', response: last(`${OK}\r\ncontent-le`), expected: RESET },
  { name: 'behind the head', response: last(head(OK, 'content-length: 4')), expected: RESET },
  { name: 'within a short body', response: last(`${head(OK, 'content-length: 4')}fi`), expected: RESET },
  { name: 'within a short body, with a reset', response: reset(`${head(OK, 'content-length: 4')}fi`), expected: RESET },
  {
    name: 'within a long body',
    response: last(head(OK, 'content-length: 100000') + 'x'.repeat(50_000)),
    expected: 'broken off',
  },
  {
    name: 'within a long body, with a reset',
    response: reset(head(OK, 'content-length: 100000') + 'x'.repeat(50_000)),
    expected: 'broken off',
  },
  { name: 'within a chunk', response: last(`${CHUNKED}5\r\nfi`), expected: 'broken off' },
  { name: 'between chunks', response: last(`${CHUNKED}4\r\nfine\r\n`), expected: 'broken off' },
  { name: 'before the first chunk', response: last(CHUNKED), expected: 'broken off' },
  { name: 'within the last chunk', response: last(`${CHUNKED}4\r\nfine\r\n0\r\n`), expected: 'broken off' },
];

describe('a truncated response', () => {
  it.each(CUT)('is never taken for complete: $name', async (row) => {
    await expectResponse(bench(), row);
  });

  it.each(CUT.filter(({ expected }) => expected === RESET))('never causes a second POST: $name', async (row) => {
    await expectResponse(bench(), { ...row, method: 'POST', sendings: 1 });
  });
});

const LATE_RESPONSES: ResponseCase[] = [
  { name: 'before the first byte', response: () => undefined, expected: LATE },
  { name: 'within the head', response: `${OK}\r\ncontent-`, expected: LATE },
  { name: 'behind an interim response', response: 'HTTP/1.1 102 Processing\r\n\r\n', expected: LATE },
  { name: 'within a short body', response: `${head(OK, 'content-length: 4')}fi`, expected: LATE },
  {
    name: 'within a long body',
    response: head(OK, 'content-length: 100000') + 'x'.repeat(50_000),
    expected: 'broken off',
  },
  { name: 'within a chunk', response: `${CHUNKED}5\r\nfi`, expected: 'broken off' },
  {
    name: 'behind the head of a stream',
    response: head(OK, 'content-type: text/event-stream'),
    expected: 'broken off',
  },
];

describe('a response that stops', () => {
  it.each(LATE_RESPONSES)('is aborted at the deadline: $name', async (row) => {
    await expectResponse(bench(), { ...row, route: 'slow' });
  });
});

const BAD_CHUNKS: readonly [name: string, bytes: string][] = [
  ['a size that is no number', 'zz\r\nfine\r\n0\r\n\r\n'],
  ['an empty size', '\r\nfine\r\n0\r\n\r\n'],
  ['a negative size', '-4\r\nfine\r\n0\r\n\r\n'],
  ['a size of 2^64', '10000000000000000\r\nfine\r\n0\r\n\r\n'],
  ['data longer than its size', '3\r\nfine\r\n0\r\n\r\n'],
  ['data shorter than its size', '5\r\nfine\r\n0\r\n\r\n'],
  ['a bare line feed behind the size', '4\nfine\r\n0\r\n\r\n'],
  ['a NUL in an extension', '4;\0\r\nfine\r\n0\r\n\r\n'],
  ['another response in place of a size', head(OK, 'content-length: 0')],
];

describe('invalid chunks in a response', () => {
  it.each(BAD_CHUNKS)('result in 502 if they arrive with the head: %s', async (_, bytes) => {
    await expectResponse(bench(), { name: '', response: last(CHUNKED + bytes), expected: INVALID });
  });

  it.each(BAD_CHUNKS)('break the connection to the client if they arrive later: %s', async (_, bytes) => {
    const response: Respond = (socket) => {
      socket.write(CHUNKED);
      setTimeout(() => socket.end(bytes, 'latin1'), 20);
      return undefined;
    };
    await expectResponse(bench(), { name: '', response, expected: 'broken off' });
  });
});

const GZIP = gzipSync('{"errorCode":"alive"}');

const SOUND: ResponseCase[] = [
  { name: 'no body at all', response: head(OK, 'content-length: 0'), expected: relayed(200, '') },
  { name: 'no chunk but the last', response: `${CHUNKED}0\r\n\r\n`, expected: relayed(200, '') },
  {
    name: 'chunks in capitals',
    response: `${head(OK, 'TRANSFER-ENCODING: CHUNKED')}A\r\n0123456789\r\n0\r\n\r\n`,
    expected: relayed(200, '0123456789'),
  },
  {
    name: 'chunks with extensions',
    response: `${CHUNKED}4;a="b"\r\nfine\r\n0;c\r\n\r\n`,
    expected: relayed(200, 'fine'),
  },
  {
    name: 'chunks with trailers, which are dropped',
    response: `${head(OK, 'trailer: set-cookie', 'transfer-encoding: chunked')}4\r\nfine\r\n0\r\nset-cookie: a=b\r\n\r\n`,
    expected: relayed(200, 'fine', { 'set-cookie': [], trailer: [] }),
  },
  {
    name: 'a Trailer header beside a length',
    response: `${head(OK, 'trailer: x', 'content-length: 4')}fine`,
    expected: relayed(200, 'fine', { trailer: [] }),
  },
  { name: 'an end with the connection', response: last(`${head(OK)}fine`), expected: relayed(200, 'fine') },
  {
    name: 'an end with the connection of HTTP/1.0',
    response: last(`${head('HTTP/1.0 200 OK')}fine`),
    expected: relayed(200, 'fine'),
  },
  {
    name: 'a 205 with a body',
    response: `${head('HTTP/1.1 205 Reset', 'content-length: 4')}fine`,
    expected: relayed(205, 'fine'),
  },
  {
    name: 'a 304 with a length',
    response: head('HTTP/1.1 304 Not Modified', 'content-length: 400'),
    expected: relayed(304, ''),
  },
  {
    name: 'a HEAD with a length',
    method: 'HEAD',
    response: head(OK, 'content-length: 400'),
    expected: relayed(200, '', { 'content-length': ['400'] }),
  },
  {
    name: 'a HEAD without a length',
    method: 'HEAD',
    response: head(OK),
    expected: relayed(200, '', { 'content-length': [] }),
  },
  { name: 'a HEAD in chunks', method: 'HEAD', response: CHUNKED, expected: relayed(200, '') },
  {
    name: 'compressed bytes, untouched',
    response: Buffer.concat([Buffer.from(head(OK, 'content-encoding: gzip', `content-length: ${GZIP.length}`)), GZIP]),
    expected: relayed(200, GZIP, { 'content-encoding': ['gzip'], 'content-length': [`${GZIP.length}`] }),
  },
  {
    name: 'bytes that are not what Content-Encoding says',
    response: `${head(OK, 'content-encoding: gzip', 'content-length: 4')}fine`,
    expected: relayed(200, 'fine', { 'content-encoding': ['gzip'] }),
  },
  {
    name: 'one byte at a time',
    response: (socket) => void trickle(socket, `${head(OK, 'content-length: 4')}fine`),
    expected: relayed(200, 'fine'),
  },
  ...[16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 1_000_000].map((length) => ({
    name: `${length} bytes`,
    response: head(OK, `content-length: ${length}`) + 'x'.repeat(length),
    expected: relayed(200, 'x'.repeat(length), { 'content-length': [`${length}`] }),
  })),
];

async function trickle(socket: Socket, text: string): Promise<void> {
  socket.setNoDelay(true);
  for (const byte of text) await new Promise<unknown>((resolve) => socket.write(byte, resolve));
}

describe('a response with an unusual but valid body', () => {
  it.each(SOUND)('is relayed completely: $name', async (row) => {
    await expectResponse(bench(), row);
  });
});

/** 100 MB of zeros, compressed, as a response whose body decides about the token. */
function bombs(): readonly [encoding: string, body: Buffer][] {
  const million = Buffer.alloc(1_000_000);
  const member = gzipSync(million);
  const gzip = Buffer.concat(Array.from({ length: 100 }, () => member));
  const brotli = brotliCompressSync(Buffer.alloc(50_000_000), { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
  return [
    ['gzip', gzip],
    ['gzip', gzip.subarray(0, member.length * 15)],
    ['br', brotli],
    ['deflate', Buffer.concat([Buffer.from([0x78, 0x9c]), gzip.subarray(10, 900)])],
    ['gzip, gzip', gzipSync(gzip)],
  ];
}

describe('a compressed response that may say that the token is dead', () => {
  it('is decompressed only up to a limit', async () => {
    const made = bombs();
    const before = process.memoryUsage().rss;
    for (const [encoding, body] of made) {
      const start = head('HTTP/1.1 404 Not Found', `content-encoding: ${encoding}`, `content-length: ${body.length}`);
      const response = Buffer.concat([Buffer.from(start), body]);
      await expectResponse(bench(), { name: '', route: 'dead', response, expected: relayed(404, body) });
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
  });

  it.each([
    ['in chunks without an end', Buffer.concat([Buffer.from(CHUNKED.replace('200', '404')), chunk(GZIP)])],
    ['that is cut', Buffer.from(`${head('HTTP/1.1 404 No', 'content-encoding: gzip', 'content-length: 99')}x`)],
  ])('%s is invalid and not taken for complete', async (_, bytes) => {
    await expectResponse(bench(), { name: '', route: 'dead', response: last(bytes), expected: RESET });
  });
});

describe('an invalid response on a connection', () => {
  it('does not affect other requests', async () => {
    const rows = Array.from({ length: 10 }, () => bench().expectAlive());
    await Promise.all([...rows, expectResponse(bench(), { name: '', response: 'junk\r\n\r\n', expected: INVALID })]);
  });
});

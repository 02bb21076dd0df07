import { describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { chunk } from '../support/upstream-raw.ts';
import { benchForFile } from './support/bench.ts';
import { type Accepted, exchange, expectAccepted, request, SMUGGLED, summaryOf } from './support/request-case.ts';

const bench = benchForFile();

const HEAD = request('POST /api/x', 'Transfer-Encoding: chunked');

/** Chunked bodies that one server or another reads to another end. */
const BROKEN: readonly [name: string, body: string][] = [
  ['a size that is no number', `zz\r\na\r\n0\r\n\r\n`],
  ['an empty size', `\r\na\r\n0\r\n\r\n`],
  ['a negative size', `-1\r\na\r\n0\r\n\r\n`],
  ['a signed size', `+1\r\na\r\n0\r\n\r\n`],
  ['a size with 0x before it', `0x1\r\na\r\n0\r\n\r\n`],
  ['a size with a space before it', ` 1\r\na\r\n0\r\n\r\n`],
  ['a size with a space behind it', `1 \r\na\r\n0\r\n\r\n`],
  ['a size with a tab behind it', `1\t\r\na\r\n0\r\n\r\n`],
  ['a size with a space before an extension', `1 ;x=y\r\na\r\n0\r\n\r\n`],
  ['a size with an underscore', `1_0\r\na\r\n0\r\n\r\n`],
  ['a size with a comma', `1,0\r\na\r\n0\r\n\r\n`],
  ['a size with a NUL', `1\0\r\na\r\n0\r\n\r\n`],
  ['a size of 2^64', `10000000000000000\r\na\r\n0\r\n\r\n`],
  ['a size of 2^64 + 1', `10000000000000001\r\na\r\n0\r\n\r\n`],
  ['a size of 17 digits f', `fffffffffffffffff\r\na\r\n0\r\n\r\n`],
  ['a size behind a bare line feed', `1\na\r\n0\r\n\r\n`],
  ['a size behind a bare carriage return', `1\ra\r\n0\r\n\r\n`],
  ['bare line feeds throughout', `1\na\n0\n\n`],
  ['no line end behind the data', `1\r\na0\r\n\r\n`],
  ['a bare line feed behind the data', `1\r\na\n0\r\n\r\n`],
  ['a bare carriage return behind the data', `1\r\na\r0\r\n\r\n`],
  ['two bytes more than the size says', `1\r\nabc\r\n0\r\n\r\n`],
  ['a bare line feed in an extension', `1;x\ny\r\na\r\n0\r\n\r\n`],
  ['a bare carriage return in an extension', `1;x\ry\r\na\r\n0\r\n\r\n`],
  ['a NUL in an extension', `1;x=\0\r\na\r\n0\r\n\r\n`],
  ['a control character in an extension', `1;x=\x01\r\na\r\n0\r\n\r\n`],
  ['an endless extension', `1;${'x'.repeat(20_000)}\r\na\r\n0\r\n\r\n`],
  ['a bare line feed behind the last chunk', `1\r\na\r\n0\n\n`],
  ['a space before the colon of a trailer', `1\r\na\r\n0\r\nX-T : b\r\n\r\n`],
  ['a trailer without a colon', `1\r\na\r\n0\r\nX-T\r\n\r\n`],
  ['a trailer with a NUL', `1\r\na\r\n0\r\nX-T: \0\r\n\r\n`],
  ['a trailer with a bare line feed', `1\r\na\r\n0\r\nX-T: b\nX-U: c\r\n\r\n`],
  ['a folded trailer', `1\r\na\r\n0\r\nX-T: b\r\n c\r\n\r\n`],
  ['20 KB of trailers', `1\r\na\r\n0\r\nX-T: ${'b'.repeat(20_000)}\r\n\r\n`],
  ['a trailer named Content-Length', `1\r\na\r\n0\r\nContent-Length: 9\r\n\r\n`],
  ['a trailer named Transfer-Encoding', `1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ['a request line in place of a size', SMUGGLED],
];

describe('a request with invalid chunks', () => {
  it.each(BROKEN)('sends nothing, is refused and closes its connection: %s', async (_, body) => {
    bench().upstream.forget();
    const client = await RawClient.open(bench().port);
    client.send(HEAD + body + SMUGGLED);
    const response = await client.nextResponse();
    expect(summaryOf(response)).toMatch(/^(400 bad_request|431 header_too_large|413 body_too_large)( unknown)?$/);
    await client.ending;
    await bench().expectAlive();
    expect(bench().forwarded()).toEqual([]);
    expect(client.received.toString('latin1').match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    bench().expectClean(client.received);
  });

  it('is never complete at the upstream if part of it was forwarded', async () => {
    bench().upstream.forget();
    const client = await RawClient.open(bench().port);
    client.send(Buffer.concat([Buffer.from(HEAD), chunk(Buffer.alloc(200_000, 'a'))]));
    await expect.poll(() => bench().upstream.received.length).toBeGreaterThan(150_000);
    client.send(`zz\r\n${SMUGGLED}`);
    await client.ending;
    await expect.poll(() => bench().forwarded()).toEqual(['cut short: POST /base/api/x HTTP/1.1']);
    await bench().expectAlive();
    bench().expectClean(client.received);
  });

  it('that stop half-way are never complete', async () => {
    bench().upstream.forget();
    const client = await RawClient.open(bench().port);
    client.send(`${HEAD}5\r\nab`);
    client.socket.end();
    await client.ending;
    await bench().expectAlive();
    expect(bench().forwarded()).toEqual([]);
    bench().expectClean(client.received);
  });
});

function chunked(body: string, expected: string): Accepted['expected'] & { bytes: string } {
  return { sent: 'POST /api/x', body: expected, bytes: HEAD + body };
}

const SOUND: Accepted[] = (
  [
    ['one chunk', '1\r\na\r\n0\r\n\r\n', 'a'],
    ['many chunks', `${'1\r\na\r\n'.repeat(50)}0\r\n\r\n`, 'a'.repeat(50)],
    ['no chunk but the last', '0\r\n\r\n', ''],
    ['a size with leading zeros', '0000000001\r\na\r\n0\r\n\r\n', 'a'],
    ['a size in capitals', 'A\r\n0123456789\r\n0\r\n\r\n', '0123456789'],
    ['a last chunk of many zeros', '1\r\na\r\n0000\r\n\r\n', 'a'],
    ['20 KB of extensions', `${`1;${'x'.repeat(100)}\r\na\r\n`.repeat(200)}0\r\n\r\n`, 'a'.repeat(200)],
    ['an extension', '1;x=y\r\na\r\n0\r\n\r\n', 'a'],
    ['a quoted extension', '1;x="y;z"\r\na\r\n0\r\n\r\n', 'a'],
    ['an extension on the last chunk', '1\r\na\r\n0;x=y\r\n\r\n', 'a'],
    ['data that looks like a chunk', '5\r\n0\r\n\r\n\r\n0\r\n\r\n', '0\r\n\r\n'],
    ['data that looks like a request', `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`, SMUGGLED],
    ['a trailer', '1\r\na\r\n0\r\nX-T: b\r\n\r\n', 'a'],
    ['a trailer named Authorization', '1\r\na\r\n0\r\nAuthorization: Bearer client-canary\r\n\r\n', 'a'],
    ['a trailer named Host', '1\r\na\r\n0\r\nHost: evil.example\r\n\r\n', 'a'],
    ['a trailer named Idempotency-Key', '1\r\na\r\n0\r\nIdempotency-Key: k\r\n\r\n', 'a'],
  ] as const
).map(([name, body, expected]) => {
  const { bytes, ...rest } = chunked(body, expected);
  const headers = {
    'transfer-encoding': [],
    'x-t': [],
    'idempotency-key': [],
    'content-length': [`${expected.length}`],
  };
  return { name, bytes, expected: { ...rest, headers } };
});

describe('a request with valid chunks', () => {
  it.each(SOUND)('is sent once, unchunked and without trailers: $name', async (row) => {
    await expectAccepted(bench(), row);
  });

  it('does not affect the request after its trailers', async () => {
    const bytes = `${HEAD}1\r\na\r\n0\r\nA: b\r\nB: c\r\n\r\n${request('GET /api/next')}`;
    const { responses } = await exchange(bench(), bytes, 2);
    expect(responses.map(({ status }) => status)).toEqual([200, 200]);
    expect(bench().forwarded()).toEqual(['POST /base/api/x', 'GET /base/api/next']);
  });
});

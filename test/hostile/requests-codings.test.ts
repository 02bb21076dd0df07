import { describe, it } from 'vitest';
import { benchForFile } from './support/bench.ts';
import {
  type Accepted,
  expectAccepted,
  expectRefusal,
  type Refused,
  request,
  SMUGGLED,
  visible,
} from './support/request-case.ts';

const bench = benchForFile();

const BODY = '1\r\na\r\n0\r\n\r\n';

function coded(...lines: string[]): string {
  return request('POST /api/x', ...lines) + BODY;
}

/** Spellings of a Transfer-Encoding that some server takes for chunks, and another does not. */
const CODINGS = [
  'chunked, chunked',
  'chunked,chunked',
  'chunked, identity',
  'identity, chunked',
  'gzip, chunked',
  'gzip,chunked',
  'deflate, chunked',
  'chunked, gzip',
  ',chunked',
  'chunked,',
  ', ,chunked',
  'chunked;q=1',
  'chunked; a=b',
  'chunked;',
  'xchunked',
  'chunkedx',
  'chunked x',
  'x chunked',
  'x, chunked',
  '"chunked"',
  "'chunked'",
  'chunk',
  'identity',
  'gzip',
  '\vchunked',
  'chunked\v',
  '\fchunked',
  '\xa0chunked',
  'chunked\0',
  '\0chunked',
  'chun\0ked',
  '',
  'chun\tked',
  'chunked\x85',
  '\x7fchunked',
];

const REFUSED: Refused[] = [
  ...CODINGS.map((coding) => ({
    name: `Transfer-Encoding: ${visible(coding)}`,
    bytes: coded(`Transfer-Encoding: ${coding}`),
    expected: '400 bad_request',
  })),
  ...(
    [
      ['a space before the colon', ['Transfer-Encoding : chunked']],
      ['a tab before the colon', ['Transfer-Encoding\t: chunked']],
      ['a line that begins with a space', [' Transfer-Encoding: chunked']],
      ['two lines of chunked', ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
      ['chunked, then identity', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']],
      ['identity, then chunked', ['Transfer-Encoding: identity', 'Transfer-Encoding: chunked']],
      ['chunked, then an empty line of codings', ['Transfer-Encoding: chunked', 'Transfer-Encoding:']],
      ['an empty line of codings, then chunked', ['Transfer-Encoding:', 'Transfer-Encoding: chunked']],
      ['two lines of chunked in different cases', ['Transfer-Encoding: chunked', 'TRANSFER-ENCODING: chunked']],
      ['a length before chunked', ['Content-Length: 11', 'Transfer-Encoding: chunked']],
      ['a length behind chunked', ['Transfer-Encoding: chunked', 'Content-Length: 11']],
      ['a length of 0 before chunked', ['Content-Length: 0', 'Transfer-Encoding: chunked']],
      ['a length of 0 behind chunked', ['Transfer-Encoding: chunked', 'Content-Length: 0']],
      ['a length before identity', ['Content-Length: 11', 'Transfer-Encoding: identity']],
      ['a length before an unknown coding', ['Content-Length: 11', 'Transfer-Encoding: xchunked']],
      ['a length behind chunked in capitals', ['TRANSFER-ENCODING: CHUNKED', 'CONTENT-LENGTH: 11']],
      ['a folded coding', ['Transfer-Encoding:', ' chunked']],
      ['a coding folded behind a tab', ['Transfer-Encoding:', '\tchunked']],
      ['a coding behind a bare line feed', ['A: b\nTransfer-Encoding: chunked']],
      ['a coding behind a bare carriage return', ['A: b\rTransfer-Encoding: chunked']],
      ['a NUL in the name of the header', ['Transfer-Encoding\0: chunked']],
      ['a NUL before the name of the header', ['\0Transfer-Encoding: chunked']],
      ['a high byte in the name of the header', ['Transfer\xadEncoding: chunked']],
    ] as const
  ).map(([name, lines]) => ({ name, bytes: coded(...lines), expected: '400 bad_request' })),
  {
    name: 'a tab behind chunked, which node only sees once it has given the request out',
    bytes: coded('Transfer-Encoding: chunked\t'),
    expected: '400 bad_request',
  },
  {
    name: 'chunks on HTTP/1.0',
    bytes: request('POST /api/x HTTP/1.0', 'Transfer-Encoding: chunked') + BODY,
    expected: '400 bad_request',
  },
  {
    name: 'chunks on a kept HTTP/1.0 connection',
    bytes: request('POST /api/x HTTP/1.0', 'Connection: keep-alive', 'Transfer-Encoding: chunked') + BODY,
    expected: '400 bad_request',
  },
  {
    name: 'chunks beside a length on HTTP/1.0',
    bytes: request('POST /api/x HTTP/1.0', 'Content-Length: 11', 'Transfer-Encoding: chunked') + BODY,
    expected: '400 bad_request',
  },
  {
    name: 'a length beside chunks on a GET',
    bytes: request('GET /api/x', 'Content-Length: 5', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
    expected: '400 bad_request',
  },
  {
    name: 'an unknown coding on a GET without a body',
    bytes: request('GET /api/x', 'Transfer-Encoding: gzip'),
    expected: '400 bad_request',
  },
];

describe('a request with invalid codings', () => {
  it.each(REFUSED)('is refused and sends nothing: $name', async (row) => {
    await expectRefusal(bench(), row);
  });

  it.each(REFUSED)('cannot smuggle another request: $name', async ({ bytes, ...row }) => {
    await expectRefusal(bench(), { ...row, bytes: bytes.toString('latin1') + SMUGGLED });
  });
});

const CHUNKED = ['chunked', 'CHUNKED', 'Chunked', 'chunked ', '  chunked', '\tchunked'];

const TAKEN: Accepted[] = [
  ...CHUNKED.map((coding) => ({
    name: `Transfer-Encoding: ${visible(coding)}`,
    bytes: coded(`Transfer-Encoding: ${coding}`),
    expected: { sent: 'POST /api/x', body: 'a', headers: { 'content-length': ['1'], 'transfer-encoding': [] } },
  })),
  {
    name: 'no space behind the colon',
    bytes: coded('Transfer-Encoding:chunked'),
    expected: { sent: 'POST /api/x', body: 'a' },
  },
  {
    name: 'the name in odd case',
    bytes: coded('tRANSFER-eNCODING: chunked'),
    expected: { sent: 'POST /api/x', body: 'a' },
  },
  ...['Transfer_Encoding: chunked', 'X-Transfer-Encoding: chunked', 'Transfer-Encodings: chunked'].map((line) => ({
    name: `no coding at all, but ${line}`,
    bytes: request('POST /api/x', 'Content-Length: 1', line) + 'a',
    expected: { sent: 'POST /api/x', body: 'a', headers: { 'content-length': ['1'], transfer_encoding: [] } },
  })),
  ...['TE: chunked', 'TE: trailers, deflate;q=0.5'].map((line) => ({
    name: `no coding at all, but ${line}`,
    bytes: request('POST /api/x', 'Content-Length: 1', line) + 'a',
    expected: { sent: 'POST /api/x', body: 'a', headers: { te: [] } },
  })),
];

describe('a request with valid codings', () => {
  it.each(TAKEN)('is sent once, with a new Content-Length: $name', async (row) => {
    await expectAccepted(bench(), row);
  });
});

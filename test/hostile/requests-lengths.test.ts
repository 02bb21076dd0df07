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

/** What some server reads as a 5, or as no length at all. */
const LENGTHS = [
  '+5',
  '-1',
  '-0',
  '0x5',
  '5,5',
  '5, 5',
  '5,',
  ',5',
  '5;',
  '5.0',
  '5e0',
  '5 5',
  '5\t5',
  '"5"',
  '5a',
  'five',
  '\v5',
  '5\v',
  '\f5',
  '5\0',
  '\xa05',
  '\xb2',
  '5\x7f',
  '',
  ' ',
  '18446744073709551616',
  '18446744073709551621',
  '99999999999999999999999999',
];

const REFUSED: Refused[] = [
  ...LENGTHS.map((length) => ({
    name: `Content-Length: ${visible(length)}`,
    bytes: request('POST /api/x', `Content-Length: ${length}`) + 'abcde',
    expected: '400 bad_request',
  })),
  ...(
    [
      ['the same length twice', ['Content-Length: 5', 'Content-Length: 5']],
      ['two lengths', ['Content-Length: 5', 'Content-Length: 6']],
      ['two lengths, the smaller behind', ['Content-Length: 5', 'Content-Length: 0']],
      ['two lengths, the first of them 0', ['Content-Length: 0', 'Content-Length: 5']],
      ['two lengths in different cases', ['Content-Length: 5', 'CONTENT-LENGTH: 5']],
      ['a length and an empty one', ['Content-Length: 5', 'Content-Length:']],
      ['two lengths with a header between', ['Content-Length: 5', 'A: b', 'Content-Length: 6']],
      ['a space before the colon', ['Content-Length : 5']],
      ['a tab before the colon', ['Content-Length\t: 5']],
      ['a folded length', ['Content-Length:', ' 5']],
      ['a length that goes on behind a fold', ['Content-Length: 5', ' 5']],
      ['a length behind a bare line feed', ['A: b\nContent-Length: 5']],
      ['a length behind a bare carriage return', ['A: b\rContent-Length: 5']],
      ['a NUL in the name', ['Content-Length\0: 5']],
    ] as const
  ).map(([name, lines]) => ({ name, bytes: request('POST /api/x', ...lines) + 'abcde', expected: '400 bad_request' })),
  {
    name: 'two lengths on a GET',
    bytes: request('GET /api/x', 'Content-Length: 0', 'Content-Length: 5') + 'abcde',
    expected: '400 bad_request',
  },
  {
    name: 'two lengths on HTTP/1.0',
    bytes: request('POST /api/x HTTP/1.0', 'Content-Length: 5', 'Content-Length: 6') + 'abcde',
    expected: '400 bad_request',
  },
];

describe('a request with an invalid length', () => {
  it.each(REFUSED)('is refused and sends nothing: $name', async (row) => {
    await expectRefusal(bench(), row);
  });

  it.each(REFUSED)('cannot smuggle another request: $name', async ({ bytes, ...row }) => {
    await expectRefusal(bench(), { ...row, bytes: bytes.toString('latin1') + SMUGGLED });
  });
});

const TOO_LONG = ['10485761', '99999999999', '9007199254740993', '9223372036854775807', '18446744073709551615'];

describe('a length above max_body', () => {
  it.each(TOO_LONG)('is refused before the body is read, and none of it is read as a request: %s', async (length) => {
    const bytes = request('POST /api/x', `Content-Length: ${length}`) + SMUGGLED;
    await expectRefusal(bench(), { name: length, bytes, expected: '413 body_too_large' });
  });
});

const TAKEN: Accepted[] = [
  ...['5', '05', '0000000000000000000005', ' 5 ', '\t5\t'].map((length) => ({
    name: `Content-Length: ${visible(length)}`,
    bytes: request('POST /api/x', `Content-Length: ${length}`) + 'abcde',
    expected: { sent: 'POST /api/x', body: 'abcde', headers: { 'content-length': ['5'] } },
  })),
  {
    name: 'a length of 0',
    bytes: request('POST /api/x', 'Content-Length: 0'),
    expected: { sent: 'POST /api/x', headers: { 'content-length': ['0'] } },
  },
  {
    name: 'many zeros',
    bytes: request('POST /api/x', 'Content-Length: 000'),
    expected: { sent: 'POST /api/x', headers: { 'content-length': ['0'] } },
  },
  {
    name: 'a body on a GET',
    bytes: request('GET /api/x', 'Content-Length: 5') + 'abcde',
    expected: { sent: 'GET /api/x', body: 'abcde', headers: { 'content-length': ['5'] } },
  },
  {
    name: 'a body that looks like a request',
    bytes: request('POST /api/x', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED,
    expected: { sent: 'POST /api/x', body: SMUGGLED },
  },
  {
    name: 'a length on HTTP/1.0',
    bytes: request('POST /api/x HTTP/1.0', 'Content-Length: 5') + 'abcde',
    expected: { sent: 'POST /api/x', body: 'abcde', headers: { 'content-length': ['5'] } },
  },
  ...['Content_Length: 3', 'content_length: 7', 'CONTENT_LENGTH: 0'].map((line) => ({
    name: `a length beside ${line}`,
    bytes: request('POST /api/x', line, 'Content-Length: 5') + 'abcde',
    expected: { sent: 'POST /api/x', body: 'abcde', headers: { 'content-length': ['5'], content_length: [] } },
  })),
  {
    name: 'an underscored length alone, which is none',
    bytes: request('GET /api/x', 'Content_Length: 5'),
    expected: { sent: 'GET /api/x', headers: { 'content-length': [], content_length: [] } },
  },
];

describe('a request with a valid length', () => {
  it.each(TAKEN)('is sent once, with that length in plain decimals: $name', async (row) => {
    await expectAccepted(bench(), row);
  });
});

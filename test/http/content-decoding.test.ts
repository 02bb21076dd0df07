import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ContentError, decodeContent, decodedText } from '../../src/http/content-decoding.ts';

const LIMIT = 64 * 1024;
const PLAIN = Buffer.from('{"access_token":"á"}');

function problemOf(body: Buffer, codings: string) {
  try {
    decodeContent(body, codings, LIMIT);
  } catch (error) {
    if (error instanceof ContentError) return error.problem;
    throw error;
  }
  throw new Error('expected a problem');
}

describe('decodeContent', () => {
  it.each<[codings: string, encode: (plain: Buffer) => Buffer]>([
    ['gzip', gzipSync],
    ['X-GZIP', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['gzip, br', (plain) => brotliCompressSync(gzipSync(plain))],
    ['identity , gzip,', gzipSync],
    ['utf-8', (plain) => plain],
    ['identity', (plain) => plain],
    ['', (plain) => plain],
  ])('undoes %j', (codings, encode) => {
    expect(decodeContent(encode(PLAIN), codings, LIMIT)).toEqual(PLAIN);
  });

  it('returns a body without a Content-Encoding as it is', () => {
    expect(decodeContent(PLAIN, undefined, LIMIT)).toBe(PLAIN);
  });

  it('an empty body has no coding, as in the response to a HEAD', () => {
    expect(decodeContent(Buffer.alloc(0), 'gzip', LIMIT)).toHaveLength(0);
  });

  it.each(['dcb', 'toString', '__proto__', 'aws-chunked'])('does not know %j', (coding) => {
    expect(problemOf(PLAIN, coding)).toEqual({ kind: 'unknown_coding', coding: coding.toLowerCase() });
  });

  it.each([
    ['gzip', gzipSync(PLAIN).subarray(0, -3)],
    ['deflate', deflateSync(PLAIN).subarray(0, -3)],
    ['deflate', deflateRawSync(PLAIN).subarray(0, -3)],
    ['br', brotliCompressSync(PLAIN).subarray(0, -3)],
    ['zstd', zstdCompressSync(PLAIN).subarray(0, -3)],
    ['gzip', PLAIN],
    ['zstd', PLAIN],
  ])('refuses broken or truncated %s', (coding, body) => {
    expect(problemOf(body, coding)).toEqual({ kind: 'broken', coding });
  });

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ])('stops at the limit in a %s bomb', (coding, encode) => {
    expect(problemOf(encode(Buffer.alloc(20_000_000)), coding)).toEqual({ kind: 'too_long', coding });
  });

  it('stops at the limit in each layer of a nested bomb', () => {
    const nested = gzipSync(gzipSync(Buffer.alloc(200_000_000)));
    expect(problemOf(nested, 'gzip, gzip').kind).toBe('too_long');
  });

  it('undoes four codings, and refuses five', () => {
    const encoded = gzipSync(gzipSync(gzipSync(gzipSync(PLAIN))));
    expect(decodeContent(encoded, 'gzip, gzip, gzip, gzip', LIMIT)).toEqual(PLAIN);
    expect(problemOf(gzipSync(encoded), 'gzip, gzip, gzip, gzip, gzip').kind).toBe('unknown_coding');
  });

  it('refuses more codings than a server applies, and shortens what it quotes', () => {
    const { kind, coding } = problemOf(PLAIN, Array(5000).fill('gzip').join(','));
    expect([kind, coding.length]).toEqual(['unknown_coding', 30]);
    expect(problemOf(PLAIN, 'a\u0000\u001b[31mb').coding).toBe('a [31mb');
  });
});

describe('decodedText', () => {
  const MARK = '\ufeff';
  it.each([
    ['UTF-8', Buffer.from('{"á":1}'), undefined],
    ['UTF-8 with its mark', Buffer.from(`${MARK}{"á":1}`), 'application/json'],
    ['UTF-8 with its mark, said to be Latin-1', Buffer.from(`${MARK}{"á":1}`), 'application/json; charset=iso-8859-1'],
    ['UTF-16LE with its mark', Buffer.from(`${MARK}{"á":1}`, 'utf16le'), undefined],
    ['UTF-16BE with its mark', Buffer.from(`${MARK}{"á":1}`, 'utf16le').swap16(), 'application/json; charset=utf-8'],
    ['UTF-16LE by its Content-Type', Buffer.from('{"á":1}', 'utf16le'), 'application/json;charset="UTF-16LE"'],
    ['Latin-1 by its Content-Type', Buffer.from('{"á":1}', 'latin1'), 'text/plain; charset=ISO-8859-1'],
    ['UTF-8 for an unknown charset', Buffer.from('{"á":1}'), 'application/json; charset=klingon'],
  ])('reads %s', (_, body, contentType) => {
    const headers = contentType === undefined ? [] : ['Content-Type', contentType];
    expect(decodedText(body, headers, LIMIT)).toBe('{"á":1}');
  });
});

import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { DeadTokenRules } from '../../src/proxy/route.ts';
import { mpesa } from '../../src/providers/mpesa.ts';

const rules = new DeadTokenRules(mpesa.deadToken);

function body(errorCode: unknown): Buffer {
  return Buffer.from(JSON.stringify({ requestId: '1', errorCode, errorMessage: 'Invalid Access Token' }));
}

describe('DeadTokenRules', () => {
  it.each([
    [401, 'dead'],
    [404, 'look'],
    [400, 'look'],
    [200, 'alive'],
    [403, 'alive'],
    [402, 'alive'],
    [500, 'alive'],
  ])('makes of status %i alone: %s', (status, verdict) => {
    expect(rules.status(status)).toBe(verdict);
  });

  it('calls a status dead that has one rule without a body among others', () => {
    const mixed = new DeadTokenRules([{ status: 403, body: { code: 'x' } }, { status: 403 }]);
    expect(mixed.status(403)).toBe('dead');
  });

  it('takes every status for alive where there are no rules', () => {
    expect(new DeadTokenRules([]).status(401)).toBe('alive');
  });

  it.each([
    [404, '404.001.03', true],
    [400, '400.003.01', true],
    [404, '400.003.01', false],
    [400, '404.001.03', false],
    [404, '404.001.01', false],
    [404, '404.001.030', false],
    [404, 404, false],
    [500, '404.001.03', false],
  ])('judges %i with %s: %s', (status, errorCode, dead) => {
    expect(rules.body(status, body(errorCode), undefined)).toBe(dead);
  });

  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    [' GZIP ', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['identity', (bytes: Buffer) => bytes],
  ])('looks into a body in %s', (encoding, compress) => {
    expect(rules.body(404, compress(body('404.001.03')), encoding)).toBe(true);
    expect(rules.body(404, compress(body('404.001.01')), encoding)).toBe(false);
  });

  it.each([
    ['an HTML page', Buffer.from('<h1>404.001.03</h1>'), undefined],
    ['nothing', Buffer.alloc(0), undefined],
    ['half a JSON', body('404.001.03').subarray(0, 40), undefined],
    ['null', Buffer.from('null'), undefined],
    ['a list', Buffer.from('["404.001.03"]'), undefined],
    ['a text', Buffer.from('"404.001.03"'), undefined],
    ['broken gzip', gzipSync(body('404.001.03')).subarray(0, 20), 'gzip'],
    ['plain text that says it is gzip', body('404.001.03'), 'gzip'],
    ['an encoding it does not know', body('404.001.03').reverse(), 'zstd'],
  ])('takes %s for a token that is alive', (_, bytes, encoding) => {
    expect(rules.body(404, bytes, encoding)).toBe(false);
  });

  it('unpacks up to 64 KiB and no more', () => {
    const padded = (length: number) => {
      const bare = body('404.001.03');
      return gzipSync(Buffer.concat([bare, Buffer.alloc(length - bare.length, ' ')]));
    };
    expect(rules.body(404, padded(64 * 1024), 'gzip')).toBe(true);
    expect(rules.body(404, padded(64 * 1024 + 1), 'gzip')).toBe(false);
  });

  it('wants every field of one rule, deep ones and numbers too', () => {
    const deep = new DeadTokenRules([{ status: 200, body: { 'error.code': 7, 'error.kind': 'auth' } }]);
    const said = (error: object) => Buffer.from(JSON.stringify({ error }));
    expect(deep.body(200, said({ code: 7, kind: 'auth', more: true }), undefined)).toBe(true);
    expect(deep.body(200, said({ code: 7 }), undefined)).toBe(false);
    expect(deep.body(200, said({ code: '7', kind: 'auth' }), undefined)).toBe(false);
  });

  it('never looks beyond own keys', () => {
    const sly = new DeadTokenRules([{ status: 400, body: { 'constructor.name': 'Object' } }]);
    expect(sly.body(400, Buffer.from('{}'), undefined)).toBe(false);
  });
});

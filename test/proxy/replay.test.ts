import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { DeadTokenRules, decideReplay, unsentReplay } from '../../src/proxy/replay.ts';

const rules = new DeadTokenRules(mpesa.deadToken);

function body(errorCode: unknown): Buffer {
  return Buffer.from(JSON.stringify({ requestId: '1', errorCode, errorMessage: 'Invalid Access Token' }));
}

describe('DeadTokenRules', () => {
  it.each([
    [401, 'dead'],
    [404, 'depends_on_body'],
    [400, 'depends_on_body'],
    [200, 'alive'],
    [403, 'alive'],
    [402, 'alive'],
    [500, 'alive'],
  ])('classifies status %i as %s', (status, classification) => {
    expect(rules.classifyStatus(status)).toBe(classification);
  });

  it('a rule without a body decides for its status, whatever other rules there are', () => {
    const mixed = new DeadTokenRules([{ status: 403, body: { code: 'x' } }, { status: 403 }]);
    expect(mixed.classifyStatus(403)).toBe('dead');
  });

  it('without rules, every status is alive', () => {
    expect(new DeadTokenRules([]).classifyStatus(401)).toBe('alive');
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
  ])('a body with status %i and code %s matches: %s', (status, errorCode, dead) => {
    expect(rules.inspectBody(status, body(errorCode), [])).toBe(dead);
  });

  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    [' GZIP ', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['zstd', zstdCompressSync],
    ['gzip, br', (bytes: Buffer) => brotliCompressSync(gzipSync(bytes))],
    ['identity', (bytes: Buffer) => bytes],
  ])('decodes a body with Content-Encoding %j', (encoding, compress) => {
    expect(rules.inspectBody(404, compress(body('404.001.03')), ['Content-Encoding', encoding])).toBe(true);
    expect(rules.inspectBody(404, compress(body('404.001.01')), ['Content-Encoding', encoding])).toBe(false);
  });

  it.each([
    ['an HTML page', Buffer.from('<h1>404.001.03</h1>')],
    ['nothing', Buffer.alloc(0)],
    ['half a JSON', body('404.001.03').subarray(0, 40)],
    ['null', Buffer.from('null')],
    ['a list', Buffer.from('["404.001.03"]')],
    ['a text', Buffer.from('"404.001.03"')],
  ])('%s does not match', (_, bytes) => {
    expect(rules.inspectBody(404, bytes, [])).toBe(false);
  });

  it.each([
    ['broken gzip', gzipSync(body('404.001.03')).subarray(0, 20), 'gzip', 'broken'],
    ['plain text that says it is gzip', body('404.001.03'), 'gzip', 'broken'],
    ['a coding that is not known', body('404.001.03').reverse(), 'dcb', 'unknown_coding'],
    ['a body of more than 64 KiB after decoding', gzipSync(Buffer.alloc(64 * 1024 + 1, ' ')), 'gzip', 'too_long'],
  ])('%s cannot be checked', (_, bytes, coding, kind) => {
    expect(rules.inspectBody(404, bytes, ['content-encoding', coding])).toEqual({ kind, coding });
  });

  it.each([
    ['a UTF-8 byte-order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), body('404.001.03')]), []],
    ['UTF-16 and its mark', Buffer.from(`\ufeff${body('404.001.03').toString()}`, 'utf16le'), []],
    [
      'UTF-16 by its Content-Type',
      Buffer.from(body('404.001.03').toString(), 'utf16le'),
      ['content-type', 'application/json; charset=utf-16'],
    ],
  ])('reads a body with %s', (_, bytes, headers) => {
    expect(rules.inspectBody(404, bytes, headers)).toBe(true);
  });

  it('asks for one warning an hour for each kind of problem', () => {
    const fresh = new DeadTokenRules(mpesa.deadToken);
    const hour = 3_600_000;
    expect(fresh.shouldWarn('broken', 0)).toBe(true);
    expect(fresh.shouldWarn('broken', hour - 1)).toBe(false);
    expect(fresh.shouldWarn('too_long', 1)).toBe(true);
    expect(fresh.shouldWarn('broken', hour)).toBe(true);
  });

  it('decompresses up to 64 KiB', () => {
    const padded = (length: number) => {
      const bare = body('404.001.03');
      return gzipSync(Buffer.concat([bare, Buffer.alloc(length - bare.length, ' ')]));
    };
    expect(rules.inspectBody(404, padded(64 * 1024), ['content-encoding', 'gzip'])).toBe(true);
  });

  it('all fields of a rule must match, including nested fields and numbers', () => {
    const deep = new DeadTokenRules([{ status: 200, body: { 'error.code': 7, 'error.kind': 'auth' } }]);
    const bodyWith = (error: object) => Buffer.from(JSON.stringify({ error }));
    expect(deep.inspectBody(200, bodyWith({ code: 7, kind: 'auth', more: true }), [])).toBe(true);
    expect(deep.inspectBody(200, bodyWith({ code: 7 }), [])).toBe(false);
    expect(deep.inspectBody(200, bodyWith({ code: 8, kind: 'auth' }), [])).toBe(false);
  });

  it('ignores inherited properties', () => {
    const prototype = new DeadTokenRules([{ status: 400, body: { 'constructor.name': 'Object' } }]);
    expect(prototype.inspectBody(400, Buffer.from('{}'), [])).toBe(false);
  });
});

const REPLAYED = {
  attempt: 1,
  method: 'POST',
  policy: true,
  isHandshake: false,
  body: 'bytes',
  isClientGone: false,
} as const;

describe('decideReplay', () => {
  it.each([
    ['the first attempt of any method', {}],
    ['a request without a body', { body: 'none' }],
    ['a method on the list', { policy: new Set(['GET', 'POST']) }],
  ] as const)('replays %s', (_, change) => {
    expect(decideReplay({ ...REPLAYED, ...change })).toBe('replay');
  });

  it.each([
    ['the second attempt', { attempt: 2 }],
    ['a streamed body', { body: 'stream' }],
    ['a client that is gone', { isClientGone: true }],
    ['a WebSocket handshake', { isHandshake: true }],
    ['`replay: false`', { policy: false }],
    ['a method that is not on the list', { policy: new Set(['GET', 'PUT']) }],
    ['an empty list', { policy: new Set<string>() }],
  ] as const)('relays the refusal for %s, whatever the rest', (_, change) => {
    for (const attempt of [1, 2]) {
      for (const body of ['none', 'bytes', 'stream'] as const) {
        for (const isClientGone of [false, true]) {
          for (const isHandshake of [false, true]) {
            const refused = { ...REPLAYED, attempt, body, isClientGone, isHandshake, ...change };
            expect(decideReplay(refused)).toBe('relay');
          }
        }
      }
    }
  });
});

describe('unsentReplay', () => {
  it('keeps code, outcome, reason and cause, and tells of the first attempt', () => {
    const reason = { kind: 'network', code: 'ECONNREFUSED', host: 'api.example.com' } as const;
    const cause = new Error('no');
    const error = new ProxyError('upstream_unreachable', 'Could not connect.', { reason, cause });
    const replay = unsentReplay(error, 401);
    expect(replay).toMatchObject({ code: 'upstream_unreachable', outcome: 'not_sent', reason, cause, status: 502 });
    expect(replay.message).toBe(
      'Could not connect. This was the second attempt: the provider refused the first one with status 401 because of ' +
        'its token and did not act on it.',
    );
  });
});

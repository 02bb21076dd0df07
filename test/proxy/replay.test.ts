import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
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
    expect(rules.matchesBody(status, body(errorCode), undefined)).toBe(dead);
  });

  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    [' GZIP ', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['identity', (bytes: Buffer) => bytes],
  ])('decodes a body with Content-Encoding %j', (encoding, compress) => {
    expect(rules.matchesBody(404, compress(body('404.001.03')), encoding)).toBe(true);
    expect(rules.matchesBody(404, compress(body('404.001.01')), encoding)).toBe(false);
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
  ])('%s does not match', (_, bytes, encoding) => {
    expect(rules.matchesBody(404, bytes, encoding)).toBe(false);
  });

  it('decompresses up to 64 KiB', () => {
    const padded = (length: number) => {
      const bare = body('404.001.03');
      return gzipSync(Buffer.concat([bare, Buffer.alloc(length - bare.length, ' ')]));
    };
    expect(rules.matchesBody(404, padded(64 * 1024), 'gzip')).toBe(true);
    expect(rules.matchesBody(404, padded(64 * 1024 + 1), 'gzip')).toBe(false);
  });

  it('all fields of a rule must match, including nested fields and numbers', () => {
    const deep = new DeadTokenRules([{ status: 200, body: { 'error.code': 7, 'error.kind': 'auth' } }]);
    const bodyWith = (error: object) => Buffer.from(JSON.stringify({ error }));
    expect(deep.matchesBody(200, bodyWith({ code: 7, kind: 'auth', more: true }), undefined)).toBe(true);
    expect(deep.matchesBody(200, bodyWith({ code: 7 }), undefined)).toBe(false);
    expect(deep.matchesBody(200, bodyWith({ code: '7', kind: 'auth' }), undefined)).toBe(false);
  });

  it('ignores inherited properties', () => {
    const prototype = new DeadTokenRules([{ status: 400, body: { 'constructor.name': 'Object' } }]);
    expect(prototype.matchesBody(400, Buffer.from('{}'), undefined)).toBe(false);
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

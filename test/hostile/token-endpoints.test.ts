import { describe, expect, it, vi } from 'vitest';
import type { LogEvent } from '../../src/logger.ts';
import { json, reply, TOKEN_PATH } from '../support/upstream-raw.ts';
import {
  authorizations,
  call,
  GOOD,
  HOUR_MS,
  startTokenBench,
  summary,
  TOKEN,
  tokenNamed,
  tokenOf,
  type TokenScript,
} from './support/token-endpoint.ts';

const page = (status: number) => reply(status, '<html>Maintenance</html>', 'content-type: text/html');
const jsonText = (text: string) => reply(200, text, 'content-type: application/json');
const OK = 'HTTP/1.1 200 OK\r\n';

/** A token endpoint that issues no usable token. */
interface Broken {
  readonly name: string;
  readonly script: TokenScript;
  /** What its callers get, if not a 503. */
  readonly expected?: string;
}

const DENIED = '502 token_denied not_sent';

const BROKEN: readonly Broken[] = [
  { name: 'down', script: (socket) => void socket.resetAndDestroy() },
  { name: 'closing at once', script: (socket) => void socket.end() },
  { name: 'responding with junk', script: () => 'junk\r\n\r\n' },
  { name: 'responding with 500', script: () => json(500, { error: 'x' }) },
  { name: 'responding with 502 with HTML', script: () => page(502) },
  { name: 'responding with 429', script: () => json(429, {}) },
  { name: 'responding with 200 with HTML', script: () => page(200) },
  { name: 'responding with 200 with nothing', script: () => reply(200) },
  { name: 'responding with 204', script: () => 'HTTP/1.1 204 No Content\r\n\r\n' },
  { name: 'responding with junk for JSON', script: () => jsonText('junk') },
  { name: 'responding with half a JSON', script: () => jsonText('{"access_token":"scripted-tok') },
  {
    name: 'cut within its body',
    script: (socket) => void socket.end(`${OK}content-length: 99\r\n\r\n{"access_token":"a"}`),
  },
  {
    name: 'cut within its chunks',
    script: (socket) => void socket.end(`${OK}transfer-encoding: chunked\r\n\r\n5\r\n{"a`),
  },
  { name: 'redirecting', script: () => reply(302, '', 'location: http://127.0.0.1:1/') },
  { name: 'redirecting to itself', script: () => reply(307, '', 'location: /issue/token') },
  { name: 'responding with status 099', script: () => 'HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n' },
  { name: 'responding with status 999', script: () => 'HTTP/1.1 999 High\r\ncontent-length: 0\r\n\r\n' },
  { name: 'switching protocols', script: () => 'HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n' },
  { name: 'responding with two lengths', script: () => `${OK}content-length: 2\r\ncontent-length: 3\r\n\r\n{}` },
  {
    name: 'responding with a head of 100 KB',
    script: () => reply(200, JSON.stringify(TOKEN), `a: ${'b'.repeat(100_000)}`),
  },
  { name: 'responding with 70 KB', script: () => tokenOf({ ...TOKEN, padding: 'x'.repeat(70_000) }) },
  { name: 'responding with null', script: () => jsonText('null') },
  { name: 'responding with a list', script: () => tokenOf([TOKEN]) },
  { name: 'responding with a text', script: () => jsonText('"scripted-token-1"') },
  { name: 'responding with a deep list', script: () => jsonText('['.repeat(30_000)) },
  { name: 'responding with no token', script: () => tokenOf({ expires_in: 3600 }) },
  ...[
    '',
    '   ',
    'Bearer ',
    null,
    12345,
    true,
    { value: 'x' },
    ['scripted-token-1'],
    'a\r\nX-Injected: b',
    'a\nb',
    'a\0b',
    'a b',
    'Basic abc def',
    'a\u20ac',
    'a'.repeat(9000),
  ].map((token) => ({
    name: `responding with the token ${JSON.stringify(token).slice(0, 30)}`,
    script: () => tokenOf({ access_token: token, expires_in: 3600 }),
  })),
  { name: 'refusing the credentials', script: () => json(401, { error: 'invalid_client' }), expected: DENIED },
  { name: 'refusing them with 400', script: () => json(400, { error: 'invalid_client' }), expected: DENIED },
  { name: 'refusing them with an empty 403', script: () => reply(403), expected: DENIED },
  { name: 'behind a firewall that responds with 403', script: () => page(403) },
];

describe.each(BROKEN)('a token endpoint that is $name', ({ script, expected = '503 token_unavailable not_sent' }) => {
  it('costs one exchange for all callers, sends nothing to the API, and serves once it works', async () => {
    const bench = await startTokenBench(script);
    const first = await Promise.all(Array.from({ length: 5 }, () => call(bench)));
    expect(new Set(first.map(summary))).toEqual(new Set([expected]));
    expect(summary(await call(bench))).toBe(expected);
    expect([bench.endpoint.exchanges, bench.upstream.requests.length]).toEqual([1, 0]);
    bench.endpoint.script = GOOD;
    bench.clock.shiftMs += 1001;
    expect(summary(await call(bench))).toBe('200 fetched');
    expect(authorizations(bench.upstream)).toEqual([`Bearer ${tokenNamed(2)}`]);
    expect(bench.proxy.logText()).not.toMatch(/canary-api-key|scripted-token/);
  });

  it('has no effect while the token is valid', async () => {
    const bench = await startTokenBench(GOOD);
    expect(summary(await call(bench))).toBe('200 fetched');
    bench.endpoint.script = script;
    // Within the margin: due for a refresh, and valid.
    bench.clock.shiftMs += HOUR_MS - 10_000;
    for (let i = 0; i < 5; i++) expect(summary(await call(bench))).toBe('200 cached');
    expect(new Set(authorizations(bench.upstream))).toEqual(new Set([`Bearer ${tokenNamed(1)}`]));
    expect(bench.endpoint.exchanges).toBeLessThanOrEqual(2);
  });
});

describe('a token endpoint that is silent', () => {
  it.each<[string, TokenScript]>([
    ['altogether', () => undefined],
    ['within its head', () => 'HTTP/1.1 200 OK\r\n'],
    ['within its body', () => 'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"acc'],
    ['behind an interim response', () => 'HTTP/1.1 102 Processing\r\n\r\n'],
  ])('%s results in 503 at the deadline, and one exchange for all', async (_, script) => {
    const bench = await startTokenBench(script, { timeout: '200ms' });
    const responses = await Promise.all(Array.from({ length: 20 }, () => call(bench)));
    expect(new Set(responses.map(summary))).toEqual(new Set(['503 token_unavailable not_sent']));
    expect([bench.endpoint.exchanges, bench.upstream.requests.length]).toEqual([1, 0]);
  });

  it('is not awaited while the token is valid', async () => {
    const bench = await startTokenBench(GOOD);
    await call(bench);
    bench.endpoint.script = () => undefined;
    bench.clock.shiftMs += HOUR_MS - 10_000;
    for (let i = 0; i < 5; i++) expect(summary(await call(bench))).toBe('200 cached');
    expect(bench.endpoint.exchanges).toBe(2);
  });
});

describe('a token endpoint that responds without end', () => {
  it.each([
    ['with a length', 'HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n', (piece: string) => piece],
    [
      'in chunks',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
      (piece: string) => `${piece.length.toString(16)}\r\n${piece}\r\n`,
    ],
  ])('%s is aborted after a limited number of bytes', async (_, head, framed) => {
    let written = 0;
    const bench = await startTokenBench((socket) => {
      const piece = framed('x'.repeat(10_000));
      socket.write(head);
      const more = () => {
        for (let hasSpace = true; hasSpace && written < 100_000_000 && socket.writable; written += piece.length) {
          hasSpace = socket.write(piece);
        }
      };
      socket.on('drain', more);
      more();
      return undefined;
    });
    expect(summary(await call(bench))).toBe('503 token_unavailable not_sent');
    expect(written).toBeLessThan(16_000_000);
    bench.endpoint.script = GOOD;
    bench.clock.shiftMs += 1001;
    expect(summary(await call(bench))).toBe('200 fetched');
  });
});

describe('a storm', () => {
  it.each<[string, TokenScript]>([
    ['of a token endpoint that is down', (socket) => void socket.resetAndDestroy()],
    ['of refused credentials', () => json(401, {})],
  ])('of 200 requests during the backoff %s costs one exchange', async (_, script) => {
    const bench = await startTokenBench(script);
    for (let i = 0; i < 10; i++) {
      const responses = await Promise.all(Array.from({ length: 20 }, () => call(bench)));
      expect(responses.every(({ status }) => status === 502 || status === 503)).toBe(true);
    }
    expect([bench.endpoint.exchanges, bench.upstream.requests.length]).toEqual([1, 0]);
  });

  it('of 200 requests on a cold start costs one exchange', async () => {
    const bench = await startTokenBench(GOOD);
    const responses = await Promise.all(Array.from({ length: 200 }, () => call(bench)));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(bench.endpoint.exchanges).toBe(1);
  });

  it('backs off longer each time', async () => {
    const bench = await startTokenBench((socket) => void socket.resetAndDestroy());
    for (let i = 0; i < 600; i++) {
      await call(bench);
      bench.clock.shiftMs += 500;
    }
    // 300 s, at 15 s or more between two of them in the end.
    expect(bench.endpoint.exchanges).toBeLessThan(30);
    expect(bench.endpoint.exchanges).toBeGreaterThan(8);
  });

  it('of failures of the token endpoint never interrupts service while the token is valid', async () => {
    const bench = await startTokenBench((socket, request, number) =>
      number % 2 === 1 ? GOOD(socket, request, number) : json(500, {}),
    );
    const times = (event: LogEvent) => bench.proxy.log.filter((line) => line['event'] === event).length;
    for (let i = 1; i <= 20; i++) {
      expect((await call(bench)).status).toBe(200);
      // From the second time on, in the background.
      await vi.waitUntil(() => times('token_fetched') === i, 10_000);
      bench.clock.shiftMs += HOUR_MS - 20_000;
      expect((await call(bench)).status).toBe(200);
      // The background refresh fails. The rest of the lifetime is longer than the backoff.
      await vi.waitUntil(() => times('token_exchange_failed') === i, 10_000);
      bench.clock.shiftMs += 10_000;
    }
    expect(bench.endpoint.exchanges).toBeLessThanOrEqual(61);
    expect(authorizations(bench.upstream).every((value) => /^Bearer scripted-token-\d+$/.test(value))).toBe(true);
  });
});

describe('Retry-After', () => {
  it.each([
    ['60', 60],
    ['0', 1],
    ['-5', 1],
    ['junk', 1],
    ['99999999', 3600],
    ['60, 70', 1],
  ])('of %j is respected within limits', async (value, seconds) => {
    const bench = await startTokenBench(() => json(429, {}, `retry-after: ${value}`));
    const response = await call(bench);
    expect([summary(response), response.header('retry-after')]).toEqual([
      '503 token_unavailable not_sent',
      `${seconds}`,
    ]);
    bench.endpoint.script = GOOD;
    bench.clock.shiftMs += seconds * 500 - 100;
    expect(summary(await call(bench))).toBe('503 token_unavailable not_sent');
    bench.clock.shiftMs += seconds * 500 + 200;
    expect(summary(await call(bench))).toBe('200 fetched');
  });
});

describe('a token endpoint that is slow', () => {
  const slow =
    (delayMs: number): TokenScript =>
    (socket, _, number) => {
      setTimeout(() => socket.write(tokenOf({ ...TOKEN, access_token: tokenNamed(number) })), delayMs);
      return undefined;
    };

  it('serves the next request with a token that came too late for the first', async () => {
    const bench = await startTokenBench(slow(600), { timeout: '200ms' });
    expect(summary(await call(bench))).toBe('503 token_unavailable not_sent');
    await vi.waitFor(() => expect(bench.proxy.log.some(({ event }) => event === 'token_fetched')).toBe(true));
    expect(summary(await call(bench))).toBe('200 cached');
    expect(bench.endpoint.exchanges).toBe(1);
  });

  it('has failed after `token.timeout`', async () => {
    const token = { request: { path: TOKEN_PATH }, response: { access_token: 'access_token' }, timeout: '200ms' };
    const bench = await startTokenBench(() => undefined, { token, credentials: {} });
    const response = await call(bench);
    expect(summary(response)).toBe('503 token_unavailable not_sent');
    expect(response.json()['detail']).toContain('within 0.2 s');
    expect(response.json()['detail']).toContain('raise `token.timeout`');
    bench.endpoint.script = GOOD;
    bench.clock.shiftMs += 1001;
    expect(summary(await call(bench))).toBe('200 fetched');
  });
});

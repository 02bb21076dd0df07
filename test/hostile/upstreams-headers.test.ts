import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { valuesOf } from '../support/raw-message.ts';
import { SPELLINGS } from '../support/spellings.ts';
import { benchForFile } from './support/bench.ts';
import { expectResponse, head, relayed } from './support/response-case.ts';
import type { Respond } from './support/strict-upstream.ts';

const bench = benchForFile();

const OK = 'HTTP/1.1 200 OK';

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])('with %i is relayed and not followed', async (status) => {
    const seen: Socket[] = [];
    const other = createServer((socket) => void seen.push(socket.on('error', () => {}))).listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/elsewhere?a=b`;
    const response = head(`HTTP/1.1 ${status} Elsewhere`, `location: ${location}`, 'content-length: 0');
    await expectResponse(bench(), {
      name: '',
      method: 'POST',
      response,
      expected: relayed(status, '', { location: [location] }),
    });
    expect(seen).toEqual([]);
  });
});

describe('headers of a response', () => {
  it.each([
    ['in a header', (token: string) => [`x-echo: ${token}`]],
    ['as Authorization', (token: string) => [`authorization: Bearer ${token}`]],
    ['in the midst of a value', (token: string) => [`x-echo: a${token}b`]],
    ['in two lines', (token: string) => [`x-echo: ${token}`, `X-ECHO: ${token}`]],
    ['in a cookie', (token: string) => [`set-cookie: a=b`, `set-cookie: token=${token}; path=/`]],
    ['in a challenge', (token: string) => [`www-authenticate: Bearer realm="${token}"`]],
    ['in a redirect', (token: string) => [`location: /x?token=${token}`]],
    ['in the name of a header', (token: string) => [`${token}: x`]],
    ['within the name of a header', (token: string) => [`x-${token}-y: x`]],
    ['in a header that Connection names', (token: string) => ['connection: x-echo', `x-echo: ${token}`]],
    ['in Connection itself', (token: string) => [`connection: ${token}`]],
    ['as the request id', (token: string) => [`x-request-id: ${token}`]],
  ])('never return the token %s', async (_, lines) => {
    const response: Respond = (__, request) => {
      const token = valuesOf(request, 'authorization').join().slice('Bearer '.length);
      return `${head(OK, ...lines(token), 'content-length: 4')}fine`;
    };
    await expectResponse(bench(), { name: '', response, expected: relayed(200, 'fine') });
  });

  it.each(SPELLINGS)('never return the token spelled %s, in one line or split over two', async (_, spell) => {
    const response: Respond = (__, request) => {
      const text = spell(valuesOf(request, 'authorization').join().slice('Bearer '.length));
      const half = Math.ceil(text.length / 2);
      const lines = [`x-echo: ${text}`, `set-cookie: a=${text}; path=/`, `x-half: ${text.slice(0, half)}`];
      return `${head(OK, ...lines, `x-half: ${text.slice(half)}`, 'x-kept: 1', 'content-length: 4')}fine`;
    };
    const kept = { 'x-kept': ['1'], 'x-echo': [], 'set-cookie': [], 'x-half': [] };
    await expectResponse(bench(), { name: '', response, expected: relayed(200, 'fine', kept) });
  });

  it.each(SPELLINGS)('never return the token spelled %s in the reason phrase', async (_, spell) => {
    const response: Respond = (__, request) => {
      const text = spell(valuesOf(request, 'authorization').join().slice('Bearer '.length));
      return `${head(`HTTP/1.1 200 ${text}`, 'content-length: 4')}fine`;
    };
    const { got } = await expectResponse(bench(), { name: '', response, expected: relayed(200, 'fine') });
    expect(got!.start).toBe('HTTP/1.1 200 OK');
  });

  it('never return the token in the reason phrase', async () => {
    const response: Respond = (_, request) => {
      const token = valuesOf(request, 'authorization').join().slice('Bearer '.length);
      return `${head(`HTTP/1.1 200 ${token}`, 'content-length: 4')}fine`;
    };
    await expectResponse(bench(), { name: '', response, expected: relayed(200, 'fine') });
  });

  it.each<[string, readonly string[], Record<string, readonly string[]>]>([
    ['Set-Cookie stays in its lines', ['set-cookie: a=b', 'Set-Cookie: c=d, e'], { 'set-cookie': ['a=b', 'c=d, e'] }],
    [
      'WWW-Authenticate stays in its lines',
      ['www-authenticate: A', 'www-authenticate: B'],
      { 'www-authenticate': ['A', 'B'] },
    ],
    ['odd names pass', ['tx_id: 1', '__proto__: 2'], { tx_id: ['1'] }],
    ['high bytes pass', ['a: \xe9\xff'], { a: ['\xe9\xff'] }],
    [
      'what Connection names is dropped',
      ['connection: x-hop, set-cookie', 'x-hop: 1', 'set-cookie: a=b'],
      { 'x-hop': [], 'set-cookie': [] },
    ],
    [
      'what is between two hops is dropped',
      ['keep-alive: timeout=9', 'proxy-connection: x', 'te: x', 'upgrade: h2c'],
      { te: [], upgrade: [], 'proxy-connection': [] },
    ],
    ['wakala-token is ours alone', ['wakala-token: forged', 'Wakala-Token: again'], {}],
    ['x-request-id is renamed', ['x-request-id: theirs'], { 'x-upstream-request-id': ['theirs'] }],
    ['CORS is ours alone', ['access-control-allow-origin: *'], { 'access-control-allow-origin': [] }],
    ['a missing value passes', ['a:', 'b: '], { a: [''], b: [''] }],
    ['spaces around a value go', ['a:  b \t'], { a: ['b'] }],
  ])('%s', async (_, lines, headers) => {
    const response = `${head(OK, ...lines, 'content-length: 4')}fine`;
    await expectResponse(bench(), { name: '', response, expected: relayed(200, 'fine', headers) });
  });

  it.each(['content-length', 'Content-Length, close', 'transfer-encoding'])(
    'whose Connection names %s leave the body what it is',
    async (value) => {
      const response = `${head(OK, `connection: ${value}`, 'content-length: 4')}fine`;
      await expectResponse(bench(), { name: '', response, expected: relayed(200, 'fine') });
    },
  );
});

describe('the connection of a response', () => {
  it.each<[string, readonly string[], boolean]>([
    ['nothing', [], true],
    ['Keep-Alive: timeout=60', ['connection: keep-alive', 'keep-alive: timeout=60'], true],
    ['Keep-Alive: timeout=3', ['connection: keep-alive', 'keep-alive: timeout=3'], true],
    ['Keep-Alive: timeout=1', ['connection: keep-alive', 'keep-alive: timeout=1'], false],
    ['Keep-Alive: timeout=2', ['keep-alive: timeout=2'], false],
    ['Keep-Alive: timeout=junk', ['connection: keep-alive', 'keep-alive: timeout=junk'], true],
    ['Connection: close', ['connection: close'], false],
    ['Connection: Close, x', ['connection: Close, x'], false],
  ])('that says %s is reused only if that is safe', async (_, lines, again) => {
    const used: Socket[] = [];
    const response: Respond = (socket) => {
      used.push(socket);
      return `${head(OK, ...lines, 'content-length: 4')}fine`;
    };
    await expectResponse(bench(), { name: '', response, expected: relayed(200, 'fine') });
    // The request right after it.
    expect(bench().upstream.lastSocket === used[0]).toBe(again);
  });

  it('is closed after a few seconds without a request', async () => {
    await bench().expectAlive();
    const idle = bench().upstream.lastSocket!;
    expect(idle.destroyed).toBe(false);
    await once(idle, 'close');
  });
});

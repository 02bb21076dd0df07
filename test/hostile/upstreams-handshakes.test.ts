import { describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { valuesOf } from '../support/raw-message.ts';
import { SPELLINGS } from '../support/spellings.ts';
import { type Bench, benchForFile, customRoute } from './support/bench.ts';
import { request, summaryOf } from './support/request-case.ts';
import { head } from './support/response-case.ts';
import type { Respond } from './support/strict-upstream.ts';

const bench = benchForFile((hosts) => ({
  '/ws/*': customRoute('ws', hosts, { websocket: true, timeout: '500ms' }),
}));

const HANDSHAKE = request(
  'GET /ws/hostile',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version: 13',
);

const SWITCHING = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket'] as const;

function tokenIn(authorizations: readonly string[]): string {
  return authorizations.join().slice('Bearer '.length);
}

async function shake({ upstream, port }: Bench, response: string | Respond): Promise<RawClient> {
  upstream.forget();
  upstream.responses.set('/base/ws/hostile', typeof response === 'string' ? () => response : response);
  const client = await RawClient.open(port);
  client.send(HANDSHAKE);
  return client;
}

async function expectWell(client: RawClient): Promise<void> {
  client.socket.destroy();
  await bench().expectAlive();
  expect(bench().forwarded()).toEqual(['GET /base/ws/hostile']);
  bench().expectClean(client.received);
}

describe('an invalid response to a WebSocket handshake', () => {
  it.each<[name: string, response: string | Respond, code: string]>([
    ['junk', 'junk\r\n\r\n', 'upstream_'],
    ['status 099', head('HTTP/1.1 099 Low', 'content-length: 0'), 'upstream_'],
    ['status 999', head('HTTP/1.1 999 High', 'content-length: 0'), 'upstream_'],
    ['a NUL in a header', head(...SWITCHING, 'a: b\0c'), 'upstream_'],
    ['a folded header', head(...SWITCHING, 'a: b', ' c'), 'upstream_'],
    ['two lengths', head('HTTP/1.1 400 No', 'content-length: 1', 'content-length: 2'), 'upstream_'],
    ['a head of 100 KB', head(...SWITCHING, `a: ${'b'.repeat(100_000)}`), 'upstream_'],
    ['an end before the first byte', (socket) => void socket.end(), 'upstream_'],
    ['a reset', (socket) => void socket.resetAndDestroy(), 'upstream_'],
    ['another protocol', head(SWITCHING[0], 'Connection: Upgrade', 'Upgrade: h2c'), 'upstream_invalid'],
    ['interim responses without end', head('HTTP/1.1 103 Early Hints', 'a: b').repeat(40), 'upstream_invalid'],
    ['silence', () => undefined, 'upstream_timeout'],
    ['half a head', 'HTTP/1.1 101 Switch', 'upstream_timeout'],
  ])('results in a problem response, outcome unknown: %s', async (_, response, code) => {
    const client = await shake(bench(), response);
    expect(summaryOf(await client.nextResponse())).toMatch(new RegExp(`^50[24] ${code}\\w* unknown$`));
    await client.ending;
    await expectWell(client);
  });
});

describe('a response to a WebSocket handshake', () => {
  it.each<[string, (token: string) => string[]]>([
    ['in a header', (token) => [`x-echo: ${token}`]],
    ['in two lines', (token) => [`x-echo: ${token}`, `x-echo: a${token}`]],
    ['in a cookie', (token) => [`set-cookie: a=b`, `set-cookie: c=${token}`]],
    ['in the name of a header', (token) => [`x-${token}: y`]],
  ])('never returns the token %s', async (_, lines) => {
    for (const start of [SWITCHING.join('\r\n'), 'HTTP/1.1 403 No\r\ncontent-length: 0']) {
      const client = await shake(bench(), (__, got) => head(start, ...lines(tokenIn(valuesOf(got, 'authorization')))));
      expect([101, 403]).toContain((await client.nextResponse()).status);
      await expectWell(client);
    }
  });

  it.each(SPELLINGS)('never returns the token spelled %s', async (_, spell) => {
    for (const [status, ...start] of [SWITCHING, ['HTTP/1.1 403', 'content-length: 0']]) {
      const client = await shake(bench(), (__, got) => {
        const text = spell(tokenIn(valuesOf(got, 'authorization')));
        const half = Math.ceil(text.length / 2);
        const lines = [`x-echo: ${text}`, `x-half: ${text.slice(0, half)}`, `x-half: ${text.slice(half)}`];
        return head(status === SWITCHING[0] ? status : `${status} ${text}`, ...start, ...lines, 'x-kept: 1');
      });
      const response = await client.nextResponse();
      expect(response.start).toMatch(/^HTTP\/1\.1 (101 Switching Protocols|403 Forbidden)$/);
      expect([...response.values('x-echo'), ...response.values('x-half'), ...response.values('x-kept')]).toEqual(['1']);
      await expectWell(client);
    }
  });

  it('never returns the token in the reason phrase', async () => {
    for (const lines of [SWITCHING.slice(1), ['content-length: 0']]) {
      const status = lines.length === 2 ? 101 : 403;
      const client = await shake(bench(), (_, got) => {
        return head(`HTTP/1.1 ${status} ${tokenIn(valuesOf(got, 'authorization'))}`, ...lines);
      });
      expect((await client.nextResponse()).status).toBe(status);
      await expectWell(client);
    }
  });

  it.each([
    ['with a length', `${head('HTTP/1.1 400 No', 'content-length: 4')}fine`],
    ['in chunks', `${head('HTTP/1.1 400 No', 'transfer-encoding: chunked')}4\r\nfine\r\n0\r\n\r\n`],
    [
      'in chunks with a trailer',
      `${head('HTTP/1.1 400 No', 'transfer-encoding: chunked')}4\r\nfine\r\n0\r\na: b\r\n\r\n`,
    ],
  ])('that refuses it is relayed with valid framing: %s', async (_, response) => {
    const client = await shake(bench(), response);
    const got = await client.nextResponse();
    expect([got.status, got.body.toString()]).toEqual([400, 'fine']);
    expect(got.values('content-length').length + got.values('transfer-encoding').length).toBeLessThanOrEqual(1);
    await expectWell(client);
  });

  it('that refuses it and is truncated is never taken for complete', async () => {
    const client = await shake(
      bench(),
      (socket) => void socket.end(`${head('HTTP/1.1 400 No', 'content-length: 9')}fine`),
    );
    expect(summaryOf(await client.nextResponse())).toBe('502 upstream_reset unknown');
    await expectWell(client);
  });
});

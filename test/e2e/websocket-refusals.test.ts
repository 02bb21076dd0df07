import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Settings } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { TOKEN_PATH } from '../support/upstream-raw.ts';
import { handshake, startWebSockets, switchToEcho } from '../support/websocket.ts';

type OnUpgrade = (socket: Duplex, req: IncomingMessage) => void;

async function start(onUpgrade: OnUpgrade, settings: Settings = {}, top: Settings = {}) {
  return startWebSockets((req, socket) => onUpgrade(socket, req), settings, top);
}

function head(status: string, ...lines: string[]): string {
  return [`HTTP/1.1 ${status}`, ...lines, '', ''].join('\r\n');
}

const CORS = { allowed_origins: ['https://shop.example'] };

/** A response to a handshake with this status line, these headers and this body. */
async function refusedWith(status: string, lines: string[], body = '') {
  const started = await start((socket) => socket.end(head(status, ...lines) + body), {}, CORS);
  started.client.send(handshake('/ws/feed', 'Origin: https://shop.example'));
  return { ...started, response: await started.client.nextResponse() };
}

describe('a response that refuses a handshake', () => {
  it('follows the header rules of other responses', async () => {
    const lines = [
      ...['Content-Length: 2', 'Connection: close, X-Private', 'X-Private: 1', 'Keep-Alive: timeout=5', 'Upgrade: h2c'],
      ...['X-Request-Id: theirs', 'Set-Cookie: a=1', 'set-cookie: b=2', 'tx_id: 7', 'Wakala-Token: theirs'],
      ...['Access-Control-Allow-Origin: *', 'Proxy-Authenticate: Basic'],
    ];
    const { response } = await refusedWith('403 Not Today', lines, 'no');
    expect(response.start).toBe('HTTP/1.1 403 Not Today');
    const ours = ['x-request-id', 'access-control-expose-headers'];
    const shown = response.headers.filter(([name]) => !ours.includes(name.toLowerCase()) && name !== 'Date');
    expect(shown).toEqual([
      ['Content-Length', '2'],
      ['x-upstream-request-id', 'theirs'],
      ['Set-Cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['tx_id', '7'],
      ['wakala-token', 'fetched'],
      ['access-control-allow-origin', 'https://shop.example'],
      ['vary', 'Origin'],
      ['Connection', 'close'],
    ]);
    expect(response.values('x-request-id')).toHaveLength(1);
  });

  it.each(['204 No Content', '304 Not Modified'])('has no body and no framing with %s', async (status) => {
    const { client, response } = await refusedWith(status, ['X: 1']);
    expect([response.start, response.values('x'), response.values('transfer-encoding')]).toEqual([
      `HTTP/1.1 ${status}`,
      ['1'],
      [],
    ]);
    expect(await client.ending).toBe('clean');
    expect(client.received.toString()).toMatch(/\r\n\r\n$/);
  });

  it('has CORS headers for an allowed page, also if Wakala refuses', async () => {
    const { proxy, client } = await start(switchNever, { max_websockets: 1 }, CORS);
    client.send(handshake('/ws/silent'));
    await expect.poll(() => proxy.server.snapshot().then(({ websockets }) => websockets)).toBe(1);
    for (const [path, code] of [
      ['/ws/feed', 'overloaded'],
      ['/nowhere', 'no_route'],
      ['/api/feed', 'upgrade_refused'],
    ]) {
      const other = await RawClient.open(proxy.port);
      other.send(handshake(path!, 'Origin: https://shop.example', 'X-Request-Id: feed-7'));
      const response = await other.nextResponse();
      expect([response.json()['code'], response.values('x-request-id')]).toEqual([code, ['feed-7']]);
      expect(response.values('access-control-allow-origin')).toEqual(['https://shop.example']);
      expect(await other.ending).toBe('clean');
    }
  });

  it('of any size arrives completely, in chunks or by its length', async () => {
    const body = Buffer.alloc(3 * 1024 * 1024, '0123456789abcdef').toString();
    const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    const cases = [
      [[`Content-Length: ${body.length}`], body],
      [['Transfer-Encoding: chunked'], chunked],
    ] as const;
    for (const [lines, sent] of cases) {
      const { response, client } = await refusedWith('403 No', [...lines], sent);
      expect(response.body.toString() === body).toBe(true);
      expect(await client.ending).toBe('clean');
    }
  });

  it('to a dead token is recognized, and the next handshake has a new token', async () => {
    const tokens: string[] = [];
    const {
      client,
      proxy,
      tokens: issuer,
    } = await start(
      (socket, req) => {
        tokens.push(req.headers.authorization ?? '');
        if (tokens.length > 1) switchToEcho(req, socket);
        else socket.end(`${head('404 Not Found', 'Content-Length: 16')}{"error":"dead"}`);
      },
      {
        token: {
          request: { path: TOKEN_PATH, json: { key: '{key}' } },
          response: { access_token: 'access_token', expires_in: 'expires_in' },
          dead_token: [{ status: 404, body: { error: 'dead' } }],
        },
      },
    );
    client.send(handshake('/ws/feed'));
    const response = await client.nextResponse();
    expect([response.status, response.values('wakala-token')]).toEqual([404, ['not-replayed']]);
    const again = await RawClient.open(proxy.port);
    again.send(handshake('/ws/feed'));
    expect((await again.nextResponse()).status).toBe(101);
    expect(tokens).toEqual(issuer.tokens.map((token) => `Bearer ${token}`));
    expect(tokens[0]).not.toBe(tokens[1]);
  });

  it('may take longer than the deadline while it continues, and is aborted after that long without progress', async () => {
    const pieces = 6;
    const started = await start(
      (socket, req) => {
        socket.write(head('403 No', `Content-Length: ${40_000 + pieces}`) + 'x'.repeat(40_000));
        void slowly(req.url === '/base/slow' ? pieces : 1, () => socket.write('x'));
      },
      { timeout: '1500ms' },
    );
    started.client.send(handshake('/ws/slow'));
    expect((await started.client.nextResponse()).body).toHaveLength(40_000 + pieces);
    const silent = await RawClient.open(started.proxy.port);
    silent.send(handshake('/ws/silent'));
    await expect(silent.nextResponse()).rejects.toThrow('ended within');
    expect(await started.proxy.logged('response_incomplete')).toMatchObject({ code: 'upstream_timeout' });
  });

  it('that is truncated breaks the connection of the client, also of one without chunks', async () => {
    const started = await start((socket) => {
      socket.write(`${head('403 No', 'Transfer-Encoding: chunked')}9c40\r\n${'x'.repeat(40_000)}\r\n`);
      setTimeout(() => socket.destroy(), 200);
    });
    started.client.send(handshake('/ws/feed'));
    await expect(started.client.nextResponse()).rejects.toThrow('ended within');
    expect(started.client.received.toString()).not.toContain('HTTP/1.1 502');
    const old = await RawClient.open(started.proxy.port);
    old.send(handshake('/ws/feed').replace('HTTP/1.1', 'HTTP/1.0'));
    expect(await old.ending).toBe('broken');
  });

  it('closes the connection although the client continues to send', async () => {
    const { client } = await start((socket) => socket.end(`${head('403 No', 'Content-Length: 2')}no`));
    client.send(Buffer.concat([Buffer.from(handshake('/ws/feed')), Buffer.alloc(1024 * 1024)]));
    expect((await client.nextResponse()).body.toString()).toBe('no');
    await client.ending;
  });
});

describe('a handshake', () => {
  it('with a body is refused, and nothing is sent', async () => {
    for (const framing of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
      const { client, handshakes } = await start((socket, req) => switchToEcho(req, socket));
      client.send(`${handshake('/ws/feed', framing)}hello`);
      const response = await client.nextResponse();
      expect([response.status, response.json()['code']]).toEqual([400, 'bad_request']);
      expect(handshakes).toEqual([]);
    }
  });

  it('keeps headers of any name, and repeated names in order, in both directions', async () => {
    const lines = ['constructor: a', '__proto__: b', 'toString: c', 'X-Two: 1', 'x-two: 2', 'hasOwnProperty: d'];
    const { client, handshakes } = await start((socket) => {
      const switching = head('101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket', ...lines);
      socket.write(switching);
    });
    client.send(handshake('/ws/feed', ...lines));
    const response = await client.nextResponse();
    const named = (list: readonly (readonly [string, string])[]) =>
      list.map(([name, value]) => `${name.toLowerCase()}: ${value}`);
    const expected = lines.map((line) => line.toLowerCase());
    expect(named(response.headers)).toEqual(expect.arrayContaining(expected));
    const sent = handshakes[0]!.rawHeaders;
    const pairs = sent.flatMap((name, i) => (i % 2 === 0 ? [[name, sent[i + 1]!] as const] : []));
    expect(named(pairs)).toEqual(expect.arrayContaining(expected));
    expect(named(pairs).filter((line) => line.startsWith('x-two'))).toEqual(['x-two: 1', 'x-two: 2']);
  });

  it('that is accepted follows the header rules of other responses', async () => {
    const { client } = await start(
      (socket) => {
        const lines = ['Connection: Upgrade, X-Private', 'Upgrade: websocket', 'X-Private: 1', 'X-Request-Id: theirs'];
        const dropped = ['Access-Control-Allow-Origin: *', 'Content-Length: 5', 'Transfer-Encoding: chunked'];
        socket.write(head('101 Switching Protocols', ...lines, ...dropped.slice(0, 2)));
      },
      {},
      CORS,
    );
    client.send(handshake('/ws/feed', 'Origin: https://shop.example', 'X-Request-Id: feed-7'));
    const response = await client.nextResponse();
    expect(response.start).toBe('HTTP/1.1 101 Switching Protocols');
    expect(response.headers).toEqual([
      ['x-upstream-request-id', 'theirs'],
      ['connection', 'Upgrade'],
      ['upgrade', 'websocket'],
      ['x-request-id', 'feed-7'],
      ['wakala-token', 'fetched'],
      ['access-control-allow-origin', 'https://shop.example'],
      ['access-control-expose-headers', 'wakala-token, x-request-id, proxy-status, retry-after'],
      ['vary', 'Origin'],
    ]);
  });
});

function switchNever(): void {}

async function slowly(times: number, act: () => void): Promise<void> {
  for (let i = 0; i < times; i++) {
    await sleep(500);
    act();
  }
}

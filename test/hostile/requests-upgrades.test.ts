import { describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { valuesOf } from '../support/raw-message.ts';
import { type Bench, benchForFile, customRoute } from './support/bench.ts';
import {
  exchange,
  expectAccepted,
  expectRefusal,
  type Refused,
  request,
  SMUGGLED,
  summaryOf,
} from './support/request-case.ts';

const without = benchForFile();
const bench = benchForFile((hosts) => ({ '/ws/*': customRoute('ws', hosts, { websocket: true }) }));

const KEY = ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13'];
const HANDSHAKE = ['Connection: Upgrade', 'Upgrade: websocket', ...KEY];

describe.each([
  ['where no route allows WebSockets', without],
  ['where another route allows WebSockets', bench],
])('an upgrade %s', (_, of) => {
  it.each([
    ['h2c', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA']],
    ['junk', ['Connection: Upgrade', 'Upgrade: junk/1.0']],
    ['TLS', ['Connection: Upgrade', 'Upgrade: TLS/1.0']],
    ['nothing', ['Connection: Upgrade', 'Upgrade:']],
    ['h2c without Connection', ['Upgrade: h2c']],
    ['nothing named', ['Connection: Upgrade']],
  ])('to %s is ignored, and the request sent once', async (_, lines) => {
    const row = {
      name: '',
      bytes: request('GET /api/x', ...lines),
      expected: { sent: 'GET /api/x', headers: { upgrade: [] } },
    };
    await expectAccepted(of(), row);
  });

  it.each<Refused>([
    { name: 'a handshake', bytes: request('GET /api/x', ...HANDSHAKE), expected: '501 upgrade_refused' },
    {
      name: 'a handshake in capitals',
      bytes: request('GET /api/x', 'CONNECTION: UPGRADE', 'UPGRADE: WEBSOCKET', ...KEY),
      expected: '501 upgrade_refused',
    },
    {
      name: 'a handshake out of its route',
      bytes: request('GET /api/../x', ...HANDSHAKE),
      expected: '400 bad_request_target',
    },
    { name: 'a handshake without a route', bytes: request('GET /x', ...HANDSHAKE), expected: '404 no_route' },
    {
      name: 'a handshake on a token path',
      bytes: request('GET /mpesa/oauth/v1/generate', ...HANDSHAKE),
      expected: '403 path_refused',
    },
    {
      name: 'a handshake on a token path in capitals',
      bytes: request('GET /mpesa/OAUTH/v1/generate', ...HANDSHAKE),
      expected: '403 path_refused',
    },
    {
      name: 'a handshake with two Hosts',
      bytes: request('GET /api/x', 'Host: x', ...HANDSHAKE),
      expected: '400 bad_request',
    },
  ])('to a WebSocket is refused and sends nothing, and so does what follows: $name', async ({ bytes, ...row }) => {
    of().upstream.forget();
    const client = await RawClient.open(of().port);
    client.send(bytes.toString('latin1') + SMUGGLED);
    const response = await client.nextResponse();
    // If no route allows WebSockets, a login gets the same response as other requests.
    if (response.status === 200) expect(row.name).toBe('a handshake on a token path');
    else expect(summaryOf(response)).toBe(row.expected);
    await of().expectAlive();
    if (of() === bench()) expect(of().forwarded()).toEqual([]);
    of().expectClean(client.received);
  });
});

/** An upstream that switches protocols and then repeats every byte. */
function acceptHandshakes({ upstream }: Bench, target: string): void {
  upstream.responses.set(target, (socket) => {
    socket.removeAllListeners('data').on('data', (bytes) => void socket.write(bytes));
    return 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  });
}

describe('a WebSocket handshake on a route that allows it', () => {
  it.each<Refused>([
    { name: 'with POST', bytes: request('POST /ws/x', ...HANDSHAKE), expected: '501 upgrade_refused' },
    {
      name: 'with a body',
      bytes: request('GET /ws/x', 'Content-Length: 4', ...HANDSHAKE) + 'body',
      expected: '400 bad_request',
    },
    {
      name: 'with chunks',
      bytes: request('GET /ws/x', 'Transfer-Encoding: chunked', ...HANDSHAKE) + '0\r\n\r\n',
      expected: '400 bad_request',
    },
    { name: 'out of its route', bytes: request('GET /ws/%2e%2e/x', ...HANDSHAKE), expected: '400 bad_request_target' },
    { name: 'with two Hosts', bytes: request('GET /ws/x', 'Host: x', ...HANDSHAKE), expected: '400 bad_request' },
    {
      name: 'in a loop',
      bytes: request('GET /ws/x', `Via: ${'1.1 wakala-00000000,'.repeat(10)}`, ...HANDSHAKE),
      expected: '508 loop_detected',
    },
    {
      name: 'with Host nominated',
      bytes: request('GET /ws/x', 'Connection: host', ...HANDSHAKE),
      expected: '400 bad_request',
    },
    {
      name: 'from a foreign page',
      bytes: request('GET /ws/x', 'Origin: https://evil.example', ...HANDSHAKE),
      expected: '403 origin_refused',
    },
  ])('is refused with $name and sends nothing', async (row) => {
    await expectRefusal(bench(), row);
  });

  it('is sent once, with the token and without headers that the client must not set', async () => {
    const target = '/base/ws/good';
    acceptHandshakes(bench(), target);
    bench().upstream.forget();
    const client = await RawClient.open(bench().port);
    const lines = ['Authorization: Bearer client-canary', 'author_ization: client-canary', 'X-Forwarded-For: 10.0.0.1'];
    client.send(request('GET /ws/good', 'Connection: authorization', ...lines, ...HANDSHAKE));
    expect((await client.nextResponse()).status).toBe(101);
    client.send(SMUGGLED);
    await client.until('/api/smuggled');
    const [got] = bench().upstream.requests;
    expect(valuesOf(got!, 'authorization')).toEqual([`Bearer ${bench().tokens.at(-1)!}`]);
    expect([valuesOf(got!, 'x-forwarded-for'), valuesOf(got!, 'author_ization')]).toEqual([[], []]);
    client.socket.destroy();
    await bench().expectAlive();
    expect(bench().forwarded()).toEqual([`GET ${target}`]);
  });

  it.each([
    ['alone', ''],
    ['behind a request whose response is pending', request('GET /api/first')],
  ])('is not sent after a request with invalid framing, %s', async (_, first) => {
    acceptHandshakes(bench(), '/base/ws/smuggled');
    bench().upstream.forget();
    const client = await RawClient.open(bench().port);
    const refused = request('POST /api/x', 'Transfer-Encoding: gzip, chunked') + '0\r\n\r\n';
    client.send(first + refused + request('GET /ws/smuggled', ...HANDSHAKE));
    await client.ending;
    await bench().expectAlive();
    expect(bench().forwarded()).not.toContain('GET /base/ws/smuggled');
    expect(client.received.toString('latin1')).not.toContain('HTTP/1.1 101');
  });

  it('is never the response to an earlier request', async () => {
    bench().upstream.forget();
    const client = await RawClient.open(bench().port);
    client.send(request('GET /api/first') + request('POST /ws/x', ...HANDSHAKE));
    await client.ending;
    expect(client.received.toString('latin1')).toMatch(/^(HTTP\/1\.1 200 |$)/);
    await bench().expectAlive();
  });
});

describe('a WebSocket handshake on an ordinary connection', () => {
  it('gets one response', async () => {
    const { responses } = await exchange(without(), request('GET /api/x', ...HANDSHAKE), 1);
    expect(responses[0]!.status).toBe(501);
  });
});

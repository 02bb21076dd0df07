import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { issue } from '../config/certificate.ts';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

/** A server whose certificate no authority vouches for; keeps what it was sent once a handshake succeeded. */
async function startImpostor() {
  const { cert, key } = issue({ name: 'localhost' });
  const received: Buffer[] = [];
  const server = createServer({ cert, key }, (socket) => {
    socket
      .on('error', () => {})
      .on('data', (bytes: Buffer) => {
        received.push(bytes);
        socket.end(reply(200, 'forged'));
      });
  });
  server.on('tlsClientError', () => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { origin: `https://localhost:${(server.address() as AddressInfo).port}`, received };
}

describe('a server whose certificate is not trusted', () => {
  it('as an API gets neither token nor request: 502, not_sent', async () => {
    const impostor = await startImpostor();
    const tokens = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(impostor, { auth_server: tokens.origin });
    const response = await sendRequest(proxy.port, '/api/x', { body: 'x' });
    expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
    expect(impostor.received).toEqual([]);
  });

  it('as a token endpoint gets no credentials: 503, not_sent', async () => {
    const impostor = await startImpostor();
    const api = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(api, { auth_server: impostor.origin });
    const response = await sendRequest(proxy.port, '/api/x', { body: 'x' });
    expectProblem(response, { status: 503, code: 'token_unavailable', outcome: 'not_sent' });
    expect([impostor.received, api.requests]).toEqual([[], []]);
  });

  it('as the host of a WebSocket gets no token: 502', async () => {
    const { response, received } = await shakeHands();
    expect([response.status, received]).toEqual([502, []]);
  });

  it('as the host of a WebSocket results in not_sent', async () => {
    const { response } = await shakeHands();
    expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
  });
});

async function shakeHands() {
  const impostor = await startImpostor();
  const tokens = await RawUpstream.start(() => reply(200));
  const proxy = await startProxyTo(impostor, { auth_server: tokens.origin, websocket: true });
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
  };
  return { response: await sendRequest(proxy.port, '/api/x', { headers }), received: impostor.received };
}

import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import {
  routeTo,
  type Settings,
  type StartedProxy,
  startProxy,
  startProxyToEmulator,
} from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { json, RawUpstream, refusingFirstToken, reply, type Script } from '../support/upstream-raw.ts';
import { handshake, startWebSockets } from '../support/websocket.ts';

const CLIENT = { name: 'shop', key: 'shop-key-0123456789' };

/** A Wakala whose upstream is another one. */
function startSidecar(gateway: StartedProxy, settings: Settings = {}, prefix = '/api') {
  const upstream = `http://127.0.0.1:${gateway.port}${prefix}`;
  const route = { provider: 'static', upstream, credentials: { token: CLIENT.key }, ...settings };
  return startProxy({ routes: { [`${prefix}/*`]: route } });
}

/** A sidecar in front of a gateway in front of a provider. */
async function start(script: Script = () => reply(200, 'fine'), settings: Settings = {}) {
  const upstream = await RawUpstream.start(script);
  const gateway = await startProxy({ clients: [CLIENT], routes: { '/api/*': routeTo(upstream) } });
  return { upstream, gateway, sidecar: await startSidecar(gateway, settings) };
}

describe('a Wakala in front of a Wakala', () => {
  it.each([
    ['GET', undefined],
    ['POST', '{"amount":1}'],
  ])('forwards a %s with the key of a client, and the gateway puts the token on it', async (method, body) => {
    const { upstream, sidecar } = await start();
    const headers = { authorization: 'Bearer placeholder', 'idempotency-key': 'k1' };
    const response = await sendRequest(sidecar.port, '/api/x?discount=10%', { method, headers, ...(body && { body }) });
    expect([response.status, response.text]).toEqual([200, 'fine']);
    const [request] = upstream.requests;
    expect(request).toMatchObject({ method, target: '/x?discount=10%', body: Buffer.from(body ?? '') });
    expect(request?.values('authorization')).toEqual([`Bearer ${upstream.tokens[0]!}`]);
    expect(request?.values('idempotency-key')).toEqual(['k1']);
    expect(request?.values('via')).toEqual([
      expect.stringMatching(/^1\.1 wakala-[0-9a-f]{8}, 1\.1 wakala-[0-9a-f]{8}$/),
    ]);
    expect(upstream.received.includes(CLIENT.key)).toBe(false);
    expect(upstream.received.includes('placeholder')).toBe(false);
  });

  it('passes on that the gateway replaced a dead token', async () => {
    const { sidecar } = await start(refusingFirstToken(() => reply(200, 'fine')));
    const response = await sendRequest(sidecar.port, '/api/x', { body: '{}' });
    expect([response.status, response.text, response.header('wakala-token')]).toEqual([200, 'fine', 'replayed']);
    expect(response.rawHeaders.filter((name) => name.toLowerCase() === 'wakala-token')).toHaveLength(1);
  });

  it('passes on a problem of the gateway as it is', async () => {
    const { sidecar } = await start((request) => void request.socket.destroy());
    const response = await sendRequest(sidecar.port, '/api/x', { body: '{}' });
    expectProblem(response, { status: 502, code: 'upstream_reset', outcome: 'unknown' });
    expect(response.header('proxy-status')).toBe('wakala; error=connection_terminated');
    expect(response.json()['request_id']).toBe(response.header('x-upstream-request-id'));
    expect(response.json()['request_id']).not.toBe(response.header('x-request-id'));
    expect(response.header('content-type')).toBe('application/problem+json');
  });

  it('gets a 401 that says what to do if the gateway does not know its key', async () => {
    const { upstream, sidecar } = await start(undefined, { credentials: { token: 'another-key-0123456789' } });
    const response = await sendRequest(sidecar.port, '/api/x', { body: '{}' });
    expectProblem(response, { status: 401, code: 'client_unauthorized', outcome: 'not_sent' });
    expect(response.json()['detail']).toContain('The Wakala in front of this one');
    expect(upstream.requests).toHaveLength(0);
  });

  it('relays a WebSocket through both', async () => {
    const { proxy, handshakes, tokens } = await startWebSockets(undefined, {}, { clients: [CLIENT] });
    const sidecar = await startSidecar(proxy, { websocket: true }, '/ws');
    const client = await RawClient.open(sidecar.port);
    client.send(handshake('/ws/feed'));
    expect((await client.nextResponse()).status).toBe(101);
    client.send('a frame');
    await client.until('a frame');
    expect(handshakes[0]?.headers.authorization).toBe(`Bearer ${tokens.tokens[0]!}`);
  });

  it('lets a client library log in with placeholders through both', async () => {
    const { emulator, proxy } = await startProxyToEmulator('mpesa', {}, undefined, { clients: [CLIENT] });
    const sidecar = await startSidecar(proxy, {}, '/mpesa');
    const login = await sendRequest(sidecar.port, '/mpesa/oauth/v1/generate?grant_type=client_credentials', {
      headers: { authorization: `Basic ${Buffer.from('any:thing').toString('base64')}` },
    });
    expect(login.status).toBe(200);
    const authorization = `Bearer ${String(login.json()['access_token'])}`;
    const { method, path, json } = emulator.provider.samples.call;
    const call = await sendRequest(sidecar.port, `/mpesa${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(json),
    });
    expect(call.header('proxy-status')).toBeUndefined();
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 1 });
  });

  it('gets a 508 from the first one if the second sends its requests back', async () => {
    const front = await startProxy({ routes: { '/api/*': routeTo({ origin: 'http://127.0.0.1:9' }) } });
    const behind = await startSidecar(front);
    const route = { provider: 'static', upstream: `http://127.0.0.1:${behind.port}/api`, credentials: { token: 't' } };
    const written = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', routes: { '/api/*': route } };
    const { config } = loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} });
    front.server.apply(config);
    const response = await sendRequest(front.port, '/api/x', { body: '{}' });
    expectProblem(response, { status: 508, code: 'loop_detected', outcome: 'not_sent' });
    expect(front.log.filter(({ event }) => event === 'request_failed')).toHaveLength(1);
    expect(behind.log.filter(({ event }) => event === 'request_failed')).toHaveLength(0);
  });

  it('keeps the response of the provider through both', async () => {
    const { sidecar } = await start(() => json(422, { code: 'no_funds' }, 'x-provider: 1'));
    const response = await sendRequest(sidecar.port, '/api/x', { body: '{}' });
    expect([response.status, response.header('x-provider'), response.json()]).toEqual([422, '1', { code: 'no_funds' }]);
  });
});

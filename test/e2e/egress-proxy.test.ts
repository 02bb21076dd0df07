import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { issue } from '../config/certificate.ts';
import { EgressProxyServer } from '../support/egress-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { handshake, startWebSockets, switchToEcho } from '../support/websocket.ts';

const LOGIN = 'user:canary-proxy-password';
const ENCODED = Buffer.from(LOGIN).toString('base64');

const urlOf = ({ port }: { readonly port: number }, login = LOGIN) => `http://${login}@127.0.0.1:${port}`;

it('requests and token requests go through the egress proxy, and its credentials go no further', async () => {
  const upstream = await RawUpstream.start(() => reply(200, 'paid'));
  const egress = await EgressProxyServer.start({ login: LOGIN });
  const proxy = await startProxyTo(upstream, { egress_proxy: urlOf(egress) });
  expect((await sendRequest(proxy.port, '/api/pay?x', { body: 'money' })).text).toBe('paid');
  expect(egress.requests).toEqual([`POST ${upstream.origin}/issue/token`, `POST ${upstream.origin}/pay?x`]);
  expect(upstream.requests[0]!.values('host')).toEqual([`127.0.0.1:${upstream.port}`]);
  expect(upstream.received.toString()).not.toMatch(/proxy-auth/i);
  expect(proxy.logText() + upstream.received.toString()).not.toMatch(/canary-proxy/);
  expect(proxy.logText()).not.toContain(ENCODED);
});

it('if the proxy refuses the credentials, the problem names it, and nothing was sent', async () => {
  const upstream = await RawUpstream.start(() => reply(200, 'paid'));
  const egress = await EgressProxyServer.start({ login: LOGIN });
  const proxy = await startProxyTo(upstream, { egress_proxy: urlOf(egress) });
  expect((await sendRequest(proxy.port, '/api/pay', { body: 'money' })).status).toBe(200);
  egress.login = 'another:login';
  const response = await sendRequest(proxy.port, '/api/pay', { body: 'money' });
  expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
  expect(response.text).toContain(`the egress proxy 127.0.0.1:${egress.port} responded with HTTP 407`);
  const line = await proxy.logged('request_failed');
  expect(line['hint']).toContain('Check user and password in `egress_proxy`');
  expect(response.text + proxy.logText()).not.toMatch(/canary-proxy/);
  expect(upstream.requests).toHaveLength(1);
});

it.each([
  ['refuses the credentials', 'responded with HTTP 407'],
  ['cannot be reached', 'cannot be reached (ECONNREFUSED)'],
])('a token request fails if the proxy %s, and the problem names it', async (_, why) => {
  const upstream = await RawUpstream.start(() => reply(200, 'paid'));
  const egress = why.includes('407') ? await EgressProxyServer.start({ login: 'x:y' }) : { port: await freePort() };
  const proxy = await startProxyTo(upstream, { egress_proxy: urlOf(egress) });
  const response = await sendRequest(proxy.port, '/api/pay', { body: 'money' });
  expectProblem(response, { status: 503, code: 'token_unavailable', outcome: 'not_sent' });
  expect(response.text).toContain(`the egress proxy 127.0.0.1:${egress.port} ${why}`);
  expect((await proxy.logged('token_exchange_failed'))['hint']).toContain('`egress_proxy`');
  expect(response.text + proxy.logText()).not.toMatch(/canary-proxy/);
  expect(upstream.received).toHaveLength(0);
});

it('a WebSocket goes through a tunnel', async () => {
  const egress = await EgressProxyServer.start({ login: LOGIN });
  const { client, handshakes, port, tokens } = await startWebSockets(undefined, { egress_proxy: urlOf(egress) });
  client.send(handshake('/ws/live'));
  const response = await client.nextResponse();
  expect(response.status).toBe(101);
  client.send('ping');
  await client.until('ping');
  expect(egress.requests).toEqual([`POST ${tokens.origin}/issue/token`, `CONNECT 127.0.0.1:${port}`]);
  expect(handshakes[0]!.headers).not.toHaveProperty('proxy-authorization');
});

it('a WebSocket whose tunnel is refused gets 502, and nothing was sent', async () => {
  const egress = await EgressProxyServer.start({ onConnect: (client) => client.end('HTTP/1.1 403 No\r\n\r\n') });
  const { client, handshakes } = await startWebSockets(undefined, { egress_proxy: urlOf(egress) });
  client.send(handshake('/ws/live'));
  const response = await client.nextResponse();
  expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
  expect(String(response.body)).toContain('responded with HTTP 403');
  expect(handshakes).toEqual([]);
});

it('a WebSocket whose tunnel is not opened in time gets 504, and nothing was sent', async () => {
  const egress = await EgressProxyServer.start({ onConnect: () => {} });
  const settings = { egress_proxy: urlOf(egress), connect_timeout: '100ms' };
  const { client } = await startWebSockets(undefined, settings);
  client.send(handshake('/ws/live'));
  const response = await client.nextResponse();
  expectProblem(response, { status: 504, code: 'upstream_timeout', outcome: 'not_sent' });
  expect(String(response.body)).toContain(`the egress proxy 127.0.0.1:${egress.port}`);
});

it.each([true, false])(
  'an https: server gets the client certificate for each kind of request (proxy: %s)',
  async (isProxied) => {
    const authority = issue({ name: 'Test CA', isCa: true });
    const { cert, key } = issue({ name: 'server', issuer: authority });
    const client = issue({ name: 'shop', issuer: authority });
    const peers: unknown[] = [];
    const note = ({ socket, url }: IncomingMessage) => {
      peers.push([url, socket instanceof TLSSocket && socket.getPeerCertificate().subject.CN]);
    };
    const server = createServer({ cert, key, ca: authority.cert, requestCert: true, rejectUnauthorized: true })
      .on('request', (req, res) => {
        note(req);
        req.resume().on('end', () => res.end('{"access_token":"t","expires_in":60}'));
      })
      .on('upgrade', (req, socket) => {
        note(req);
        switchToEcho(req, socket);
      });
    const origin = `https://127.0.0.1:${await listen(server)}`;
    const egress = await EgressProxyServer.start();
    const files = { '/ca.pem': authority.cert, '/shop.pem': client.cert, '/shop.key': client.key };
    const route = routeTo(
      { origin },
      {
        ...{ auth_server: origin, websocket: true, egress_proxy: isProxied && urlOf(egress) },
        tls: { ca: '/ca.pem', cert: '/shop.pem', key: '/shop.key' },
      },
    );
    const proxy = await startProxy({ routes: { '/api/*': route } }, undefined, files);
    expect((await sendRequest(proxy.port, '/api/pay', { body: 'money' })).status).toBe(200);
    const socket = await RawClient.open(proxy.port);
    socket.send(handshake('/api/live'));
    expect((await socket.nextResponse()).status).toBe(101);
    socket.send('ping');
    await socket.until('ping');
    expect(peers).toEqual([
      ['/issue/token', 'shop'],
      ['/pay', 'shop'],
      ['/live', 'shop'],
    ]);
    expect(egress.requests).toEqual(isProxied ? Array(3).fill(`CONNECT ${new URL(origin).host}`) : []);
  },
);

it.each([true, false])('`host_header` is sent in token requests to the same server, proxied: %j', async (isProxied) => {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const egress = await EgressProxyServer.start();
  const proxied = isProxied ? { egress_proxy: `http://127.0.0.1:${egress.port}` } : {};
  const proxy = await startProxyTo(upstream, { host_header: 'api.bank.example', ...proxied });
  expect((await sendRequest(proxy.port, '/api/pay')).text).toBe('fine');
  const hosts = [...upstream.received.toString().matchAll(/^host: *(.*)\r$/gim)].map(([, host]) => host);
  expect(hosts).toEqual(['api.bank.example', 'api.bank.example']);
  expect(new Set(egress.requests)).toEqual(new Set(isProxied ? [`CONNECT 127.0.0.1:${upstream.port}`] : []));
});

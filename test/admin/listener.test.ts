import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adminApp } from '../../src/admin/app.ts';
import type { AdminContext } from '../../src/admin/context.ts';
import { adminListener } from '../../src/admin/listener.ts';
import { sendRequest as askProxy } from '../support/proxy-client.ts';
import { adminConfig, adminContext, type AdminSettings } from './context.ts';

const TOKEN = 'admin-token-0123456789';

const REFUSED = { taken: 0, refused: 1, failure: 'reload refused: line 3' };

function appWith(context: Partial<AdminContext> = {}, settings: AdminSettings = {}) {
  const server = createServer(adminListener(adminContext(context, settings))).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return async (path: string, headers: Record<string, string> = { host: 'localhost:9901' }, method = 'GET') => {
    if (!server.listening) await once(server, 'listening');
    return await askProxy((server.address() as AddressInfo).port, path, { headers, method });
  };
}

describe('a request that came through a Wakala', () => {
  it.each(['/livez', '/readyz', '/metrics', '/', '/api/requests', '/api/routes'])('gets 508 at %s', async (path) => {
    const send = appWith();
    for (const via of ['1.1 wakala-0123abcd', '1.1 proxy, 1.1 Wakala-0123abcd', '1.1 wakala-0123abcd , 1.0 proxy']) {
      const response = await send(path, { host: 'localhost:9901', via });
      expect([response.status, response.json()['code']]).toEqual([508, 'loop_detected']);
    }
    expect((await send(path, { host: 'localhost:9901', via: '1.1 proxy' })).status).toBe(200);
  });
});

describe('/livez', () => {
  it('is 200 while the process responds', async () => {
    const send = appWith({ ready: () => false, reloads: () => REFUSED });
    expect(await send('/livez')).toMatchObject({ status: 200, text: '{"status":"live"}' });
  });
});

describe('/readyz', () => {
  it('is 200 while requests are accepted', async () => {
    const { status, text, header } = await appWith()('/readyz');
    expect([status, text, header('cache-control')]).toEqual([200, '{"status":"ready"}', 'no-store']);
  });

  it('stays ready after a failed reload, and has the reason', async () => {
    const { status, text } = await appWith({ reloads: () => REFUSED })('/readyz');
    expect(status).toBe(200);
    expect(JSON.parse(text)).toEqual({ status: 'ready', detail: 'reload refused: line 3' });
  });

  it.each([
    ['another machine', '10.0.0.9', 'localhost', undefined, false],
    ['another machine over IPv6', 'fd00::9', 'wakala', undefined, false],
    ['a connection that is closed already', undefined, 'localhost', undefined, false],
    ['this machine under a name that leads here', '127.0.0.1', 'evil.example', undefined, false],
    ['this machine without a Host', '127.0.0.1', undefined, undefined, false],
    ['another machine with another token', '10.0.0.9', 'wakala', `Bearer ${TOKEN}x`, false],
    ['another machine with the admin token', '10.0.0.9', 'wakala', `Bearer ${TOKEN}`, true],
    ['a browser with the admin token', '10.0.0.9', 'wakala', `Basic ${btoa(`anyone:${TOKEN}`)}`, true],
    ['this machine', '127.0.0.1', 'localhost:9901', undefined, true],
    ['this machine over IPv6', '::1', '[::1]:9901', undefined, true],
    ['this machine over a socket for both', '::ffff:127.0.0.1', '127.0.0.1:9901', undefined, true],
  ])('tells %s why a reload failed: %s %s', (_, remoteAddress, host, authorization, isTold) => {
    const context = adminContext({ reloads: () => REFUSED }, { host: '0.0.0.0', token: TOKEN });
    const req = { method: 'GET', url: '/readyz', socket: { remoteAddress }, headers: { host, authorization } };
    const sent: unknown[] = [];
    const res = { writeHead: (status: number) => sent.push(status), end: (text: string) => sent.push(text) };
    adminListener(context)(req as unknown as IncomingMessage, res as unknown as ServerResponse);
    const detail = isTold ? ',"detail":"reload refused: line 3"' : '';
    expect(sent).toEqual([200, `{"status":"ready"${detail}}`]);
  });

  it('is 503 from the start of draining', async () => {
    let ready = true;
    const send = appWith({ ready: () => ready });
    expect((await send('/readyz')).status).toBe(200);
    ready = false;
    expect(await send('/readyz')).toMatchObject({ status: 503, text: '{"status":"draining"}' });
  });
});

describe('the admin listener', () => {
  it('has an index, and responds 404 to unknown paths', async () => {
    const send = appWith();
    expect(await send('/')).toMatchObject({ status: 200 });
    expect((await send('/')).text).toContain('/readyz');
    for (const path of ['/livez/', '/LIVEZ', '/nowhere', '/livez/x']) expect((await send(path)).status).toBe(404);
  });

  it('changes nothing on a GET, and accepts no other method on its probes', async () => {
    const send = appWith();
    for (const method of ['POST', 'PUT', 'DELETE']) {
      expect((await send('/readyz', { host: 'localhost' }, method)).status).toBe(404);
    }
    const head = await send('/readyz', { host: 'localhost' }, 'HEAD');
    expect([head.status, head.text]).toEqual([200, '']);
  });
});

describe('the admin listener on a loopback address', () => {
  it.each(['localhost:99999', 'localhost:', '[::1', 'a:b:c', '[::1]:'])(
    'responds to the invalid Host %j with a problem',
    async (host) => {
      const { status, header, json } = await appWith()('/', { host });
      expect([status, header('content-type')]).toEqual([400, 'application/problem+json']);
      expect(json()).toMatchObject({ status: 400, code: 'bad_request' });
    },
  );

  it.each(['localhost', 'localhost:9901', '127.0.0.1:9901', '[::1]:9901', 'x.localhost'])('serves %s', async (host) => {
    expect((await appWith()('/', { host })).status).toBe(200);
  });

  it.each(['evil.example', 'localhost.evil.example:9901', '127.0.0.1.evil.example', '10.0.0.1:9901'])(
    'refuses the Host %j with 403, because a web page could have that host',
    async (host) => {
      const response = await appWith()('/', { host });
      expect([response.status, response.text]).toEqual([403, 'host refused\n']);
    },
  );

  it('refuses an empty Host', async () => {
    expect((await adminApp(adminContext()).request('/', { headers: { host: '' } })).status).toBe(403);
  });

  it('responds to its probes under any Host', async () => {
    const send = appWith();
    expect((await send('/livez', { host: 'pod.example' })).status).toBe(200);
    expect((await send('/readyz', { host: 'pod.example' })).status).toBe(200);
  });

  it('requires no token, even if one is configured', async () => {
    const send = appWith({}, { token: TOKEN });
    expect((await send('/', { host: 'localhost' })).status).toBe(200);
  });
});

describe('the admin listener on another address', () => {
  const others = { host: '0.0.0.0', token: TOKEN };

  it('responds to its probes without credentials', async () => {
    const send = appWith({}, others);
    for (const path of ['/livez', '/readyz']) expect((await send(path, { host: '10.0.0.7:9901' })).status).toBe(200);
  });

  it.each([
    ['no token', {}],
    ['another token', { authorization: 'Bearer admin-token-0123456788' }],
    ['half a token', { authorization: `Bearer ${TOKEN.slice(0, 10)}` }],
    ['the token without a scheme', { authorization: TOKEN }],
    ['another password', { authorization: `Basic ${Buffer.from(`admin:${TOKEN}x`).toString('base64')}` }],
    ['the token as a user name', { authorization: `Basic ${Buffer.from(`${TOKEN}:`).toString('base64')}` }],
    ['the token in another header', { 'x-token': TOKEN }],
    ['an empty token', { authorization: 'Bearer ' }],
  ])('responds 401 to %s', async (_, headers) => {
    const response = await appWith({}, others)('/', { host: '10.0.0.7:9901', ...headers });
    expect([response.status, response.header('www-authenticate')]).toEqual([
      401,
      'Basic realm="wakala admin", Bearer realm="wakala admin"',
    ]);
    expect(response.text).not.toContain(TOKEN);
    expect((await appWith({}, others)('/nowhere', { host: '10.0.0.7:9901', ...headers })).status).toBe(401);
  });

  // Browsers send Basic after their login dialog.
  it.each([
    `Bearer ${TOKEN}`,
    `bearer ${TOKEN}`,
    ` Bearer  ${TOKEN} `,
    `Basic ${Buffer.from(`anyone:${TOKEN}`).toString('base64')}`,
  ])('accepts %j', async (authorization) => {
    expect((await appWith({}, others)('/', { host: 'admin.example', authorization })).status).toBe(200);
  });

  it('refuses everyone without a configured token', async () => {
    const send = appWith({}, { host: '0.0.0.0' });
    for (const authorization of ['', 'Bearer', 'Bearer ', 'Bearer undefined', 'Bearer [redacted]']) {
      expect((await send('/', { host: 'admin.example', authorization })).status).toBe(401);
    }
  });

  it('uses the token of the current configuration', async () => {
    let token = 'first-token-0123456789';
    const send = appWith({ config: () => adminConfig({ host: '0.0.0.0', token }) });
    const authorization = `Bearer ${TOKEN}`;
    expect((await send('/', { host: 'a', authorization })).status).toBe(401);
    token = TOKEN;
    expect((await send('/', { host: 'a', authorization })).status).toBe(200);
  });
});

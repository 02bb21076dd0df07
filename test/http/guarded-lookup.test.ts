import { lookup, type LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { addressGuard } from '../../src/http/ip-address.ts';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy } from '../support/proxy-server.ts';
import { sendRaw } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

vi.mock('node:dns', async (original) => ({ ...(await original<object>()), lookup: vi.fn() }));

type Done = (error: NodeJS.ErrnoException | null, addresses?: LookupAddress[]) => void;

/** What each name leads to; any other does not exist. */
const names = new Map<string, string[]>();
const asked: string[] = [];

beforeEach(() => {
  names.clear();
  asked.length = 0;
  vi.mocked(lookup).mockImplementation(((name: string, _: unknown, done: Done) => {
    asked.push(name);
    const addresses = names.get(name)?.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (addresses === undefined) done(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }));
    else done(null, addresses);
  }) as unknown as typeof lookup);
});

function looked(name: string, all: boolean): Promise<unknown[]> {
  return new Promise((resolve) => {
    addressGuard().lookup(name, { all }, (...results: unknown[]) => resolve(results));
  });
}

/** Counts who connects. */
async function listener(host: string) {
  const connections: unknown[] = [];
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on('error', () => {}).end(reply(200, 'reached'));
  }).listen(0, host);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return { connections, port: (server.address() as AddressInfo).port };
}

describe('the lookup of an address guard', () => {
  it.each([
    '169.254.169.254',
    '169.254.0.1',
    'fe80::1',
    'fd00:ec2::254',
    '100.100.100.200',
    '168.63.129.16',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
  ])('refuses a name that resolves to %s, alone or beside a valid address', async (address) => {
    names.set('api.example', [address]).set('mixed.example', ['192.0.2.1', address]);
    for (const name of ['api.example', 'mixed.example']) {
      for (const all of [true, false]) {
        const [error, found] = await looked(name, all);
        expect(error).toMatchObject({ code: 'LINK_LOCAL_ADDRESS' });
        expect(found).toEqual([]);
      }
    }
  });

  it('returns all addresses or the first, as requested', async () => {
    names.set('api.example', ['192.0.2.1', '2001:db8::1']);
    expect(await looked('api.example', true)).toEqual([
      null,
      [
        { address: '192.0.2.1', family: 4 },
        { address: '2001:db8::1', family: 6 },
      ],
    ]);
    expect(await looked('api.example', false)).toEqual([null, '192.0.2.1', 4]);
  });

  it('reports that a name does not exist', async () => {
    expect((await looked('gone.example', true))[0]).toMatchObject({ code: 'ENOTFOUND' });
  });
});

describe('an upstream whose name resolves to a metadata service', () => {
  it('is unreachable, and nothing is sent', async () => {
    const issuer = await RawUpstream.start(() => reply(200));
    const reached = await listener('127.0.0.1');
    names.set('api.test', ['127.0.0.1', '169.254.169.254']);
    const route = routeTo({ origin: `http://api.test:${reached.port}` }, { auth_server: issuer.origin });
    const proxy = await startProxy({ routes: { '/api/*': route } });
    const response = await sendRequest(proxy.port, '/api/pay', { body: 'money' });
    expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
    expect(response.text).toContain('LINK_LOCAL_ADDRESS');
    expect(asked).toContain('api.test');
    expect(reached.connections).toHaveLength(0);
  });

  it('is reachable again once its name resolves to another address', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    names.set('api.test', ['169.254.169.254']);
    const route = routeTo({ origin: `http://api.test:${upstream.port}` }, { auth_server: upstream.origin });
    const proxy = await startProxy({ routes: { '/api/*': route } });
    expect((await sendRequest(proxy.port, '/api/pay')).status).toBe(502);
    names.set('api.test', ['127.0.0.1']);
    expect((await sendRequest(proxy.port, '/api/pay')).text).toBe('fine');
  });
});

describe('a WebSocket upstream whose name resolves to a metadata service', () => {
  it('is not connected to', async () => {
    const issuer = await RawUpstream.start(() => reply(200));
    const reached = await listener('127.0.0.1');
    names.set('ws.test', ['127.0.0.1', '169.254.169.254']);
    const settings = { auth_server: issuer.origin, websocket: true };
    const route = routeTo({ origin: `http://ws.test:${reached.port}` }, settings);
    const proxy = await startProxy({ routes: { '/api/*': route } });
    const handshake = ['GET /api/x HTTP/1.1', 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', '', ''];
    const response = await sendRaw(proxy.port, handshake.join('\r\n'));
    expectProblem(response, { status: 502, code: 'upstream_unreachable', outcome: 'not_sent' });
    expect(asked).toContain('ws.test');
    expect(reached.connections).toHaveLength(0);
  });
});

describe('a token endpoint whose name resolves to a metadata service', () => {
  it('gets no connection and no credentials', async () => {
    const reached = await listener('127.0.0.1');
    const upstream = await RawUpstream.start(() => reply(200));
    names.set('auth.test', ['127.0.0.1', 'fe80::1']);
    const route = routeTo(upstream, { auth_server: `http://auth.test:${reached.port}` });
    const proxy = await startProxy({ routes: { '/api/*': route } });
    const response = await sendRequest(proxy.port, '/api/pay');
    expectProblem(response, { status: 503, code: 'token_unavailable', outcome: 'not_sent' });
    expect(response.text).toContain('LINK_LOCAL_ADDRESS');
    expect(reached.connections).toHaveLength(0);
    expect(upstream.received).toHaveLength(0);
  });
});

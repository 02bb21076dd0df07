import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { originOf } from '../../../src/http/client/origin.ts';
import { Secret } from '../../../src/secret.ts';
import { issue } from '../../config/certificate.ts';
import { requireTool } from '../../support/tools.ts';
import { iterations, poolTo, RawServer, response, send, sent, until } from './harness.ts';

const AUTHORITY = issue({ name: 'Test CA', isCa: true });
const SERVER = issue({ name: 'server', issuer: AUTHORITY, names: ['api.test'] });
const TLS = { cert: SERVER.cert, key: SERVER.key };
const CA = [AUTHORITY.cert];

/** A TLS server that notes what its clients show. */
async function tlsServer(options: TlsOptions = {}) {
  const sockets: TLSSocket[] = [];
  const resumed: boolean[] = [];
  const received: string[] = [];
  const server = createServer({ ...TLS, ...options }, (socket) => {
    sockets.push(socket);
    resumed.push(socket.isSessionReused());
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk.toString());
      socket.write(response('fine'));
    });
  });
  server.on('tlsClientError', () => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    sockets,
    resumed,
    received,
    port,
    named: `https://localhost:${port}`,
    byAddress: `https://127.0.0.1:${port}`,
  };
}

/** A server over TLS 1.3 that demands a client certificate. Node would close the connection without an alert. */
async function strictServer(): Promise<string> {
  requireTool('python3');
  const folder = mkdtempSync(path.join(tmpdir(), 'wakala-dial-'));
  writeFileSync(path.join(folder, 'server.pem'), SERVER.cert + SERVER.key);
  writeFileSync(path.join(folder, 'ca.pem'), AUTHORITY.cert);
  const script = `
import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain('server.pem')
context.load_verify_locations('ca.pem')
context.verify_mode = ssl.CERT_REQUIRED
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    try:
        context.wrap_socket(connection, server_side=True)
    except OSError:
        pass
`;
  const child = spawn('python3', ['-c', script], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return `https://localhost:${port.toString().trim()}`;
}

describe('an origin', () => {
  it.each([
    ['http://api.example.com', { isTls: false, host: 'api.example.com', port: 80, hostHeader: 'api.example.com' }],
    ['https://api.example.com', { isTls: true, host: 'api.example.com', port: 443, hostHeader: 'api.example.com' }],
    [
      'https://api.example.com:8443',
      { isTls: true, host: 'api.example.com', port: 8443, hostHeader: 'api.example.com:8443' },
    ],
    ['http://api.example.com:80', { isTls: false, host: 'api.example.com', port: 80, hostHeader: 'api.example.com' }],
    ['http://127.0.0.1:8080', { isTls: false, host: '127.0.0.1', port: 8080, hostHeader: '127.0.0.1:8080' }],
    ['https://[::1]:8443', { isTls: true, host: '::1', port: 8443, hostHeader: '[::1]:8443' }],
  ])('%s', (text, origin) => {
    expect(originOf(text)).toEqual(origin);
  });

  it('must be HTTP', () => {
    expect(() => originOf('ftp://api.example.com')).toThrow('ftp:// is not HTTP');
  });
});

describe('over TLS', () => {
  it('a server with a trusted authority gets the request, by name and by address', async () => {
    const server = await tlsServer();
    for (const origin of [server.named, server.byAddress]) {
      expect((await sent(poolTo(origin, { tls: { ca: CA } }))).summary).toBe('200 fine');
    }
    expect(server.sockets.map(({ servername }) => servername)).toEqual(['localhost', false]);
  });

  it('only HTTP/1.1 is offered', async () => {
    const server = await tlsServer({ ALPNProtocols: ['h2', 'http/1.1'] });
    await sent(poolTo(server.named, { tls: { ca: CA } }));
    expect(server.sockets[0]!.alpnProtocol).toBe('http/1.1');
  });

  it.each([
    ['whose authority is not trusted', {}, {}, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['that vouches for itself', issue({ name: 'localhost' }), { ca: CA }, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['whose certificate has another name', {}, { ca: CA, serverName: 'other.test' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['whose certificate has another address', {}, { ca: CA, serverName: '127.0.0.2' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    [
      'whose certificate has expired',
      issue({ name: 'localhost', issuer: AUTHORITY, to: new Date('2021-01-01') }),
      { ca: CA },
      'CERT_HAS_EXPIRED',
    ],
  ])(
    'a server %s gets nothing: upstream_unreachable, not_sent',
    async (_, { cert, key }: Partial<typeof SERVER>, tls, code) => {
      const server = await tlsServer(cert === undefined ? {} : { cert, key: key! });
      const recorder = await sent(poolTo(server.named, { tls }), { method: 'POST' });
      expect(recorder.summary).toBe('upstream_unreachable not_sent');
      expect(recorder.error?.message).toContain(`(${code})`);
      expect(server.received).toEqual([]);
    },
  );

  it('the environment cannot turn off verification, and its authorities are trusted besides `ca`', async () => {
    const other = issue({ name: 'Other CA', isCa: true });
    const folder = mkdtempSync(path.join(tmpdir(), 'wakala-dial-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'ca.pem');
    writeFileSync(file, AUTHORITY.cert);
    const script = `
      import { createServer } from 'node:tls';
      import { ConnectionPool } from './src/http/client/pool.ts';
      import { ReadBuffers } from './src/http/client/read-buffers.ts';
      const server = createServer(${JSON.stringify(TLS)}, (socket) => socket.on('error', () => {}).once('data', () => socket.write('HTTP/1.1 204 \\r\\n\\r\\n')));
      server.listen(0, '127.0.0.1', () => {
        const options = { connectTimeoutMs: 5000, buffers: new ReadBuffers(), tls: { ca: [${JSON.stringify(other.cert)}] } };
        const pool = new ConnectionPool('https://localhost:' + server.address().port, options);
        const done = (text) => { console.log(text); process.exit(); };
        const handler = { onSending() {}, onSent() {}, onHead(status) { done(status); }, onData() {}, onEnd() {}, onError(error) { done(error.code); } };
        pool.send({ method: 'GET', target: '/', headers: [], body: { kind: 'none' } }, handler);
      });`;
    const run = (env: Record<string, string>) => {
      const args = ['--no-warnings', '--experimental-strip-types', '--input-type=module', '-e', script];
      const { stdout, stderr } = spawnSync(process.execPath, args, {
        encoding: 'utf8',
        env: { ...process.env, ...env },
      });
      return stdout.trim() || stderr;
    };
    expect(run({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toBe('upstream_unreachable');
    expect(run({ NODE_EXTRA_CA_CERTS: file })).toBe('204');
  });

  it('`servername` is requested and verified in place of the host', async () => {
    const server = await tlsServer();
    const pool = poolTo(server.byAddress, { tls: { ca: CA, serverName: 'api.test' } });
    expect((await sent(pool)).summary).toBe('200 fine');
    expect(server.sockets[0]!.servername).toBe('api.test');
    const byAddress = poolTo(server.named, { tls: { ca: CA, serverName: '127.0.0.1' } });
    expect((await sent(byAddress)).summary).toBe('200 fine');
    expect(server.sockets[1]!.servername).toBe(false);
  });

  it.each([
    [{ maxVersion: 'TLSv1.2' }, {}, '200 fine'],
    [{ maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }, 'upstream_unreachable not_sent'],
    [{ minVersion: 'TLSv1.3' }, { minVersion: 'TLSv1.3' }, '200 fine'],
    [
      { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
      {},
      'upstream_unreachable not_sent',
    ],
  ] as const)('a server with %j and a client with %j: %s', async (server, client, summary) => {
    const { named } = await tlsServer(server);
    expect((await sent(poolTo(named, { tls: { ca: CA, ...client } }))).summary).toBe(summary);
  });

  it('a client certificate is presented', async () => {
    const client = issue({ name: 'client', issuer: AUTHORITY });
    const server = await tlsServer({ requestCert: true, rejectUnauthorized: true, ca: CA });
    const cert = client.cert;
    const key = new Secret(client.key);
    expect((await sent(poolTo(server.named, { tls: { ca: CA, cert, key } }))).summary).toBe('200 fine');
    expect(server.sockets[0]!.getPeerCertificate().subject.CN).toBe('client');
    expect((await sent(poolTo(server.named, { tls: { ca: CA } }), { method: 'POST' })).error).toBeDefined();
    expect(server.received).toHaveLength(1);
  });

  const other = issue({ name: 'client', issuer: issue({ name: 'Other CA', isCa: true }) });
  const OTHER_CLIENT = { cert: other.cert, key: new Secret(other.key) };

  it.each([
    ['no certificate', {}, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'],
    ['a certificate of another authority', OTHER_CLIENT, 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'],
  ])('an alert because of %s from the client names it; the outcome is unknown (TLS 1.3)', async (_, tls, code) => {
    const origin = await strictServer();
    for (const method of ['GET', 'POST']) {
      const { summary, error } = await sent(poolTo(origin, { tls: { ca: CA, ...tls } }), { method });
      expect(summary).toBe('upstream_reset unknown');
      expect(error?.reason).toMatchObject({ kind: 'network', code });
    }
  });

  it('a server that demands a client certificate is unreachable (TLS 1.2)', async () => {
    const server = await tlsServer({ requestCert: true, rejectUnauthorized: true, ca: CA, maxVersion: 'TLSv1.2' });
    expect((await sent(poolTo(server.named, { tls: { ca: CA } }))).summary).toBe('upstream_unreachable not_sent');
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a session is resumed by the same pool, and by no other (%s)',
    async (version) => {
      const server = await tlsServer({ minVersion: version, maxVersion: version });
      const pools = [poolTo(server.named, { tls: { ca: CA } }), poolTo(server.named, { tls: { ca: CA } })];
      for (const pool of pools) {
        for (let i = 0; i < 2; i++) {
          await sent(pool);
          await iterations(10);
          const { idle } = pool.stats();
          server.sockets.at(-1)!.destroy();
          await until(() => pool.stats().idle < idle);
        }
      }
      expect(server.resumed).toEqual([false, true, false, true]);
    },
  );

  it('an invalid key is upstream_unreachable, not_sent', async () => {
    const { named } = await tlsServer();
    const recorder = await sent(poolTo(named, { tls: { ca: CA, cert: 'none', key: new Secret('none') } }));
    expect(recorder.summary).toBe('upstream_unreachable not_sent');
  });

  it('a server that is closed during the handshake is upstream_unreachable, not_sent', async () => {
    const server = await RawServer.start(() => {}, { onConnection: ({ socket }) => socket.end() });
    const origin = server.origin.replace('http://127.0.0.1', 'https://localhost');
    expect((await sent(poolTo(origin), { method: 'POST' })).summary).toBe('upstream_unreachable not_sent');
  });
});

describe('a connection', () => {
  it.each(['http://169.254.169.254', 'https://169.254.169.254', 'http://[fe80::1]', 'http://[::ffff:169.254.169.254]'])(
    'to %s is refused',
    async (origin) => {
      const recorder = await sent(poolTo(origin), { method: 'POST' });
      expect(recorder.summary).toBe('upstream_unreachable not_sent');
      expect(recorder.error?.message).toContain('(LINK_LOCAL_ADDRESS)');
    },
  );

  it('does not delay small writes (TCP_NODELAY)', async () => {
    const spy = vi.spyOn(Socket.prototype, 'setNoDelay');
    onTestFinished(() => spy.mockRestore());
    const tls = await tlsServer();
    const tcp = await RawServer.start((_, { socket }) => socket.write(response()));
    await sent(poolTo(tls.named, { tls: { ca: CA } }));
    await sent(poolTo(tcp.origin));
    expect(spy.mock.calls).toEqual([[true], [true]]);
  });

  it('over a socket without onread is read through `data` events', async () => {
    const server = await RawServer.start((_, { socket }) => socket.write(response('x'.repeat(100_000))));
    const pool = poolTo(server.origin, {
      dial: (listener) => {
        const socket = new Socket();
        socket.on('data', (chunk) => listener.onRead(chunk.length, chunk));
        socket.once('error', (error) => listener.onDialFailed(error));
        socket.connect(server.port, '127.0.0.1', () => listener.onConnected(socket));
        return socket;
      },
    });
    for (let i = 0; i < 2; i++) {
      expect((await sent(pool)).body).toBe('x'.repeat(100_000));
      await iterations();
    }
    expect(server.connections).toHaveLength(1);
    const paused = send(pool);
    paused.exchange.abort();
  });
});

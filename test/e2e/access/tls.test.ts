import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { describe, expect, it } from 'vitest';
import { issue } from '../../config/certificate.ts';
import { routeTo, type Settings } from '../../support/proxy-server.ts';
import { RawClient } from '../../support/raw-client.ts';
import { RawReader } from '../../support/raw-message.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { bearer, connectTls, makePki, sendTls, SHOP, startTlsProxy, tlsFiles } from './support.ts';

const pki = makePki();
const trusting = { ca: pki.ca.cert };
const REQUEST = 'GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n';

async function start(settings: Settings = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const files = tlsFiles(pki);
  const proxy = await startTlsProxy({ routes: { '/api/*': routeTo(upstream) }, ...settings }, files);
  return { upstream, proxy, files };
}

describe('a proxy with listen.tls', () => {
  it('serves https', async () => {
    const { proxy } = await start();
    expect(await sendTls(proxy.port, '/api/x', trusting)).toMatchObject({ status: 200, text: 'fine' });
  });

  it('presents its certificate, which clients can verify', async () => {
    const { proxy } = await start();
    await expect(sendTls(proxy.port, '/api/x', {})).rejects.toThrow(/certificate/);
    const socket = await connectTls(proxy.port, trusting);
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerCertificate().subject.CN).toBe('localhost');
  });

  it('refuses old versions of TLS', async () => {
    const { proxy } = await start();
    const old = { ...trusting, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await expect(connectTls(proxy.port, old)).rejects.toThrow();
  });

  it('closes connections without TLS without forwarding anything, and keeps running', async () => {
    const { upstream, proxy } = await start();
    for (const bytes of [REQUEST, 'garbage\r\n\r\n', Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0])]) {
      const client = await RawClient.open(proxy.port);
      client.send(bytes);
      await client.ending;
      expect(client.received.toString('latin1')).not.toContain('fine');
    }
    expect(upstream.received).toHaveLength(0);
    expect((await sendTls(proxy.port, '/api/x', trusting)).status).toBe(200);
  });

  it('keeps running when clients disconnect during the handshake', async () => {
    const { proxy } = await start();
    for (let i = 0; i < 20; i++) {
      const socket = connectPlain(proxy.port, '127.0.0.1');
      await once(socket, 'connect');
      socket.write(Buffer.from([0x16, 3, 1, 2, 0]));
      if (i % 2 === 0) socket.destroy();
      else socket.resetAndDestroy();
    }
    expect((await sendTls(proxy.port, '/api/x', trusting)).status).toBe(200);
  });

  it('applies browser checks and the `clients` list', async () => {
    const { proxy, upstream } = await start({ clients: [SHOP] });
    const status = async (headers: Record<string, string>) =>
      (await sendTls(proxy.port, '/api/x', trusting, headers)).status;
    expect(await status({ ...bearer(SHOP.key), host: 'evil.example' })).toBe(403);
    expect(await status({ ...bearer(SHOP.key), origin: 'https://evil.example' })).toBe(403);
    expect(await status({})).toBe(401);
    expect(upstream.received).toHaveLength(0);
    expect(await status(bearer(SHOP.key))).toBe(200);
  });

  it('closes connections over max_connections before the handshake, and accepts new ones later', async () => {
    const { proxy } = await start({ max_connections: 2 });
    const first = await connectTls(proxy.port, trusting);
    await connectTls(proxy.port, trusting);
    await expect(connectTls(proxy.port, trusting)).rejects.toThrow();
    const closed = once(first, 'close');
    first.end();
    await closed;
    await expect
      .poll(() =>
        sendTls(proxy.port, '/api/x', trusting).then(
          (response) => response.status,
          () => 0,
        ),
      )
      .toBe(200);
  });
});

describe('new certificates', () => {
  it('are used for new connections, while open ones stay', async () => {
    const { proxy, files } = await start();
    const old = await connectTls(proxy.port, trusting);
    const before = (await sendTls(proxy.port, '/api/x', trusting)).serial;
    const renewed = issue({ name: 'localhost', issuer: pki.ca });
    files['/tls/cert.pem'] = renewed.cert;
    files['/tls/key.pem'] = renewed.key;
    proxy.reload();
    const after = await sendTls(proxy.port, '/api/x', trusting);
    expect(after.status).toBe(200);
    expect(after.serial).not.toBe(before);
    const reader = new RawReader();
    old.on('data', (bytes: Buffer) => reader.push(bytes));
    old.write(REQUEST);
    await expect.poll(() => reader.take('still coming')?.start).toBe('HTTP/1.1 200 As Scripted');
  });

  it('that do not match their key change nothing', async () => {
    const { proxy, files } = await start();
    const before = (await sendTls(proxy.port, '/api/x', trusting)).serial;
    files['/tls/cert.pem'] = issue({ name: 'localhost', issuer: pki.ca }).cert;
    expect(() => proxy.reload()).toThrow('does not belong to the certificate');
    expect((await sendTls(proxy.port, '/api/x', trusting)).serial).toBe(before);
  });
});

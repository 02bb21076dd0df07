// What the client relies on and Node does not promise. Run on every supported major version of Node.
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { issue } from '../../config/certificate.ts';
import { until } from './harness.ts';

const KIB = 1024;
const CERTIFICATE = issue({ name: 'localhost' });
const TLS = { cert: CERTIFICATE.cert, key: CERTIFICATE.key };

describe.each(['TCP', 'TLS'])('a socket with `onread` over %s', (protocol) => {
  /** Reads from a server that sends 4 MiB; `onRead` runs in the callback. */
  async function reading(onRead: (socket: Socket, reads: number) => void) {
    const server = protocol === 'TCP' ? createServer() : createTlsServer(TLS);
    server.on(protocol === 'TCP' ? 'connection' : 'secureConnection', (peer: Socket) => {
      peer.on('error', () => {});
      peer.write(Buffer.alloc(4 * 1024 * KIB, 'x'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const given: Buffer[] = [];
    const reads: { length: number; buffer: Uint8Array }[] = [];
    const onread = {
      buffer: () => {
        given.push(Buffer.alloc(64 * KIB));
        return given.at(-1)!;
      },
      callback: (length: number, buffer: Uint8Array) => {
        reads.push({ length, buffer });
        onRead(socket, reads.length);
        return true;
      },
    };
    const { port } = server.address() as AddressInfo;
    const options = { port, host: 'localhost', family: 4, ca: CERTIFICATE.cert, onread };
    const socket: Socket = protocol === 'TCP' ? connect(options) : connectTls(options);
    onTestFinished(() => {
      socket.destroy();
      server.close();
    });
    return { socket, given, reads };
  }

  it('requests a buffer when it connects and after each read, and reads into the last one', async () => {
    const { given, reads } = await reading(() => {});
    await until(() => reads.length > 20);
    expect(given.length).toBe(reads.length + 1);
    expect(reads.every(({ buffer }, i) => buffer === given[i])).toBe(true);
    expect(Math.max(...reads.map(({ length }) => length))).toBeLessThanOrEqual(
      protocol === 'TCP' ? 64 * KIB : 16 * KIB,
    );
  });

  it('reads at most 64 KiB more after a pause, and over TCP nothing', async () => {
    const { socket, reads } = await reading((paused, count) => {
      if (count === 5) paused.pause();
    });
    await until(() => reads.length >= 5);
    await delay(50);
    const after = reads.slice(5).reduce((sum, { length }) => sum + length, 0);
    expect(after).toBeLessThanOrEqual(protocol === 'TCP' ? 0 : 64 * KIB);
    const before = reads.length;
    socket.resume();
    await until(() => reads.length > before);
  });

  it('reads nothing more after it was destroyed in the callback', async () => {
    const { reads } = await reading((destroyed, count) => {
      if (count === 3) destroyed.destroy();
    });
    await until(() => reads.length >= 3);
    await delay(20);
    expect(reads).toHaveLength(3);
  });
});

describe.each([
  ['a length over TCP', false, 'content-length'],
  ['chunks over TCP', false, 'transfer-encoding'],
  ['a length over TLS', true, 'content-length'],
  ['chunks over TLS', true, 'transfer-encoding'],
] as const)('the callback of a `write` of a response with %s', (_, tls, framing) => {
  const CHUNK = 64 * KIB;
  const COUNT = 300;

  async function serving(listener: RequestListener) {
    const server = tls ? createHttpsServer(TLS, listener) : createHttpServer(listener);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const options = { port, host: 'localhost', family: 4, ca: CERTIFICATE.cert };
    const client: Socket = tls ? connectTls(options) : connect(options);
    client.on('error', () => {});
    await once(client, tls ? 'secureConnect' : 'connect');
    client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    return client;
  }

  it('is called without an error only when nothing reads the buffer any more', async () => {
    const client = await serving((_req, res) => {
      res.setHeader(framing, framing === 'content-length' ? CHUNK * COUNT : 'chunked');
      res.socket?.cork();
      setImmediate(() => res.socket?.uncork());
      for (let i = 0; i < COUNT; i++) {
        const chunk = Buffer.alloc(CHUNK, 'x');
        res.write(chunk, (error) => {
          if (error === null || error === undefined) chunk.fill('!');
        });
      }
      res.end();
    });
    let bytes = 0;
    let overwritten = 0;
    client.on('data', (data) => {
      bytes += data.length;
      if (data.includes('!')) overwritten += 1;
      // A slow reader, so that writes have to wait.
      client.pause();
      setTimeout(() => client.resume(), 1);
    });
    await until(() => bytes >= CHUNK * COUNT);
    expect(overwritten).toBe(0);
  });

  it('is called with an error, or never, for a client that is gone', async () => {
    const outcomes: unknown[] = [];
    let written = false;
    const client = await serving((_req, res) => {
      res.setHeader(framing, framing === 'content-length' ? CHUNK * COUNT : 'chunked');
      for (let i = 0; i < COUNT; i++) res.write(Buffer.alloc(CHUNK, 'x'), (error) => outcomes.push(error));
      res.on('close', () => (written = true));
    });
    client.once('data', () => client.destroy());
    await until(() => written);
    await delay(20);
    // What the kernel took before may have succeeded.
    expect(outcomes.filter((error) => !(error instanceof Error)).length).toBeLessThan(COUNT - 50);
  });
});

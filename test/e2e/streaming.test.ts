import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { listen } from '../support/listen.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { chunk, RawUpstream, reply } from '../support/upstream-raw.ts';

describe('a response that continues', () => {
  it('is relayed event by event, each before the provider sends the next', async () => {
    const upstream = await RawUpstream.start(
      () => 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n',
    );
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const request = await upstream.request();
    await client.until('text/event-stream');
    for (let i = 0; i < 20; i++) {
      request.send(chunk(`data: event ${i}\n\n`));
      await client.until(`data: event ${i}\n\n`);
    }
    request.send(chunk(''));
    expect((await client.nextResponse()).body.toString().split('\n\n')).toHaveLength(21);
  });

  it('is not aborted by the deadline while it continues', async () => {
    const upstream = await RawUpstream.start(() => 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
    const proxy = await startProxyTo(upstream, { timeout: '800ms' });
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const request = await upstream.request();
    const startedMs = performance.now();
    for (let i = 0; performance.now() - startedMs < 1200; i++) {
      request.send(chunk(`tick ${i};`));
      await client.until(`tick ${i};`);
      await sleep(50);
    }
    request.send(chunk(''));
    expect((await client.nextResponse()).body.toString()).toContain('tick 2;');
  });

  it('without a length ends when the provider closes its connection', async () => {
    const upstream = await RawUpstream.start((request) => {
      request.send('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it');
      request.socket.end();
    });
    const proxy = await startProxyTo(upstream);
    expect((await sendRequest(proxy.port, '/api/x')).text).toBe('all of it');
  });
});

describe('a response of any size', () => {
  it.each([0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 1024 * 1024])(
    'arrives unchanged: %i bytes, by length and in chunks',
    async (size) => {
      const body = Buffer.alloc(size);
      for (let i = 0; i < size; i++) body[i] = (i * 31 + (i >> 8)) & 255;
      const halves = [body.subarray(0, size >> 1), body.subarray(size >> 1)].filter((half) => half.length > 0);
      const head = Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      const chunked = Buffer.concat([head, ...halves.map(chunk), chunk('')]);
      const upstream = await RawUpstream.start(({ target }) => (target === '/chunks' ? chunked : reply(200, body)));
      const proxy = await startProxyTo(upstream);
      const [byLength, inChunks] = [
        await sendRequest(proxy.port, '/api/length'),
        await sendRequest(proxy.port, '/api/chunks'),
      ];
      expect(byLength.body.equals(body)).toBe(true);
      expect(inChunks.body.equals(body)).toBe(true);
      expect(byLength.header('content-length')).toBe(String(size));
    },
  );
});

describe('a client that reads slowly', () => {
  it('slows down the provider: buffered bytes stay limited, and nothing is lost', async () => {
    const size = 64 * 1024 * 1024;
    const source = await startSource(size);
    const tokens = await RawUpstream.start(() => reply(200));
    const route = { ...routeTo(tokens), upstream: `http://127.0.0.1:${source.port}`, auth_server: tokens.origin };
    const proxy = await startProxy({ routes: { '/api/*': route } });
    const client = new SlowReader(await RawClient.open(proxy.port));
    client.raw.socket.pause();
    client.raw.send('GET /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    await source.stalled();
    expect(source.written()).toBeLessThan(size / 2);
    const { bytes, digest } = await client.readAll();
    expect(bytes).toBe(size);
    expect(digest).toBe(source.digest());
  });
});

/** Serves one response of this size, as fast as the peer reads. */
async function startSource(size: number) {
  const piece = Buffer.alloc(64 * 1024);
  for (let i = 0; i < piece.length; i++) piece[i] = i & 255;
  const hash = createHash('sha256');
  const serving = Promise.withResolvers<Socket>();
  let written = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
      const more = () => {
        while (written < size) {
          written += piece.length;
          hash.update(piece);
          if (!socket.write(piece)) return;
        }
      };
      socket.on('drain', more);
      more();
      serving.resolve(socket);
    });
  });
  return {
    port: await listen(server),
    written: () => written,
    digest: () => hash.digest('hex'),
    /** Resolves when nothing more was taken for a while. */
    stalled: async () => {
      await serving.promise;
      for (let before = -1; before !== written;) {
        before = written;
        await sleep(300);
      }
    },
  };
}

/** Counts and hashes a body without keeping it. */
class SlowReader {
  readonly raw: RawClient;

  constructor(raw: RawClient) {
    this.raw = raw;
    raw.socket.removeAllListeners('data');
  }

  async readAll(): Promise<{ bytes: number; digest: string }> {
    const hash = createHash('sha256');
    let head: Buffer | undefined = Buffer.alloc(0);
    let bytes = 0;
    for await (const data of this.raw.socket as AsyncIterable<Buffer>) {
      let body = data;
      if (head !== undefined) {
        head = Buffer.concat([head, data]);
        const end = head.indexOf('\r\n\r\n');
        if (end === -1) continue;
        body = head.subarray(end + 4);
        head = undefined;
      }
      hash.update(body);
      bytes += body.length;
    }
    return { bytes, digest: hash.digest('hex') };
  }
}

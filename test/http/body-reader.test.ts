import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BodyReader } from '../../src/http/body-reader.ts';
import { pauseConnection, resumeConnection } from '../../src/http/node-internals.ts';
import { listen } from '../support/listen.ts';

/** Most that may wait: 32 KiB, and what node had read and not parsed yet. Bytes. */
const MOST_WAITING = (32 + 64) * 1024;

async function start(onRequest: (req: IncomingMessage, res: ServerResponse) => void): Promise<Socket> {
  const socket = connect(await listen(createServer(onRequest)), '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

function post(length: number): string {
  return `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
}

async function untilReceived(socket: Socket, text: string): Promise<void> {
  let received = '';
  while (!received.includes(text)) received += String((await once(socket, 'data'))[0]);
}

/** Waits until no byte was read from the connection for 200 ms. */
async function untilStill(req: IncomingMessage): Promise<void> {
  for (let before = -1; before !== req.socket.bytesRead;) {
    before = req.socket.bytesRead;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function read(reader: BodyReader): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of reader.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('a body reader', () => {
  const size = 8 * 1024 * 1024;

  it('pauses the connection while nothing is taken, and returns every byte afterwards', async () => {
    const requests: [IncomingMessage, BodyReader][] = [];
    const socket = await start((req) => requests.push([req, BodyReader.of(req)]));
    const body = Buffer.alloc(size, '0123456789abcdef');
    socket.write(post(size));
    socket.write(body);
    await expect.poll(() => requests.length).toBe(1);
    const [[req, reader]] = requests as [[IncomingMessage, BodyReader]];
    await untilStill(req);
    expect(reader.bufferedBytes).toBeLessThanOrEqual(MOST_WAITING);
    expect(req.readableLength).toBe(0);
    expect((await read(reader)).equals(body)).toBe(true);
  });

  it('lets the connection carry the next request, after the body was taken or discarded', async () => {
    let served = 0;
    const socket = await start((req, res) => {
      const reader = BodyReader.of(req);
      served += 1;
      if (served === 1) setTimeout(() => reader.discard(), 100);
      else void read(reader);
      req.on('end', () => res.end(`served ${served}`));
    });
    for (const number of [1, 2, 3]) {
      socket.write(post(size));
      socket.write(Buffer.alloc(size));
      await untilReceived(socket, `served ${number}`);
    }
  });

  it('keeps what arrived before `listen`', async () => {
    const heard: string[] = [];
    const socket = await start((req) => {
      const reader = BodyReader.of(req);
      setTimeout(() => {
        reader.listen(0, {
          onChunk: (chunk) => heard.push(chunk.toString()),
          onEnd: () => heard.push(`end of ${reader.take().toString()}`),
          onError: () => heard.push('broken'),
        });
      }, 100);
    });
    socket.write(`${post(4)}body`);
    await expect.poll(() => heard).toEqual(['body', 'end of body']);
  });

  it('throws if the body breaks off or is discarded', async () => {
    const failures: unknown[] = [];
    const socket = await start((req) => {
      const reader = BodyReader.of(req);
      read(reader).catch((error: unknown) => failures.push(error));
      if (req.headers['x-discard'] !== undefined) reader.discard();
    });
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nX-Discard: 1\r\nContent-Length: 4\r\n\r\nbody');
    await expect.poll(() => failures.length).toBe(1);
    socket.write(`${post(10)}half`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    await expect.poll(() => failures.length).toBe(2);
    for (const failure of failures) expect(failure).toMatchObject({ code: 'bad_request', outcome: 'unknown' });
  });
});

describe('a paused connection', () => {
  it('delivers no more than node had read, and the rest after it resumes', async () => {
    const size = 16 * 1024 * 1024;
    let heard = 0;
    const requests: IncomingMessage[] = [];
    const socket = await start((req) => {
      requests.push(req);
      req.on('data', (chunk: Buffer) => {
        if (heard === 0) pauseConnection(req);
        heard += chunk.length;
      });
    });
    socket.write(post(size));
    socket.write(Buffer.alloc(size));
    await expect.poll(() => heard).toBeGreaterThan(0);
    const [req] = requests as [IncomingMessage];
    await untilStill(req);
    expect(heard).toBeLessThanOrEqual(64 * 1024);
    expect(req.readableLength).toBe(0);
    resumeConnection(req);
    await once(req, 'end');
    expect(heard).toBe(size);
  });
});

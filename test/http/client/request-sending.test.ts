import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ClientRequest, RequestBody } from '../../../src/http/client/http-exchange.ts';
import { dialTo, iterations, poolTo, RawServer, Recorder, response, send, sent, until } from './harness.ts';

const KIB = 1024;

function bytes(text: string | Buffer): RequestBody {
  return { kind: 'bytes', bytes: Buffer.from(text as string) };
}

function stream(chunks: AsyncIterable<Buffer>, length?: number): RequestBody {
  return { kind: 'stream', chunks, length };
}

async function* chunksOf(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) {
    yield Buffer.from(text);
    await iterations(1);
  }
}

/** A server that records all bytes of a connection and responds once they end with this text. */
async function wiretap(end: string) {
  let received = '';
  const segments: string[] = [];
  const server = await RawServer.start(() => {}, {
    onConnection: ({ socket }) => {
      socket.on('data', (chunk) => {
        segments.push(chunk.toString('latin1'));
        received += chunk.toString('latin1');
        if (received.endsWith(end)) socket.write(response('fine'));
      });
    },
  });
  return { server, segments, received: () => received };
}

describe('a request is written', () => {
  const constant = (port: number) => `host: 127.0.0.1:${port}\r\nconnection: keep-alive\r\n`;

  it('with its headers in order, and those of the client', async () => {
    const { server, received } = await wiretap('\r\n\r\n');
    const headers = ['X-One', '1', 'x-two', '', 'X-ONE', '\ttwo \xff'];
    const recorder = await sent(poolTo(server.origin), { target: '/a%20b?c=d&e', headers });
    expect(received()).toBe(
      `GET /a%20b?c=d&e HTTP/1.1\r\n${constant(server.port)}X-One: 1\r\nx-two: \r\nX-ONE: \ttwo \xff\r\n\r\n`,
    );
    expect(recorder.calls).toEqual(['sending', 'sent', 'head', 'data', 'end']);
  });

  it.each([
    ['GET', ''],
    ['DELETE', ''],
    ['OPTIONS', ''],
    ['POST', 'content-length: 0\r\n'],
    ['PUT', 'content-length: 0\r\n'],
    ['PATCH', 'content-length: 0\r\n'],
  ])('without a body: %s', async (method, line) => {
    for (const body of [{ kind: 'none' } as const, bytes('')]) {
      const { server, received } = await wiretap('\r\n\r\n');
      expect((await sent(poolTo(server.origin), { method, body })).summary).toBe('200 fine');
      expect(received()).toBe(`${method} / HTTP/1.1\r\n${constant(server.port)}${line}\r\n`);
    }
  });

  it.each([1, 500, 4 * KIB, 4 * KIB + 1, 100 * KIB, 1000 * KIB])('with a body of %d bytes', async (length) => {
    const body = Buffer.alloc(length, 0);
    for (let i = 0; i < length; i++) body[i] = i * 7;
    body[length - 1] = 1;
    const { server, received } = await wiretap(body.toString('latin1').slice(-8));
    expect((await sent(poolTo(server.origin), { method: 'POST', body: bytes(body) })).summary).toBe('200 fine');
    const head = `POST / HTTP/1.1\r\n${constant(server.port)}content-length: ${length}\r\n\r\n`;
    expect(received() === head + body.toString('latin1')).toBe(true);
  });

  it.each(['GET', 'DELETE', 'POST'])('with a body, whatever the method: %s', async (method) => {
    const { server, received } = await wiretap('body');
    await sent(poolTo(server.origin), { method, body: bytes('body') });
    expect(received()).toContain('content-length: 4\r\n\r\nbody');
  });

  it('in one write, head and small body together', async () => {
    const { server, segments } = await wiretap('end');
    await sent(poolTo(server.origin), { method: 'POST', body: bytes(`${'x'.repeat(2 * KIB)}end`) });
    expect(segments).toHaveLength(1);
  });

  it('with a stream of known length', async () => {
    const { server, received } = await wiretap('three');
    const body = stream(chunksOf('one', '', 'two', 'three'), 11);
    const recorder = await sent(poolTo(server.origin), { method: 'POST', body });
    expect(recorder.calls).toEqual(['sending', 'sent', 'head', 'data', 'end']);
    expect(received()).toBe(`POST / HTTP/1.1\r\n${constant(server.port)}content-length: 11\r\n\r\nonetwothree`);
  });

  it('with a stream of unknown length, in chunks', async () => {
    const { server, received } = await wiretap('0\r\n\r\n');
    const body = stream(chunksOf('one', '', 'x'.repeat(20)));
    await sent(poolTo(server.origin), { method: 'DELETE', body });
    expect(received()).toBe(
      `DELETE / HTTP/1.1\r\n${constant(server.port)}transfer-encoding: chunked\r\n\r\n` +
        `3\r\none\r\n14\r\n${'x'.repeat(20)}\r\n0\r\n\r\n`,
    );
  });

  it('with an empty stream', async () => {
    const { server, received } = await wiretap('0\r\n\r\n');
    await sent(poolTo(server.origin), { method: 'POST', body: stream(chunksOf()) });
    expect(received().endsWith('transfer-encoding: chunked\r\n\r\n0\r\n\r\n')).toBe(true);
  });

  it('with the host of the origin, without the default port', async () => {
    const { server, received } = await wiretap('\r\n\r\n');
    const pool = poolTo('http://api.example.com', {
      dial: dialTo(server.port),
    });
    await sent(pool);
    expect(received()).toContain('\r\nhost: api.example.com\r\n');
  });
});

describe('a request is refused before anything is written, for', () => {
  const bad = ['a\rb', 'a\nb', 'a\r\nb: c', 'a\0b', 'a\x7fb', 'a\u0100b', 'a\u010d\u010ab', '\ud83d\ude00'];
  const framing = ['Host', 'connection', 'Content-Length', 'TRANSFER-ENCODING'];

  const cases: readonly (readonly [string, Partial<ClientRequest>])[] = [
    ...bad.map((text) => ['the method is', { method: text }] as const),
    ...['', 'G ET', 'CONNECT', 'GET:'].map((method) => ['the method is', { method }] as const),
    ...bad.map((text) => ['the target is', { target: `/${text}` }] as const),
    ...['', '/a b', '/a\tb'].map((target) => ['the target is', { target }] as const),
    ...bad.map((text) => ['a header name is', { headers: [text, 'x'] }] as const),
    ...['', 'a b', 'a:', 'caf\xe9'].map((name) => ['a header name is', { headers: [name, 'x'] }] as const),
    ...bad.map((text) => ['a header value is', { headers: ['x', text] }] as const),
    ...framing.map((name) => ['it has a header', { headers: ['a', 'b', name, '1'] }] as const),
    ['a header has no value', { headers: ['a'] }],
    ['its length is', { method: 'POST', body: stream(chunksOf(), -1) }],
    ['its length is', { method: 'POST', body: stream(chunksOf(), 1.5) }],
    ['its length is', { method: 'POST', body: stream(chunksOf(), NaN) }],
  ];

  it.each(cases)('%s %j', async (_, request) => {
    const server = await RawServer.start((__, { socket }) => socket.write(response()));
    const pool = poolTo(server.origin);
    // Header lines that were sent before are not checked again; others are.
    await sent(pool, { headers: ['a', 'b', 'x', 'y'] });
    await iterations();
    const recorder = new Recorder();
    expect(() => send(pool, request, recorder)).toThrow(
      expect.objectContaining({ code: 'internal_error', outcome: 'not_sent' }),
    );
    expect((await sent(pool, { headers: ['a', 'b', 'x', 'y'] })).summary).toBe('200 ');
    expect(recorder.calls).toEqual([]);
    expect(server.requests).toHaveLength(2);
  });

  it('names the header, and never its value', async () => {
    const pool = poolTo('http://127.0.0.1:1');
    expect(() => send(pool, { headers: ['authorization', 'Bearer secret\r\n'] })).toThrow(
      'The request cannot be sent: its header authorization has a character that is not allowed. Nothing was sent.',
    );
  });
});

describe('a streamed request body', () => {
  /** Gives chunks of 64 KiB, and notes how many were taken and whether it was given up. */
  function source(count: number, chunk = Buffer.alloc(64 * KIB, 'x')) {
    const taken = { chunks: 0, isGivenUp: false };
    async function* chunks(): AsyncGenerator<Buffer> {
      try {
        for (; taken.chunks < count;) {
          taken.chunks += 1;
          yield chunk;
        }
      } finally {
        taken.isGivenUp = taken.chunks < count;
      }
    }
    return { taken, chunks: chunks() };
  }

  it('is read no faster than the server reads it', async () => {
    const server = await RawServer.start(() => {}, { onConnection: ({ socket }) => socket.pause() });
    const { taken, chunks } = source(1600);
    send(poolTo(server.origin), { method: 'POST', body: stream(chunks) });
    await until(() => taken.chunks > 0);
    let before = 0;
    while (taken.chunks > before) {
      before = taken.chunks;
      await delay(50);
    }
    // What the kernel's buffers of both ends hold: a few MiB of 100.
    expect(taken.chunks).toBeLessThan(400);
    let bytesRead = 0;
    const { socket } = server.connections[0]!;
    socket.removeAllListeners('data').on('data', (chunk) => (bytesRead += chunk.length));
    socket.resume();
    await until(() => bytesRead > 1600 * 64 * KIB);
    expect(taken.chunks).toBe(1600);
  });

  it('that fails closes the connection, and the server sees no end of the body', async () => {
    const { server, received } = await wiretap('never');
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.from('part');
      await iterations(5);
      throw new Error('the client left');
    }
    const recorder = send(poolTo(server.origin), { method: 'POST', body: stream(broken()) });
    expect((await recorder.over).summary).toBe('bad_request unknown');
    await until(() => server.connections[0]!.socket.closed);
    expect(received()).toMatch(/\r\n\r\n4\r\npart\r\n$/);
  });

  it.each([
    ['longer', ['abc', 'def'], 5, 'abc'],
    ['shorter', ['abc'], 5, 'abc'],
  ])('that is %s than its length closes the connection', async (_, texts, length, seen) => {
    const { server, received } = await wiretap('never');
    const body = stream(chunksOf(...texts), length);
    const recorder = await sent(poolTo(server.origin), { method: 'POST', body });
    expect(recorder.summary).toBe('bad_request unknown');
    await until(() => server.connections[0]!.socket.closed);
    expect(received().split('\r\n\r\n')[1]).toBe(seen);
  });

  it('is no longer read when the request is aborted', async () => {
    const server = await RawServer.start(() => {}, { onConnection: ({ socket }) => socket.pause() });
    const { taken, chunks } = source(1600);
    const recorder = send(poolTo(server.origin), { method: 'POST', body: stream(chunks) });
    await until(() => taken.chunks > 0);
    recorder.exchange.abort();
    await until(() => taken.isGivenUp);
    expect(recorder.calls).toEqual(['sending']);
  });

  it('is not read before there is a connection', async () => {
    const { taken, chunks } = source(1);
    const recorder = send(poolTo('http://127.0.0.1:1', { dial: () => ({ destroy: () => {} }) }), {
      body: stream(chunks),
    });
    await iterations(5);
    recorder.exchange.abort();
    expect(taken.chunks).toBe(0);
  });
});

describe('a final response before the request is complete', () => {
  it('is relayed, and the connection is closed after it', async () => {
    const server = await RawServer.start((_, { socket }) => socket.write(response('too large')), { atHead: true });
    const pool = poolTo(server.origin);
    let isGivenUp = false;
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        for (;;) {
          yield Buffer.from('x');
          await iterations(1);
        }
      } finally {
        isGivenUp = true;
      }
    }
    const recorder = await sent(pool, { method: 'POST', body: stream(endless()) });
    expect(recorder.summary).toBe('200 too large');
    expect(recorder.calls).toEqual(['sending', 'head', 'data', 'end']);
    await until(() => isGivenUp);
    await until(() => server.connections[0]!.socket.closed);
    expect(pool.stats()).toEqual({ busy: 0, idle: 0, waiting: 0 });
  });

  it('does not prevent the rest of the body from being sent', async () => {
    const server = await RawServer.start(() => {}, {
      onConnection: ({ socket }) => {
        let received = '';
        socket.on('data', (chunk) => {
          if (received === '') socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n');
          received += chunk.toString();
          if (received.endsWith('0\r\n\r\n')) socket.write('1\r\nb\r\n0\r\n\r\n');
        });
      },
    });
    const pool = poolTo(server.origin);
    const recorder = send(pool, { method: 'POST', body: stream(afterHead()) });
    async function* afterHead(): AsyncGenerator<Buffer> {
      yield Buffer.from('first');
      await recorder.called('data');
      yield Buffer.from('second');
    }
    expect((await recorder.over).summary).toBe('200 ab');
    expect(recorder.calls).toEqual(['sending', 'head', 'data', 'sent', 'data', 'end']);
    await until(() => pool.stats().idle === 1);
  });
});

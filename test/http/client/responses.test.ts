import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { ReadBuffers } from '../../../src/http/client/read-buffers.ts';
import { issue } from '../../config/certificate.ts';
import {
  iterations,
  poolTo,
  RawServer,
  Recorder,
  response,
  send,
  sent,
  type ServerConnection,
  until,
} from './harness.ts';
import { everyByte } from './parser-reading.ts';
import { ACCEPTED, REFUSED } from './response-corpus.ts';

const MIB = 1024 * 1024;
const PAY = { method: 'POST', body: { kind: 'bytes', bytes: Buffer.from('pay') } } as const;
const CERTIFICATE = issue({ name: 'localhost' });
const TLS = { cert: CERTIFICATE.cert, key: CERTIFICATE.key };
const TRUSTED = { tls: { ca: [CERTIFICATE.cert] } };

/** Bytes that are different everywhere. */
function bytesOf(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  return bytes;
}

function sha256(...pieces: readonly Buffer[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

describe.each(['in one piece', 'byte by byte'])('over a connection, %s,', (delivery) => {
  // Byte by byte, long ones take long and show nothing that short ones do not.
  const short = ({ bytes }: { bytes: string }) => delivery === 'in one piece' || bytes.length < 400;

  /** Sends these bytes, then closes the connection or leaves it to the client. */
  async function exchange(method: string, bytes: string, closes: boolean): Promise<[Recorder, ServerConnection]> {
    const buffer = Buffer.from(bytes, 'latin1');
    const ends = delivery === 'in one piece' ? [buffer.length] : [...everyByte(buffer), buffer.length];
    const server = await RawServer.start((_, { socket }) => {
      const write = async () => {
        for (const [i, end] of ends.entries()) {
          socket.write(buffer.subarray(ends[i - 1] ?? 0, end));
          if (ends.length > 1) await iterations(1);
        }
        if (closes) socket.end();
      };
      void write();
    });
    const recorder = await sent(poolTo(server.origin), { method });
    return [recorder, server.connections[0]!];
  }

  it.each(ACCEPTED.filter(short))(
    'is accepted: $name',
    async ({ method = 'GET', bytes, status, body, untilClose = false, headers }) => {
      const [recorder] = await exchange(method, bytes, untilClose);
      expect(recorder.summary).toBe(`${status} ${body}`);
      if (headers !== undefined) expect(recorder.rawHeaders).toEqual(headers);
      expect(recorder.calls).toEqual(['sending', 'sent', 'head', ...(body === '' ? [] : ['data']), 'end']);
    },
  );

  it.each(REFUSED.filter(short))('is refused: $name', async ({ method = 'GET', bytes }) => {
    const [recorder, { socket }] = await exchange(method, bytes, false);
    expect(recorder.error).toMatchObject({ code: 'upstream_invalid', outcome: 'unknown' });
    expect(recorder.error?.message).toMatch(/^The response from 127\.0\.0\.1:\d+ is not valid HTTP: it/);
    await until(() => socket.closed);
  });
});

describe.each([
  ['TCP', undefined, {}],
  ['TLS 1.2', { ...TLS, maxVersion: 'TLSv1.2' }, TRUSTED],
  ['TLS 1.3', { ...TLS, minVersion: 'TLSv1.3' }, TRUSTED],
] as const)('over %s, a response', (_, tls, options) => {
  function serving(onRequest: (connection: ServerConnection) => void): Promise<RawServer> {
    return RawServer.start((__, connection) => onRequest(connection), tls === undefined ? {} : { tls });
  }

  const partial = {
    'without a head': 'HTTP/1.1 200 OK\r\na: b',
    'with a length': 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart',
    'in chunks': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n',
    'with its last chunk cut off': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n',
    'that is empty': '',
  };

  it.each(Object.entries(partial))('%s that is closed early is upstream_reset, unknown', async (__, bytes) => {
    const server = await serving(({ socket }) => socket.end(bytes));
    const recorder = await sent(poolTo(server.origin, options), PAY);
    expect(recorder.summary).toBe('upstream_reset unknown');
    expect(recorder.error?.message).toContain('broke before the response was complete (the server closed it)');
    expect(server.requests).toHaveLength(1);
  });

  it.each(Object.entries(partial))('%s that is reset early is upstream_reset, unknown', async (__, bytes) => {
    const server = await serving(({ socket, tcp }) => socket.write(bytes, () => tcp.resetAndDestroy()));
    expect((await sent(poolTo(server.origin, options), PAY)).summary).toBe('upstream_reset unknown');
    expect(server.requests).toHaveLength(1);
  });

  const untilClose = 'HTTP/1.1 200 OK\r\n\r\neverything';

  it('that ends with the connection is complete when the server closes it', async () => {
    const server = await serving(({ socket }) => socket.end(untilClose));
    expect((await sent(poolTo(server.origin, options), PAY)).summary).toBe('200 everything');
  });

  it('that ends with the connection is never complete when the server resets it after the data', async () => {
    const server = await serving(({ socket, tcp }) => socket.write(untilClose, () => tcp.resetAndDestroy()));
    const pool = poolTo(server.origin, options);
    for (let i = 0; i < 100; i++) expect((await sent(pool, PAY)).summary).toBe('upstream_reset unknown');
  });

  it('that ends with the connection is never complete when the server resets it later', async () => {
    const server = await serving(({ socket, tcp }) => {
      socket.write(untilClose);
      setTimeout(() => tcp.resetAndDestroy(), 5);
    });
    const pool = poolTo(server.origin, options);
    for (let i = 0; i < 20; i++) expect((await sent(pool, PAY)).summary).toBe('upstream_reset unknown');
  });

  /** Returns every chunk after some event-loop iterations, as a client's socket does. */
  class GivingBack extends Recorder {
    readonly hash = createHash('sha256');
    readonly memory = new Set<ArrayBufferLike>();
    override onData(chunk: Buffer): void {
      this.memory.add(chunk.buffer);
      void iterations(3).then(() => {
        this.hash.update(chunk);
        this.exchange.release(chunk);
      });
    }
  }

  it('of 20 MiB arrives intact while others do, whether its chunks are returned or not', async () => {
    const body = bytesOf(20 * MIB);
    const server = await serving(({ socket, requests }) => {
      if (requests.at(-1)!.start.includes('/small')) {
        socket.write(response('small'.repeat(20)));
      } else {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
        socket.write(body);
      }
    });
    const pool = poolTo(server.origin, options);
    const kept = [send(pool), send(pool)];
    const givenBack = [send(pool, {}, new GivingBack()), send(pool, {}, new GivingBack())];
    while ([...kept, ...givenBack].some(({ summary }) => summary === 'pending')) {
      expect((await sent(pool, { target: '/small' })).body).toBe('small'.repeat(20));
      await iterations(1);
    }
    await iterations(10);
    const sums = [...kept.map(({ chunks }) => sha256(...chunks)), ...givenBack.map(({ hash }) => hash.digest('hex'))];
    expect([...kept, ...givenBack].map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined]);
    expect(sums.every((sum) => sum === sha256(body))).toBe(true);
  });

  it('whose chunks are returned is read into the same memory again', async () => {
    const server = await serving(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${20 * MIB}\r\n\r\n`);
      socket.write(Buffer.alloc(20 * MIB));
    });
    const { memory } = await send(poolTo(server.origin, options), {}, new GivingBack()).over;
    // If each buffer were used once, it would be 320. In one iteration, libuv reads up to 32 times.
    expect(memory.size).toBeLessThan(160);
  });

  it('in tiny chunks does not keep read buffers in use', async () => {
    const server = await serving(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n`);
      socket.write(`${'10\r\n0123456789abcdef\r\n'.repeat(MIB / 16)}0\r\n\r\n`);
    });
    const buffers = new ReadBuffers();
    const recorder = await sent(poolTo(server.origin, { ...options, buffers }));
    expect(recorder.body.length).toBe(MIB);
    expect(buffers.freeCount).toBeGreaterThan(0);
  });

  it('that is paused is not read further, and continues intact', async () => {
    const body = bytesOf(64 * MIB);
    let handedOver = 0;
    const server = await serving(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
      for (let at = 0; at < body.length; at += MIB / 4) {
        socket.write(body.subarray(at, at + MIB / 4), () => (handedOver += MIB / 4));
      }
    });
    class Pausing extends Recorder {
      bytes = 0;
      override onData(chunk: Buffer): void {
        super.onData(chunk);
        this.bytes += chunk.length;
        if (this.bytes - chunk.length < MIB && this.bytes >= MIB) this.exchange.pause();
      }
    }
    const recorder = send(poolTo(server.origin, options), {}, new Pausing());
    await until(() => recorder.bytes >= MIB);
    for (let before = -1; handedOver > before; await new Promise((resolve) => setTimeout(resolve, 50)))
      before = handedOver;
    // After a pause, TLS delivers the rest of what it has decrypted.
    expect(recorder.bytes).toBeLessThan(MIB + 256 * 1024);
    expect(handedOver).toBeLessThan(32 * MIB);
    recorder.exchange.resume();
    await recorder.over;
    expect(sha256(...recorder.chunks)).toBe(sha256(body));
  });

  it('that is paused and resumed at every chunk arrives intact', async () => {
    const body = bytesOf(8 * MIB);
    const server = await serving(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n`);
      for (let at = 0; at < body.length; at += 300_000) {
        const chunk = body.subarray(at, at + 300_000);
        socket.write(`${chunk.length.toString(16)}\r\n`);
        socket.write(chunk);
        socket.write('\r\n');
      }
      socket.write('0\r\n\r\n');
    });
    class Stuttering extends Recorder {
      override onData(chunk: Buffer): void {
        super.onData(chunk);
        this.exchange.pause();
        setImmediate(() => this.exchange.resume());
      }
    }
    const pool = poolTo(server.origin, options);
    const recorder = await send(pool, {}, new Stuttering()).over;
    expect(sha256(...recorder.chunks)).toBe(sha256(body));
    await until(() => pool.stats().idle === 1);
  });

  it('can be paused before there is a connection', async () => {
    const server = await serving(({ socket }) => socket.write(response('late')));
    const recorder = send(poolTo(server.origin, options));
    recorder.exchange.pause();
    await until(() => server.requests.length === 1);
    await iterations(20);
    expect(recorder.calls).toEqual(['sending', 'sent']);
    recorder.exchange.resume();
    expect((await recorder.over).summary).toBe('200 late');
  });

  it('that ended while it was paused leaves a monitored connection', async () => {
    class PausedAtTheEnd extends Recorder {
      override onHead(status: number, reason: string, rawHeaders: string[]): void {
        super.onHead(status, reason, rawHeaders);
        this.exchange.pause();
      }
    }
    const server = await serving(({ socket }) => socket.write(response('whole')));
    const pool = poolTo(server.origin, options);
    // A request that is sent at once has no exchange yet when it begins: its connection is opened first.
    expect((await send(pool, {}, new PausedAtTheEnd()).over).summary).toBe('200 whole');
    await iterations();
    expect(pool.stats().idle).toBe(1);
    server.connections[0]!.socket.end();
    await until(() => pool.stats().idle === 0);
  });

  it('is closed when it is aborted, and no handler is called any more', async () => {
    const server = await serving(({ socket }) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart'));
    const pool = poolTo(server.origin, options);
    const recorder = send(pool);
    await recorder.called('data');
    recorder.exchange.abort();
    await until(() => server.connections[0]!.socket.closed);
    expect(recorder.calls).toEqual(['sending', 'sent', 'head', 'data']);
    expect(pool.stats()).toEqual({ busy: 0, idle: 0, waiting: 0 });
    // Late calls change nothing.
    recorder.exchange.pause();
    recorder.exchange.resume();
    recorder.exchange.abort();
  });

  it.each(['onHead', 'onData'] as const)('that is aborted in %s is not read further', async (name) => {
    const server = await serving(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n');
    });
    class Aborting extends Recorder {
      override onHead(...head: Parameters<Recorder['onHead']>): void {
        super.onHead(...head);
        if (name === 'onHead') this.exchange.abort();
      }
      override onData(chunk: Buffer): void {
        super.onData(chunk);
        if (name === 'onData') this.exchange.abort();
      }
    }
    const recorder = send(poolTo(server.origin, options), {}, new Aborting());
    await until(() => server.connections[0]?.socket.closed === true);
    expect(recorder.calls).toEqual(['sending', 'sent', 'head', ...(name === 'onHead' ? [] : ['data'])]);
    expect(recorder.body).toBe(name === 'onHead' ? '' : 'a');
  });
});

describe('over TLS, a response that ends with the connection', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is not complete without a close_notify (%s)', async (version) => {
    const server = await RawServer.start(
      // What anyone on the way can do: a FIN without the key.
      (_, { socket, tcp }) =>
        socket.write('HTTP/1.1 200 OK\r\n\r\n{"amount":100', () => setTimeout(() => tcp.end(), 5)),
      { tls: { ...TLS, maxVersion: version, minVersion: version } },
    );
    const recorder = await sent(poolTo(server.origin, TRUSTED), PAY);
    expect(recorder.summary).toBe('upstream_reset unknown');
    expect(recorder.error?.message).toContain('(no close_notify)');
  });

  it('is complete without one if it has a length', async () => {
    const server = await RawServer.start((_, { socket, tcp }) => socket.write(response('fine'), () => tcp.end()), {
      tls: TLS,
    });
    expect((await sent(poolTo(server.origin, TRUSTED), PAY)).summary).toBe('200 fine');
  });
});

describe('a handler', () => {
  function throwing(name: keyof Recorder, error: Error): Recorder {
    const recorder = new Recorder();
    const original = recorder[name] as (...args: unknown[]) => void;
    Object.assign(recorder, {
      [name]: (...args: unknown[]) => {
        original.apply(recorder, args);
        throw error;
      },
    });
    return recorder;
  }

  it.each(['onSending', 'onSent', 'onHead', 'onData', 'onEnd'] as const)(
    'that throws in %s gets onError, and other exchanges go on',
    async (name) => {
      const server = await RawServer.start((_, { socket }) => socket.write(response('fine')));
      const pool = poolTo(server.origin);
      const cause = new Error('a fault of the handler');
      const [failed, other] = [send(pool, PAY, throwing(name, cause)), send(pool, PAY)];
      expect((await failed.over).error).toMatchObject({ code: 'internal_error', outcome: 'unknown', cause });
      expect((await other.over).summary).toBe('200 fine');
      expect(failed.calls.at(-1)).toBe('error');
    },
  );

  it('that throws a ProxyError receives that error', async () => {
    const server = await RawServer.start((_, { socket }) => socket.write(response('fine')));
    const refusal = new ProxyError('upstream_invalid', 'Its coding is unknown.');
    expect((await send(poolTo(server.origin), PAY, throwing('onHead', refusal)).over).error).toBe(refusal);
    await until(() => server.connections[0]!.socket.closed);
  });

  it('can keep every chunk: none is overwritten', async () => {
    const server = await RawServer.start((request, { socket }) => socket.write(response(request.start.split(' ')[1])));
    const pool = poolTo(server.origin);
    const all = [];
    for (let i = 0; i < 50; i++) {
      all.push(await sent(pool, { target: `/${i}` }));
      await iterations();
    }
    expect(all.map(({ body }) => body)).toEqual(Array.from({ length: 50 }, (_, i) => `/${i}`));
  });
});

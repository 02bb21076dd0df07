import { describe, expect, it } from 'vitest';
import { dialFor } from '../../../src/http/client/dial.ts';
import { originOf } from '../../../src/http/client/origin.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { iterations, poolTo, RawServer, Recorder, response, send, sent, until } from './harness.ts';

const POST = { method: 'POST', body: { kind: 'bytes', bytes: Buffer.from('pay') } } as const;

/** A server that responds to each request with its number on the connection. */
function counting(...lines: string[]): Promise<RawServer> {
  return RawServer.start((_, { socket, requests }) => socket.write(response(String(requests.length), ...lines)));
}

describe('a connection', () => {
  it('carries one request after another', async () => {
    const server = await counting();
    const pool = poolTo(server.origin);
    for (const body of ['1', '2', '3']) {
      expect((await sent(pool)).summary).toBe(`200 ${body}`);
      await iterations();
    }
    expect(server.connections).toHaveLength(1);
  });

  it('carries one request at a time', async () => {
    const server = await RawServer.start(() => {});
    const pool = poolTo(server.origin);
    const both = [send(pool), send(pool)];
    await until(() => server.requests.length === 2);
    expect(server.connections.map(({ requests }) => requests.length)).toEqual([1, 1]);
    expect(both.map(({ summary }) => summary)).toEqual(['pending', 'pending']);
  });

  it('that became idle last is reused first', async () => {
    const server = await RawServer.start((request, { socket }) => {
      if (request.start.includes('/now')) socket.write(response());
    });
    const pool = poolTo(server.origin);
    for (let i = 0; i < 3; i++) send(pool, { target: '/later' });
    await until(() => server.requests.length === 3);
    for (const { socket } of [server.connections[2]!, server.connections[0]!, server.connections[1]!]) {
      socket.write(response());
      await iterations(20);
      await until(() => pool.stats().busy + pool.stats().idle === 3);
    }
    await until(() => pool.stats().idle === 3);
    await sent(pool, { target: '/now' });
    await iterations();
    await sent(pool, { target: '/now' });
    expect(server.connections.map(({ requests }) => requests.length)).toEqual([1, 3, 1]);
  });

  it('that has just finished a response is awaited', async () => {
    const server = await counting();
    const pool = poolTo(server.origin);
    const second = new Recorder();
    class First extends Recorder {
      override onEnd(): void {
        send(pool, POST, second);
        expect(pool.stats()).toEqual({ busy: 0, idle: 1, waiting: 1 });
      }
    }
    send(pool, {}, new First());
    expect((await second.over).summary).toBe('200 2');
    expect(server.connections).toHaveLength(1);
  });

  it.each([
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx'],
    ['connection: close', response('x', 'connection: close')],
    ['keep-alive: timeout=2', response('x', 'keep-alive: timeout=2')],
    ['keep-alive: timeout=0', response('x', 'keep-alive: timeout=0')],
    ['a byte behind the response', `${response('x')}y`],
    ['another response behind it', `${response('x')}${response('y')}`],
  ])('is closed after a response with %s', async (_, bytes) => {
    const server = await RawServer.start((__, { socket }) => socket.write(bytes));
    const pool = poolTo(server.origin);
    expect((await sent(pool)).summary).toBe('200 x');
    await until(() => pool.stats().idle === 0);
    expect((await sent(pool, POST)).summary).toBe('200 x');
    expect(server.connections).toHaveLength(2);
  });

  it('is closed when unsolicited bytes arrive', async () => {
    const server = await counting();
    const pool = poolTo(server.origin);
    await sent(pool);
    await iterations();
    server.connections[0]!.socket.write(response('stale'));
    await until(() => pool.stats().idle === 0);
    expect((await sent(pool, POST)).summary).toBe('200 1');
    expect(server.connections).toHaveLength(2);
  });

  it('is closed when the server closes it', async () => {
    const server = await counting();
    const pool = poolTo(server.origin);
    for (const method of ['end', 'resetAndDestroy'] as const) {
      await sent(pool);
      await iterations();
      server.connections.at(-1)!.socket[method]();
      await until(() => pool.stats().idle === 0);
    }
    expect((await sent(pool, POST)).summary).toBe('200 1');
  });
});

describe('a POST right after another response', () => {
  const ROUNDS = 200;

  it('is never written to a connection that the server closed after the response', async () => {
    const server = await RawServer.start((_, { socket }) => socket.end(response('fine')));
    const pool = poolTo(server.origin);
    for (let i = 0; i < ROUNDS; i++) expect((await sent(pool, POST)).summary).toBe('200 fine');
    expect(server.connections).toHaveLength(ROUNDS);
    expect(server.requests).toHaveLength(ROUNDS);
  });

  it('never gets a response that was sent before it', async () => {
    const server = await RawServer.start((request, { socket }) => {
      socket.write(response(request.start.split(' ')[1]));
      setImmediate(() => socket.write(response('stale')));
    });
    const pool = poolTo(server.origin);
    // In its own process the server is never late. Here it shares the event loop, so that the second response is in the
    // kernel's buffer when the first one is read.
    for (let i = 0; i < ROUNDS; i++) {
      const recorder = await sent(pool, { ...POST, target: `/${i}` });
      expect(recorder.summary).toBe(`200 /${i}`);
      await iterations(1);
    }
    expect(server.requests).toHaveLength(ROUNDS);
  });
});

describe('an idle connection', () => {
  async function idle(...lines: string[]) {
    const server = await counting(...lines);
    const clock = new ManualClock();
    const pool = poolTo(server.origin, { clock });
    await sent(pool);
    await until(() => pool.stats().idle === 1);
    await iterations();
    return { server, clock, pool };
  }

  it.each([
    ['after 4 s', 4000, []],
    ['2 s before a server of 5 s does', 3000, ['keep-alive: timeout=5']],
    ['2 s before a server of 60 s does', 58_000, ['keep-alive: timeout=60, max=100']],
    ['when it is 5 minutes old', 300_000, ['keep-alive: timeout=1000']],
  ])('is closed %s', async (_, ms, lines) => {
    const { clock, pool } = await idle(...lines);
    await clock.advance(ms - 2);
    expect(pool.stats().idle).toBe(1);
    await clock.advance(2);
    expect(pool.stats().idle).toBe(0);
  });

  it('is not reused after its idle time, even if the timer is late', async () => {
    const { server, clock, pool } = await idle();
    const now = clock.now() + 4000;
    clock.now = () => now;
    expect(pool.stats().idle).toBe(1);
    await sent(pool, POST);
    expect(server.connections).toHaveLength(2);
  });

  it('that is older than 5 minutes is closed, even if a request waits for one', async () => {
    const { server, clock, pool } = await idle('keep-alive: timeout=1000');
    await clock.advance(299_000);
    class AfterFiveMinutes extends Recorder {
      override onEnd(): void {
        const now = clock.now() + 2000;
        clock.now = () => now;
        send(pool, POST, second);
      }
    }
    const second = new Recorder();
    send(pool, {}, new AfterFiveMinutes());
    expect((await second.over).summary).toBe('200 1');
    expect(server.connections.map(({ requests }) => requests.length)).toEqual([2, 1]);
  });

  it('is closed after 10,000 requests', async () => {
    const server = await counting();
    const pool = poolTo(server.origin);
    let left = 10_001;
    await new Promise<void>((resolve, reject) => {
      class Next extends Recorder {
        override onEnd(): void {
          if (--left > 0) send(pool, {}, new Next());
          else resolve();
        }
        override onError(error: Error): void {
          reject(error);
        }
      }
      send(pool, {}, new Next());
    });
    expect(server.connections.map(({ requests }) => requests.length)).toEqual([10_000, 1]);
  }, 60_000);
});

describe('a pool', () => {
  it('has one timer for all connections', async () => {
    const server = await RawServer.start((request, { socket }) => {
      if (request.start.includes('/now')) socket.write(response());
    });
    const clock = new ManualClock();
    const pool = poolTo(server.origin, { clock });
    const over = Array.from({ length: 20 }, () => sent(pool, { target: '/now' }));
    expect(clock.timers).toBe(1);
    await Promise.all(over);
    await iterations();
    expect(clock.timers).toBe(1);
    await clock.advance(4000);
    expect(pool.stats().idle).toBe(0);
  });

  it('opens as many connections as it needs', async () => {
    const server = await RawServer.start(() => {});
    const pool = poolTo(server.origin);
    for (let i = 0; i < 50; i++) send(pool);
    expect(pool.stats()).toEqual({ busy: 0, idle: 0, waiting: 50 });
    await until(() => server.requests.length === 50);
    expect(pool.stats()).toEqual({ busy: 50, idle: 0, waiting: 0 });
  });

  it('gives a free connection to the request that has waited longest for a new one', async () => {
    const server = await counting();
    const direct = dialFor(originOf(server.origin));
    let isFirst = true;
    const pool = poolTo(server.origin, {
      // Only the first connection is ever opened.
      dial: (listener) => {
        if (!isFirst) return { destroy: () => {} };
        isFirst = false;
        return direct(listener);
      },
    });
    const first = send(pool);
    const second = send(pool, POST);
    expect((await first.over).summary).toBe('200 1');
    expect((await second.over).summary).toBe('200 2');
  });

  it('keeps a connection that was opened for an aborted request', async () => {
    const server = await counting();
    const pool = poolTo(server.origin);
    const aborted = send(pool);
    aborted.exchange.abort();
    expect(pool.stats().waiting).toBe(0);
    await until(() => pool.stats().idle === 1);
    expect((await sent(pool)).summary).toBe('200 1');
    expect(server.connections).toHaveLength(1);
    expect(aborted.calls).toEqual([]);
  });

  it('that is retired closes idle connections at once, and the others after their response', async () => {
    const server = await RawServer.start((request, { socket }) => {
      if (request.start.includes('/now')) socket.write(response('now'));
    });
    const pool = poolTo(server.origin);
    const later = send(pool, { target: '/later' });
    await sent(pool, { target: '/now' });
    await until(() => pool.stats().idle === 1);
    await iterations();
    pool.retire();
    expect(pool.stats()).toEqual({ busy: 1, idle: 0, waiting: 0 });
    server.connections[0]!.socket.write(response('later'));
    expect((await later.over).summary).toBe('200 later');
    await until(() => pool.stats().idle === 0);
    expect((await sent(pool, { target: '/now' })).summary).toBe('200 now');
    await until(() => pool.stats().idle === 0);
    expect(pool.stats()).toEqual({ busy: 0, idle: 0, waiting: 0 });
    expect(server.connections).toHaveLength(3);
  });

  it('that is closed closes everything at once', async () => {
    const server = await RawServer.start((request, { socket }) => {
      if (request.start.includes('/now')) socket.write(response());
    });
    const pool = poolTo(server.origin);
    await sent(pool, { target: '/now' });
    const busy = [send(pool, { target: '/later' }), send(pool, { target: '/later' })];
    await until(() => server.requests.length === 3);
    const queued = send(pool);
    pool.close();
    expect(busy.map(({ summary }) => summary)).toEqual(['upstream_reset unknown', 'upstream_reset unknown']);
    expect(queued.summary).toBe('upstream_unreachable not_sent');
    expect(pool.stats()).toEqual({ busy: 0, idle: 0, waiting: 0 });
    await until(() => server.connections.every(({ socket }) => socket.readableEnded || socket.destroyed));
  });

  it('that is closed while it connects cancels that too', async () => {
    const server = await RawServer.start(() => {});
    const pool = poolTo(server.origin);
    const connecting = send(pool, POST);
    pool.close();
    expect(connecting.summary).toBe('upstream_unreachable not_sent');
    expect(connecting.calls).toEqual(['error']);
  });

  it('that is closed sends nothing any more, and reports that later', async () => {
    const server = await RawServer.start(() => {});
    const pool = poolTo(server.origin);
    pool.close();
    const late = send(pool);
    expect(late.calls).toEqual([]);
    expect((await late.over).summary).toBe('upstream_unreachable not_sent');
    expect(server.connections).toHaveLength(0);
  });
});

import { describe, expect, it } from 'vitest';
import { type Dial, dialFor } from '../../../src/http/client/dial.ts';
import { originOf } from '../../../src/http/client/origin.ts';
import { freePort } from '../../support/free-port.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { iterations, poolTo, RawServer, response, send, sent, until } from './harness.ts';

const REPEATABLE = ['GET', 'HEAD', 'OPTIONS'];
const OTHERS = ['POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND'];
const BODY = { kind: 'bytes', bytes: Buffer.from('pay') } as const;

/** Fails the given number of times, then connects. */
function failing(origin: string, times: number): { dial: Dial; dials: () => number } {
  const direct = dialFor(originOf(origin));
  let dials = 0;
  const dial: Dial = (listener) => {
    dials += 1;
    if (dials > times) return direct(listener);
    const failed = setImmediate(() => listener.onDialFailed(Object.assign(new Error('no'), { code: 'ENETDOWN' })));
    return { destroy: () => clearImmediate(failed) };
  };
  return { dial, dials: () => dials };
}

describe('connecting', () => {
  it.each(['GET', 'POST'])('that fails once is tried again: %s', async (method) => {
    const server = await RawServer.start((_, { socket }) => socket.write(response('fine')));
    const { dial, dials } = failing(server.origin, 1);
    const recorder = await sent(poolTo(server.origin, { dial }), { method });
    expect(recorder.summary).toBe('200 fine');
    expect(recorder.calls).toEqual(['sending', 'sent', 'head', 'data', 'end']);
    expect([dials(), server.requests.length]).toEqual([2, 1]);
  });

  it.each(['GET', 'POST'])('that fails twice is upstream_unreachable, not_sent: %s', async (method) => {
    const { dial, dials } = failing('http://127.0.0.1:1', 9);
    const recorder = await sent(poolTo('http://127.0.0.1:1', { dial }), { method });
    expect(recorder.error).toMatchObject({ code: 'upstream_unreachable', outcome: 'not_sent' });
    expect(recorder.error?.message).toBe('Could not connect to 127.0.0.1:1 (ENETDOWN). The request was not sent.');
    expect(recorder.calls).toEqual(['error']);
    expect(dials()).toBe(2);
  });

  it('to a closed port is upstream_unreachable, not_sent', async () => {
    const recorder = await sent(poolTo(`http://127.0.0.1:${await freePort()}`), { method: 'POST', body: BODY });
    expect(recorder.summary).toBe('upstream_unreachable not_sent');
    expect(recorder.error?.message).toContain('(ECONNREFUSED)');
  });

  it('of a name that does not exist is upstream_unreachable, not_sent', async () => {
    const recorder = await sent(poolTo('http://does-not-exist.invalid'), { method: 'POST' });
    expect(recorder.summary).toBe('upstream_unreachable not_sent');
  });

  it('that throws is upstream_unreachable, reported later', async () => {
    const pool = poolTo('http://127.0.0.1:1', {
      dial: () => {
        throw Object.assign(new Error('bad certificate'), { code: 'ERR_OSSL_PEM_NO_START_LINE' });
      },
    });
    const recorder = send(pool);
    expect(recorder.calls).toEqual([]);
    expect((await recorder.over).error?.message).toContain('(ERR_OSSL_PEM_NO_START_LINE)');
  });

  it('that takes longer than connectTimeoutMs is upstream_timeout, not_sent', async () => {
    const clock = new ManualClock();
    let destroyed = 0;
    const dial: Dial = () => ({ destroy: () => (destroyed += 1) });
    const recorder = send(poolTo('http://127.0.0.1:1', { dial, clock }), { method: 'POST', body: BODY });
    await clock.advance(4998);
    expect(recorder.summary).toBe('pending');
    await clock.advance(2);
    expect(recorder.summary).toBe('upstream_timeout not_sent');
    expect(recorder.error?.message).toBe('Could not connect to 127.0.0.1:1 within 5000 ms. The request was not sent.');
    expect(destroyed).toBe(1);
  });

  it('has one time limit for both attempts', async () => {
    const clock = new ManualClock();
    let dials = 0;
    const dial: Dial = (listener) => {
      dials += 1;
      if (dials === 1) clock.after(4000, () => listener.onDialFailed(new Error('no')));
      return { destroy: () => {} };
    };
    const recorder = send(poolTo('http://127.0.0.1:1', { dial, clock }));
    await clock.advance(4998);
    expect([dials, recorder.summary]).toEqual([2, 'pending']);
    await clock.advance(2);
    expect(recorder.summary).toBe('upstream_timeout not_sent');
  });
});

describe('an idle connection that was closed before a byte was written', () => {
  it.each([...REPEATABLE, ...OTHERS])('is replaced by another connection: %s', async (method) => {
    const server = await RawServer.start((_, { socket }) => socket.write(response()));
    const direct = dialFor(originOf(server.origin));
    const opened: { destroy(): void }[] = [];
    const pool = poolTo(server.origin, {
      dial: (listener) => {
        opened.push(direct(listener));
        return opened.at(-1)!;
      },
    });
    await sent(pool);
    await iterations();
    expect(pool.stats().idle).toBe(1);
    // Its events come after the request.
    opened[0]!.destroy();
    expect((await sent(pool, { method })).summary).toBe('200 ');
    expect(server.connections.map(({ requests }) => requests.length)).toEqual([1, 1]);
  });
});

/** What the server does with a request instead of a response. */
const BREAKS = {
  'closes it': 'end',
  'resets it': 'resetAndDestroy',
} as const;

describe.each(Object.entries(BREAKS))('a reused connection whose server gets the request and %s', (_, how) => {
  /** Responds to the first request of each connection, and breaks at the second. */
  async function stale(bytes = '') {
    const server = await RawServer.start((_request, { socket, requests }) => {
      if (requests.length === 1) socket.write(response('x'));
      else if (bytes === '') socket[how]();
      else socket.write(bytes, () => socket[how]());
    });
    const pool = poolTo(server.origin);
    await sent(pool);
    await iterations();
    expect(pool.stats().idle).toBe(1);
    return { server, pool };
  }

  it.each(REPEATABLE)('is replaced by a new one: %s', async (method) => {
    const { server, pool } = await stale();
    const recorder = await sent(pool, { method, target: '/again' });
    expect(recorder.error).toBeUndefined();
    expect(recorder.status).toBe(200);
    // The handler hears of one request.
    expect(recorder.calls.slice(0, 3)).toEqual(['sending', 'sent', 'head']);
    expect(server.connections.map(({ requests }) => requests.length)).toEqual([2, 1]);
    expect(server.connections[1]!.requests[0]!.start).toBe(`${method} /again HTTP/1.1`);
  });

  it('is replaced by a new one although another one is idle', async () => {
    const server = await RawServer.start((request, { socket, requests }) => {
      if (request.start.includes('/wait')) return;
      if (requests.length === 1) socket.write(response());
      else socket[how]();
    });
    const pool = poolTo(server.origin);
    await Promise.all([sent(pool), sent(pool)]);
    await until(() => pool.stats().idle === 2);
    await iterations();
    expect((await sent(pool)).summary).toBe('200 ');
    expect(server.connections.map(({ requests }) => requests.length).sort()).toEqual([1, 1, 2]);
  });

  it('is replaced by a new one although another one becomes free earlier', async () => {
    const server = await RawServer.start((request, { socket, requests }) => {
      if (request.start.includes('/wait')) return;
      if (requests.length === 1) socket.write(response());
      else socket[how]();
    });
    const direct = dialFor(originOf(server.origin));
    const third = Promise.withResolvers<undefined>();
    let dials = 0;
    const pool = poolTo(server.origin, {
      dial: (listener) => {
        dials += 1;
        if (dials === 3) void third.promise.then(() => direct(listener));
        return dials === 3 ? { destroy: () => {} } : direct(listener);
      },
    });
    const waiting = send(pool, { target: '/wait' });
    await sent(pool);
    await iterations();
    const again = send(pool);
    await until(() => dials === 3);
    server.connections.find(({ requests }) => requests[0]!.start.includes('/wait'))!.socket.write(response('free'));
    expect((await waiting.over).summary).toBe('200 free');
    await iterations(10);
    expect([again.summary, server.requests.length]).toEqual(['pending', 3]);
    third.resolve(undefined);
    expect((await again.over).summary).toBe('200 ');
    expect(server.connections).toHaveLength(3);
  });

  it.each(OTHERS)('means upstream_reset, unknown, and is never sent again: %s', async (method) => {
    const { server, pool } = await stale();
    expect((await sent(pool, { method })).summary).toBe('upstream_reset unknown');
    await iterations(10);
    expect(server.requests).toHaveLength(2);
  });

  it.each(REPEATABLE)('means upstream_reset, unknown, if there was a body: %s', async (method) => {
    const { server, pool } = await stale();
    expect((await sent(pool, { method, body: BODY })).summary).toBe('upstream_reset unknown');
    expect(server.requests).toHaveLength(2);
  });

  it.each([
    ['one byte', 'H'],
    ['an interim response', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['a part of a body', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx'],
  ])('means upstream_reset, unknown, after %s', async (__, bytes) => {
    const { server, pool } = await stale(bytes);
    expect((await sent(pool)).summary).toBe('upstream_reset unknown');
    expect(server.requests).toHaveLength(2);
  });

  it('means upstream_reset, unknown, if the new one breaks too', async () => {
    const server = await RawServer.start((_request, { socket, number, requests }) => {
      if (number === 1 && requests.length === 1) socket.write(response());
      else socket[how]();
    });
    const pool = poolTo(server.origin);
    await sent(pool);
    await iterations();
    expect((await sent(pool)).summary).toBe('upstream_reset unknown');
    expect(server.connections.map(({ requests }) => requests.length)).toEqual([2, 1]);
  });

  it('means upstream_reset, unknown, if no new one can be opened', async () => {
    const server = await RawServer.start((_request, { socket, requests }) => {
      if (requests.length === 1) socket.write(response());
      else socket[how]();
    });
    const direct = dialFor(originOf(server.origin));
    let dials = 0;
    const pool = poolTo(server.origin, {
      dial: (listener) => {
        dials += 1;
        if (dials === 1) return direct(listener);
        throw Object.assign(new Error('no'), { code: 'ENETDOWN' });
      },
    });
    await sent(pool);
    await iterations();
    const recorder = await sent(pool);
    expect(recorder.summary).toBe('upstream_reset unknown');
    expect([dials, server.requests.length]).toEqual([3, 2]);
  });
});

describe('nothing is sent again', () => {
  it.each(Object.entries(BREAKS))('on a new connection whose server %s', async (_, how) => {
    const server = await RawServer.start((_request, { socket }) => socket[how]());
    expect((await sent(poolTo(server.origin))).summary).toBe('upstream_reset unknown');
    expect(server.requests).toHaveLength(1);
  });

  it('after a response that is not valid', async () => {
    const server = await RawServer.start((_, { socket, requests }) => {
      socket.write(requests.length === 1 ? response() : 'no HTTP');
    });
    const pool = poolTo(server.origin);
    await sent(pool);
    await iterations();
    expect((await sent(pool)).summary).toBe('upstream_invalid unknown');
    expect(server.requests).toHaveLength(2);
  });

  it('when the request was aborted', async () => {
    const server = await RawServer.start((_, { socket, requests }) => {
      if (requests.length === 1) socket.write(response());
    });
    const pool = poolTo(server.origin);
    await sent(pool);
    await iterations();
    const recorder = send(pool);
    await until(() => server.requests.length === 2);
    recorder.exchange.abort();
    await iterations(10);
    expect([server.requests.length, recorder.calls]).toEqual([2, ['sending', 'sent']]);
  });
});

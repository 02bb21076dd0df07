import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AdminContext } from '../../src/admin/context.ts';
import { EventFeed, eventStream } from '../../src/admin/events.ts';
import { adminListener } from '../../src/admin/listener.ts';
import { RecentRequests } from '../../src/telemetry/recent-requests.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';
import type { ServingProcess } from '../../src/telemetry/snapshot.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { reply } from '../support/upstream-raw.ts';
import { adminContext } from './context.ts';
import { startAdmin } from './running-admin.ts';

interface Event {
  readonly name: string;
  readonly data: Record<string, unknown>;
}

/** A listener of `/api/events` on its own connection. */
class Listener {
  readonly events: Event[] = [];
  readonly closed: Promise<unknown>;
  text = '';
  readonly #response: IncomingMessage;
  #changed: PromiseWithResolvers<undefined> = Promise.withResolvers();

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.closed = new Promise((resolve) => response.once('close', resolve));
    response.on('error', () => undefined);
    response.setEncoding('utf8').on('data', (text: string) => this.#add(text));
  }

  static async open(port: number, query = ''): Promise<Listener> {
    const sent = request({ host: '127.0.0.1', port, path: `/api/events${query}`, agent: false }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    const listener = new Listener(response);
    onTestFinished(() => listener.close());
    return listener;
  }

  async event(fits: (event: Event) => boolean): Promise<Event> {
    for (;;) {
      const found = this.events.find(fits);
      if (found !== undefined) return found;
      await this.#changed.promise;
    }
  }

  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) await this.#changed.promise;
  }

  close(): void {
    this.#response.destroy();
  }

  #add(text: string): void {
    this.text += text;
    const whole = this.text.split('\n\n').slice(0, -1);
    this.events.splice(0, this.events.length, ...whole.flatMap(eventOf));
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers();
  }
}

function eventOf(block: string): Event[] {
  const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
  return name === undefined ? [] : [{ name, data: JSON.parse(data ?? '') as Record<string, unknown> }];
}

/** An admin listener without a proxy, whose time is moved by hand and whose polls are counted. */
async function startCounted(changes: Partial<AdminContext> = {}) {
  const clock = new ManualClock();
  let polls = 0;
  const snapshot = vi.fn<ServingProcess['snapshot']>(async () => ({
    pid: 7,
    startedAtMs: 0,
    connections: polls++,
    websockets: 0,
    recordsDropped: 0,
    logLinesDropped: 0,
    rssBytes: 0,
    cpuSeconds: 0,
    unrouted: {},
    tokenStore: undefined,
    upstreams: [],
    credentials: [],
    routes: [],
  }));
  const recorder = new RecentRequests(500);
  const serving: ServingProcess = {
    pid: 7,
    snapshot,
    records: async (after) => recorder.since(after),
    details: async () => undefined,
    refresh: async () => ({ kind: 'fixed' }),
  };
  const context = adminContext({ clock, processes: () => [serving], ...changes });
  const server = createServer(adminListener(context)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const record = (requestId: string) =>
    recorder.add(Object.assign(new RequestRecord(requestId, 'GET', []), { status: 500 }));
  return { clock, snapshot, server, context, record, port: (server.address() as AddressInfo).port };
}

describe('GET /api/events', () => {
  it('sends every route first, then changes and each new request', async () => {
    const admin = await startAdmin(() => reply(200, 'fine'));
    await sendRequest(admin.proxyPort, '/raw/before');
    const listener = await Listener.open(admin.port);
    const first = await listener.event(({ name }) => name === 'routes');
    expect((first.data['routes'] as unknown[]).length).toBe(2);
    await sendRequest(admin.proxyPort, '/raw/after');
    const { data } = await listener.event(({ name }) => name === 'request');
    expect(data).toMatchObject({ path: '/raw/after', status: 200, token: 'cached' });
    await listener.event((event) => event.name === 'routes' && JSON.stringify(event.data).includes('"total":2'));
    for (const secret of admin.secrets()) expect(listener.text).not.toContain(secret);
    expect(listener.text).not.toContain('/raw/before');
  });

  it('sends only the routes that changed', async () => {
    const admin = await startAdmin(() => reply(200, 'fine'));
    const listener = await Listener.open(admin.port);
    await listener.event(({ name }) => name === 'routes');
    await sendRequest(admin.proxyPort, '/raw/x');
    await listener.event(({ name }) => name === 'request');
    const changes = listener.events.filter(({ name }) => name === 'routes').slice(1);
    const names = changes.flatMap(({ data }) => (data['routes'] as { name: string }[]).map(({ name }) => name));
    expect(new Set(names)).toEqual(new Set(['/raw/*']));
  });

  it('sends events without content if `brief` is set', async () => {
    const admin = await startAdmin(() => reply(200, 'fine'));
    const listener = await Listener.open(admin.port, '?brief=true');
    expect((await listener.event(({ name }) => name === 'routes')).data).toEqual({});
    await Promise.all(['a', 'b', 'c'].map((name) => sendRequest(admin.proxyPort, `/raw/${name}`)));
    expect((await listener.event(({ name }) => name === 'request')).data).toEqual({});
  });

  it('ends with the server', async () => {
    const admin = await startAdmin(() => reply(200, 'fine'));
    const listener = await Listener.open(admin.port);
    await listener.event(({ name }) => name === 'routes');
    await admin.server.drain();
    await listener.closed;
  });

  it('polls once a second for all listeners, and not at all without one', async () => {
    const { clock, snapshot, port } = await startCounted();
    expect(snapshot).not.toHaveBeenCalled();
    const listeners = await Promise.all([1, 2, 3].map(() => Listener.open(port)));
    await Promise.all(listeners.map((listener) => listener.event(({ name }) => name === 'routes')));
    const polls = snapshot.mock.calls.length;
    expect(polls).toBe(1);
    await clock.advance(3000);
    expect(snapshot.mock.calls.length).toBe(polls + 3);
    for (const listener of listeners) listener.close();
    await vi.waitFor(() => expect(clock.timers).toBe(0));
    await clock.advance(10_000);
    expect(snapshot.mock.calls.length).toBe(polls + 3);
    await (await Listener.open(port)).event(({ name }) => name === 'routes');
  });

  it('sends a heartbeat every 15 s', async () => {
    const { clock, port } = await startCounted({ processes: () => [] });
    const listener = await Listener.open(port);
    await listener.event(({ name }) => name === 'routes');
    await clock.advance(14_999);
    expect(listener.text).not.toContain(': heartbeat');
    await clock.advance(1);
    await listener.until(': heartbeat\n\n');
    expect(listener.events).toHaveLength(1);
  });

  it('disconnects a client that does not read', async () => {
    const { clock, port, snapshot } = await startCounted({ version: 'x'.repeat(1_000_000) });
    const socket = connect(port, '127.0.0.1').pause();
    onTestFinished(() => void socket.destroy());
    socket.write('GET /api/events HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await vi.waitFor(() => expect(snapshot).toHaveBeenCalled());
    for (let polls = 0; polls < 50 && clock.timers > 0; polls++) await clock.advance(1000);
    expect(clock.timers).toBe(0);
    const closed = once(socket, 'close');
    socket.on('error', () => undefined).resume();
    await closed;
  });

  it('accepts 50 listeners, and another one when one leaves', async () => {
    const { port } = await startCounted();
    const listeners = await Promise.all(Array.from({ length: 50 }, () => Listener.open(port)));
    const refused = await sendRequest(port, '/api/events');
    expect([refused.status, refused.header('retry-after'), refused.json()['code']]).toEqual([
      503,
      '5',
      'too_many_listeners',
    ]);
    expect((await sendRequest(port, '/api/events', { method: 'HEAD' })).status).toBe(200);
    listeners[0]?.close();
    await vi.waitFor(async () => {
      const next = await Listener.open(port);
      await next.event(({ name }) => name === 'routes');
    });
  });

  it('sends the newest 200 requests of a second', async () => {
    const { clock, port, record } = await startCounted();
    const listener = await Listener.open(port);
    await listener.event(({ name }) => name === 'routes');
    for (let number = 1; number <= 300; number++) record(`request-${number}`);
    await clock.advance(1000);
    await listener.event(({ data }) => data['request_id'] === 'request-300');
    const ids = listener.events.filter(({ name }) => name === 'request').map(({ data }) => data['request_id']);
    expect([ids.length, ids[0]]).toEqual([200, 'request-101']);
  });

  it('requires the same access as the rest', async () => {
    const { port } = await startCounted();
    expect((await sendRequest(port, '/api/events', { headers: { host: 'evil.example' } })).status).toBe(403);
  });
});

describe('eventStream', () => {
  it('disconnects a listener that does not read, and ends its poll', async () => {
    const { clock, context } = await startCounted({
      version: 'x'.repeat(100_000),
    });
    const destroy = vi.fn();
    eventStream(new EventFeed(context), clock, false, { writableLength: 0, destroy });
    await settled();
    for (let polls = 0; polls < 10 && clock.timers > 0; polls++) await clock.advance(1000);
    expect(clock.timers).toBe(0);
    expect(destroy).toHaveBeenCalledOnce();
  });

  it('disconnects a listener with a full socket', async () => {
    const { clock, context } = await startCounted();
    const destroy = vi.fn();
    const connection = { writableLength: 0, destroy };
    eventStream(new EventFeed(context), clock, false, connection).getReader();
    await settled();
    await clock.advance(2000);
    expect(destroy).not.toHaveBeenCalled();
    connection.writableLength = 256 * 1024 + 1;
    await clock.advance(1000);
    expect(destroy).toHaveBeenCalledOnce();
    expect(clock.timers).toBe(0);
  });

  it('sends the same bytes to all listeners', async () => {
    const { clock, context } = await startCounted();
    const feed = new EventFeed(context);
    const connection = { writableLength: 0, destroy: vi.fn() };
    const readers = [1, 2].map(() => eventStream(feed, clock, false, connection).getReader());
    await Promise.all(readers.map((reader) => reader.read()));
    const [one, other] = await Promise.all(readers.map((reader) => reader.read()));
    expect(new TextDecoder().decode(one?.value)).toContain('event: routes');
    expect(other?.value).toBe(one?.value);
    for (const reader of readers) await reader.cancel();
  });

  it('keeps a listener that gets one message above the limit', async () => {
    const { clock, context } = await startCounted({ version: 'x'.repeat(1_000_000) });
    const destroy = vi.fn();
    const reader = eventStream(new EventFeed(context), clock, false, { writableLength: 0, destroy }).getReader();
    let bytes = 0;
    for (let seconds = 0; seconds < 5; seconds++) {
      bytes += (await reader.read()).value?.length ?? 0;
      await clock.advance(1000);
    }
    expect([bytes > 3_000_000, destroy.mock.calls.length]).toEqual([true, 0]);
    await reader.cancel();
  });

  it('goes on with the listeners that read', async () => {
    const { clock, context } = await startCounted();
    const feed = new EventFeed(context);
    const reader = eventStream(feed, clock, true, { writableLength: 0, destroy: vi.fn() }).getReader();
    let text = '';
    for (let seconds = 0; seconds < 5; seconds++) {
      text += new TextDecoder().decode((await reader.read()).value);
      await clock.advance(1000);
    }
    expect(text.match(/event: routes/g)?.length).toBeGreaterThanOrEqual(3);
    await reader.cancel();
    expect(clock.timers).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import { Rpc } from '../../src/server/rpc.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';

interface Server {
  readonly requests: {
    add(a: number, b: number): Promise<number>;
    hang(): Promise<void>;
    fail(): Promise<void>;
    lookUp(key: string): Promise<string | undefined>;
  };
  readonly notifications: { note(text: string): void };
}

interface Client {
  readonly requests: { name(): Promise<string> };
  readonly notifications: object;
}

/** Two ends of a channel that clones messages, as that of a child process does. */
function connected() {
  const clock = new ManualClock();
  const notes: string[] = [];
  const hanging: (() => void)[] = [];
  const sent: object[] = [];
  let isConnected = true;
  const deliver = (to: () => { receive(message: unknown): void }) => (message: object) => {
    if (!isConnected) return false;
    sent.push(message);
    const copy: unknown = structuredClone(message);
    setImmediate(() => to().receive(copy));
    return true;
  };
  const server: Rpc<Client, Server> = new Rpc({
    clock,
    send: deliver(() => client),
    handlers: {
      requests: {
        add: async (a, b) => a + b,
        hang: () => new Promise((resolve) => hanging.push(resolve)),
        fail: () => Promise.reject(new Error('no luck')),
        lookUp: async () => undefined,
      },
      notifications: { note: (text) => void notes.push(text) },
    },
  });
  const client: Rpc<Server, Client> = new Rpc({
    clock,
    send: deliver(() => server),
    handlers: { requests: { name: async () => 'client' }, notifications: {} },
  });
  return {
    clock,
    server,
    client,
    notes,
    sent,
    respondToHanging: () => {
      for (const respond of hanging.splice(0)) respond();
    },
    disconnect: () => (isConnected = false),
  };
}

describe('a request between two processes', () => {
  it('gets its own result, in both directions, whatever the order of the responses', async () => {
    const { client, server, respondToHanging } = connected();
    const slow = client.request('hang', [], 1000);
    expect(await Promise.all([client.request('add', [1, 2], 1000), client.request('add', [3, 4], 1000)])).toEqual([
      3, 7,
    ]);
    expect(await server.request('name', [], 1000)).toBe('client');
    expect(await client.request('lookUp', ['x'], 1000)).toBeUndefined();
    respondToHanging();
    await expect(slow).resolves.toBeUndefined();
  });

  it('fails with the message of what its handler throws', async () => {
    const { client } = connected();
    await expect(client.request('fail', [], 1000)).rejects.toMatchObject({ reason: 'failed', message: 'no luck' });
  });

  it('fails if the other process does not know its name', async () => {
    const { client } = connected();
    for (const name of ['unknown', 'toString', 'constructor', '__proto__']) {
      await expect(client.request(name as 'fail', [], 1000)).rejects.toMatchObject({
        reason: 'failed',
        message: `unknown request \`${name}\``,
      });
    }
  });

  it('fails after its timeout, and a response after that is ignored', async () => {
    const { clock, client, respondToHanging } = connected();
    const request = client.request('hang', [], 1000);
    const failure = expect(request).rejects.toMatchObject({ reason: 'timeout' });
    await clock.advance(999);
    expect(clock.timers).toBe(1);
    await clock.advance(1);
    await failure;
    respondToHanging();
    await settled();
    expect(await client.request('add', [1, 2], 1000)).toBe(3);
  });

  it('fails as soon as the other process is gone, and so does every later one', async () => {
    const { clock, client, sent } = connected();
    const requests = [client.request('hang', [], 20_000), client.request('hang', [], 20_000)];
    client.close();
    for (const request of [...requests, client.request('add', [1, 2], 1000)]) {
      await expect(request).rejects.toMatchObject({ reason: 'disconnected' });
    }
    expect(clock.timers).toBe(0);
    expect(sent).toHaveLength(2);
  });

  it('fails at once if the channel is disconnected before it is closed', async () => {
    const { clock, client, disconnect } = connected();
    disconnect();
    await expect(client.request('add', [1, 2], 1000)).rejects.toMatchObject({ reason: 'disconnected' });
    expect(clock.timers).toBe(0);
  });

  it('leaves no timer when it is settled', async () => {
    const { clock, client } = connected();
    await client.request('add', [1, 2], 1000);
    await client.request('fail', [], 1000).catch(() => undefined);
    expect(clock.timers).toBe(0);
  });

  it('gets an error if its result cannot be sent', async () => {
    const { client } = connected();
    const unsendable = client.request('lookUp', [(() => 'x') as unknown as string], 1000);
    await expect(unsendable).rejects.toThrow('could not be cloned');
  });
});

describe('a notification', () => {
  it('arrives, in order with the requests, and gets no response', async () => {
    const { client, notes, sent } = connected();
    client.notify('note', 'first');
    const request = client.request('add', [1, 2], 1000);
    client.notify('note', 'second');
    await request;
    expect(notes).toEqual(['first', 'second']);
    expect(sent).toHaveLength(4);
  });

  it('that the other process sent before it ended is still handled', async () => {
    const { client, server, notes } = connected();
    client.notify('note', 'last words');
    server.close();
    await settled();
    expect(notes).toEqual(['last words']);
  });
});

describe('a message of another form', () => {
  it.each<[string, unknown]>([
    ['text', 'shutdown'],
    ['nothing', undefined],
    ['null', null],
    ['an array', []],
    ['an object of another module', { cmd: 'NODE_CLUSTER' }],
    ['an unknown kind', { rpc: 'ping', id: 1 }],
    ['a request without arguments', { rpc: 'request', id: 1, name: 'add' }],
    ['a request without a number', { rpc: 'request', id: '1', name: 'add', args: [1, 2] }],
    ['a request without a name', { rpc: 'request', id: 1, args: [] }],
    ['a notification without arguments', { rpc: 'notification', name: 'note', args: 'x' }],
    ['a notification of an unknown name', { rpc: 'notification', name: 'unknown', args: [] }],
    ['a notification with the name of an inherited method', { rpc: 'notification', name: 'toString', args: [] }],
    ['the result of an unknown request', { rpc: 'result', id: 99, result: 1 }],
    ['an error without a message', { rpc: 'error', id: 1 }],
  ])('is ignored: %s', async (_, message) => {
    const { client, server, notes, sent } = connected();
    const request = client.request('hang', [], 1000);
    await settled();
    for (const end of [client, server]) end.receive(message);
    await settled();
    expect(notes).toEqual([]);
    expect(sent).toHaveLength(1);
    client.close();
    await expect(request).rejects.toMatchObject({ reason: 'disconnected' });
  });
});

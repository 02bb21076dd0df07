import { describe, expect, it, vi } from 'vitest';
import { Secret } from '../../src/secret.ts';
import { Rpc } from '../../src/server/rpc.ts';
import {
  remoteProcess,
  RemoteStores,
  type RpcToPrimary,
  type RpcToWorker,
  storeRequests,
} from '../../src/server/worker-rpc.ts';
import { TokenCipher } from '../../src/tokens/store/cipher.ts';
import { MemoryStores } from '../../src/tokens/store/memory.ts';
import { createSharing } from '../../src/tokens/store/open.ts';
import { StoreUnavailable } from '../../src/tokens/store/store.ts';
import { makeToken } from '../../src/tokens/token.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';
import { LogLines } from '../support/token-fakes.ts';

const STORED = { generation: 42, encrypted: 'encrypted', remainingMs: 1000 };
const TIMEOUT_MS = 2000;
const TOKEN_TIMEOUT_MS = 20_000;

/** A primary and one worker. While `primary.hangs` is set, the messages to the primary wait. */
function primaryAndWorker() {
  const clock = new ManualClock();
  const waiting: unknown[] = [];
  const primary = { hangs: false };
  const stores = new MemoryStores(clock, (name, event) => workerRpc.notify('storeEvent', name, event));
  const unused = () => Promise.reject(new Error('not used here'));
  const workerRpc: RpcToWorker = new Rpc({
    clock,
    send: (message) => {
      setImmediate(() => rpc.receive(message));
      return true;
    },
    handlers: { requests: storeRequests(stores), notifications: { ready: () => {}, failed: () => {} } },
  });
  const rpc: RpcToPrimary = new Rpc({
    clock,
    send: (message) => {
      if (primary.hangs) waiting.push(message);
      else setImmediate(() => workerRpc.receive(message));
      return true;
    },
    handlers: {
      requests: { snapshot: unused, records: unused, details: unused, refresh: () => new Promise(() => {}) },
      notifications: {
        start: () => {},
        applyConfig: () => {},
        drain: () => {},
        storeEvent: (name, event) => remote.onEvent(name, event),
      },
    },
  });
  const remote = new RemoteStores(rpc);
  const resume = () => {
    primary.hangs = false;
    for (const message of waiting.splice(0)) workerRpc.receive(message);
  };
  return { clock, primary, resume, stores, workerRpc, rpc, remote };
}

describe('the token stores of a primary, as a worker sees them', () => {
  it('respond to each request, and pass the events of a credential on to its subscribers', async () => {
    const { remote } = primaryAndWorker();
    const store = remote.storeOf('credential');
    const events: string[] = [];
    const unsubscribe = store.subscribe((event) => events.push(event));
    remote.storeOf('another').subscribe((event) => events.push(`another: ${event}`));

    expect((await store.acquire('worker 1', 1000, 41)).fencingNumber).toBe(42);
    expect(await store.renew('worker 1', 1000)).toBe(true);
    expect(await store.save('worker 1', STORED, 'saved')).toBe(true);
    expect(await store.read()).toEqual(STORED);
    expect(events).toEqual(['saved']);

    unsubscribe();
    await store.acquire('worker 1', 1000, 42);
    await store.release('worker 1', 'failed');
    await settled();
    expect(events).toEqual(['saved']);
  });

  it('are unavailable if the primary does not respond in time', async () => {
    const { clock, primary, remote } = primaryAndWorker();
    primary.hangs = true;
    const store = remote.storeOf('credential');
    const calls = [
      store.read(),
      store.acquire('worker 1', 1000, 0),
      store.renew('worker 1', 1000),
      store.save('worker 1', STORED, 'saved'),
      store.release('worker 1', undefined),
    ];
    const failures = Promise.all(calls.map((call) => expect(call).rejects.toBeInstanceOf(StoreUnavailable)));
    await clock.advance(TIMEOUT_MS);
    await failures;
  });

  it('release a lease that was granted after the timeout', async () => {
    const { clock, primary, resume, remote } = primaryAndWorker();
    const store = remote.storeOf('credential');
    primary.hangs = true;
    const failure = expect(store.acquire('worker 1', 60_000, 0)).rejects.toBeInstanceOf(StoreUnavailable);
    await clock.advance(TIMEOUT_MS);
    await failure;
    resume();
    await settled();
    expect((await store.acquire('worker 2', 60_000, 0)).fencingNumber).toBe(2);
  });

  it('are unavailable for pending and later calls when the primary dies', async () => {
    const { primary, rpc, remote, clock } = primaryAndWorker();
    primary.hangs = true;
    const store = remote.storeOf('credential');
    const pending = [store.read(), store.acquire('worker 1', 1000, 0), store.release('worker 1', undefined)];
    rpc.close();
    for (const call of [...pending, store.read()]) await expect(call).rejects.toBeInstanceOf(StoreUnavailable);
    expect(clock.timers).toBe(0);
  });

  it.each<[string, (system: ReturnType<typeof primaryAndWorker>) => Promise<void> | void]>([
    ['dies', ({ rpc }) => rpc.close()],
    ['hangs', ({ clock }) => clock.advance(TIMEOUT_MS)],
  ])('let a worker fetch its own token when the primary %s while it waits', async (_, happens) => {
    const system = primaryAndWorker();
    const { clock, primary, remote } = system;
    const token = makeToken('made-up-token', undefined, { lifetimeMs: 60_000, source: 'expires_in' }, clock.now());
    const shared = createSharing({
      stores: remote,
      cipher: new TokenCipher([new Secret('an encryption key for tests, long enough')]),
      owner: 'worker 1',
      clock,
      log: new LogLines(),
    });
    primary.hangs = true;
    const fetched = shared
      .share(
        { fetch: async () => token, timeoutMs: 15_000, configuredRefreshToken: undefined },
        'credential',
        'provider',
      )
      .fetch(undefined);
    await settled();
    await happens(system);
    expect(await fetched).toBe(token);
  });
});

describe('a worker, as its primary sees it', () => {
  it('rejects pending requests as soon as it dies', async () => {
    const { workerRpc, clock } = primaryAndWorker();
    const refresh = remoteProcess(1, workerRpc, () => TOKEN_TIMEOUT_MS).refresh('/api/*');
    await settled();
    workerRpc.close();
    await expect(refresh).rejects.toMatchObject({ reason: 'disconnected' });
    expect(clock.timers).toBe(0);
  });

  it('rejects a request that it does not respond to in time, and the error of one that it fails', async () => {
    const { workerRpc, clock } = primaryAndWorker();
    const refresh = remoteProcess(1, workerRpc, () => TOKEN_TIMEOUT_MS).refresh('/api/*');
    const over = vi.fn();
    refresh.catch(over);
    // The wait for a lease, a refresh and an exchange of the credentials; and the token store.
    await clock.advance(3 * TOKEN_TIMEOUT_MS + 3000);
    expect(over).not.toHaveBeenCalled();
    await clock.advance(10_000);
    await expect(refresh).rejects.toMatchObject({ reason: 'timeout' });
    await expect(remoteProcess(1, workerRpc, () => TOKEN_TIMEOUT_MS).snapshot()).rejects.toMatchObject({
      reason: 'failed',
    });
  });
});

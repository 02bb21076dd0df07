import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { Secret } from '../../../src/secret.ts';
import type { TokenRequester } from '../../../src/tokens/exchange.ts';
import { TokenCipher } from '../../../src/tokens/store/cipher.ts';
import {
  encryptEvent,
  failureEvent,
  LEASE_DURATION_MS,
  maxLeaseWaitMs,
  SharedTokenFetcher,
  type StoreEvent,
} from '../../../src/tokens/store/coordinator.ts';
import { MemoryStores } from '../../../src/tokens/store/memory.ts';
import type { StoredToken, TokenStore } from '../../../src/tokens/store/store.ts';
import { makeToken, type Token } from '../../../src/tokens/token.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';
import { LogLines, refusalOf } from '../../support/token-fakes.ts';

const UNAVAILABLE = 'token_store_unavailable';
const UNREADABLE = 'token_store_token_unreadable';
const CIPHER = new TokenCipher([new Secret('an encryption key for tests, long enough')]);
const NAME = 'credential';
const HOUR_MS = 3_600_000;
const TOKEN_TIMEOUT_MS = 15_000;
const CENTURY_MS = 100 * 365 * 24 * HOUR_MS;

/** Replicas with one store in memory. A stranger can use `store` and `send` too. */
function system() {
  const clock = new ManualClock();
  const listeners = new Set<(event: string) => void>();
  const send = (event: string) => {
    for (const listener of [...listeners]) listener(event);
  };
  const memory = new MemoryStores(clock, (_name, event) => send(event)).storeOf(NAME);
  const counts = { reads: 0, exchanges: 0, foreign: 0 };
  const store: TokenStore = {
    ...memory,
    read: () => {
      counts.reads += 1;
      return memory.read();
    },
    subscribe: (onEvent) => {
      listeners.add(onEvent);
      return () => listeners.delete(onEvent);
    },
  };
  const log = new LogLines();
  const replica = (owner: string, provider: Partial<TokenRequester> = {}, changed: Partial<TokenStore> = {}) => {
    const fetch = async () => {
      counts.exchanges += 1;
      return tokenNamed(`${owner}-${counts.exchanges}`, clock);
    };
    return new SharedTokenFetcher(
      { fetch, timeoutMs: TOKEN_TIMEOUT_MS, configuredRefreshToken: undefined, ...provider },
      {
        store: { ...store, ...changed },
        cipher: CIPHER,
        name: NAME,
        provider: 'mpesa',
        owner,
        clock,
        log,
        onForeignMessage: () => (counts.foreign += 1),
      },
    );
  };
  return { clock, store, send, counts, log, replica };
}

function tokenNamed(name: string, clock: ManualClock): Token {
  return makeToken(name, undefined, { lifetimeMs: HOUR_MS, source: 'expires_in' }, clock.now());
}

function storedToken(name: string, generation: number, remainingMs: number, clock: ManualClock): StoredToken {
  return { generation, encrypted: CIPHER.encrypt(tokenNamed(name, clock), NAME, generation), remainingMs };
}

const nameOf = (token: Token) => token.accessToken.reveal();
const encrypted = (event: StoreEvent, clock: ManualClock) => encryptEvent(event, { cipher: CIPHER, name: NAME, clock });

describe('a replica that waits for the lease of another', () => {
  it('requests its own token if the lease lasts longer than any exchange may, and logs that once', async () => {
    const { clock, store, counts, log, replica } = system();
    await store.acquire('a stranger', LEASE_DURATION_MS, 0);
    const keep = () => {
      void store.renew('a stranger', LEASE_DURATION_MS);
      clock.after(LEASE_DURATION_MS / 2, keep);
    };
    keep();
    const fetcher = replica('one');
    for (const exchanges of [1, 2]) {
      const fetched = fetcher.fetch(undefined);
      await clock.advance(maxLeaseWaitMs(TOKEN_TIMEOUT_MS) - 1);
      expect(counts.exchanges).toBe(exchanges - 1);
      await clock.advance(1);
      expect(nameOf(await fetched)).toBe(`one-${exchanges}`);
    }
    expect(log.lines.filter(({ event }) => event === UNAVAILABLE)).toMatchObject([
      { level: 'warn', fields: { provider: 'mpesa', error: 'others hold the lease for too long' } },
    ]);
  });

  it('waits as long as an exchange may take by `token.timeout`', async () => {
    const { clock, store, counts, replica } = system();
    await store.acquire('a stranger', 600_000, 0);
    const fetched = replica('one', { timeoutMs: 120_000 }).fetch(undefined);
    await clock.advance(122_999);
    expect(counts.exchanges).toBe(0);
    await clock.advance(1);
    expect(nameOf(await fetched)).toBe('one-1');
  });

  it('reads the store once for an event, however often it is replayed', async () => {
    const { clock, store, send, counts, replica } = system();
    await store.acquire('a stranger', 60_000, 0);
    void replica('one').fetch(undefined);
    await settled();
    const { reads } = counts;
    const genuine = encrypted({ kind: 'stored', generation: 5 }, clock);
    for (let i = 0; i < 1000; i++) {
      send(genuine);
      await Promise.resolve();
    }
    await settled();
    expect(counts.reads - reads).toBe(1);
  });

  it('fails with the code and wait of the other, but not with its message', async () => {
    const { replica, counts } = system();
    const failing = Promise.withResolvers<Token>();
    const first = replica('one', { fetch: () => failing.promise }).fetch(undefined);
    await settled();
    const second = replica('two').fetch(undefined);
    await settled();
    failing.reject(new ProxyError('token_denied', 'canary', { retryAfterS: 9 }));
    expect(await refusalOf(first)).toMatchObject({ code: 'token_denied', message: 'canary' });
    const received = await refusalOf(second);
    expect(received).toMatchObject({ code: 'token_denied', retryAfterS: 9 });
    expect(received.message).not.toContain('canary');
    expect(counts).toMatchObject({ exchanges: 0, foreign: 0 });
  });

  it('ignores a failure of a lease before the token that it knows', async () => {
    const { clock, store, send, replica } = system();
    const one = replica('one');
    const first = await one.fetch(undefined);
    const old = failureEvent(new ProxyError('token_denied', 'no'), first.generation);
    await store.acquire('a stranger', LEASE_DURATION_MS, 0);
    const fetched = one.fetch(undefined, first);
    await settled();
    send(encrypted(old!, clock));
    await clock.advance(LEASE_DURATION_MS);
    expect(nameOf(await fetched)).toBe('one-2');
  });
});

describe('a replica that receives an event of a new token', () => {
  it('reads the token once, and adopts it', async () => {
    const { counts, replica } = system();
    const adopted: string[] = [];
    replica('two').watch((token) => adopted.push(nameOf(token)));
    await replica('one').fetch(undefined);
    await settled();
    expect(adopted).toEqual(['one-1']);
    // One read of each replica.
    expect(counts.reads).toBe(2);
  });

  it('does not read the store for an event that is not encrypted with a known key', async () => {
    const { send, counts, replica } = system();
    replica('one').watch(() => {});
    for (let i = 0; i < 1000; i++) send(JSON.stringify({ kind: 'stored', generation: i }));
    await settled();
    expect(counts).toMatchObject({ reads: 0, foreign: 1000 });
  });

  it('runs one read, and has one more pending at most, however many events are replayed', async () => {
    const { clock, send, counts, replica } = system();
    const slow = Promise.withResolvers<undefined>();
    const read = () => {
      counts.reads += 1;
      return slow.promise;
    };
    replica('one', {}, { read }).watch(() => {});
    for (let i = 1; i <= 1000; i++) send(encrypted({ kind: 'stored', generation: i }, clock));
    for (let i = 1; i <= 1000; i++) send(encrypted({ kind: 'stored', generation: i }, clock));
    await settled();
    expect(counts.reads).toBe(1);
    slow.resolve(undefined);
    await settled();
    for (let i = 1; i <= 1000; i++) send(encrypted({ kind: 'stored', generation: i }, clock));
    await settled();
    expect(counts.reads).toBe(2);
  });

  it('still handles events after a read that failed', async () => {
    const { clock, send, counts, replica } = system();
    const read = () => {
      counts.reads += 1;
      return Promise.reject(new Error('canary'));
    };
    replica('one', {}, { read }).watch(() => {});
    for (const generation of [1, 2]) {
      send(encrypted({ kind: 'stored', generation }, clock));
      await settled();
      expect(counts.reads).toBe(generation);
    }
  });
});

describe('a stored token', () => {
  it.each([
    ['for a century', CENTURY_MS, HOUR_MS],
    ['for ever', Infinity, HOUR_MS],
    ['for half an hour', HOUR_MS / 2, HOUR_MS / 2],
  ])('that the store keeps %s lives no longer than when it was issued', async (_, remainingMs, expectedMs) => {
    const { clock, replica } = system();
    const read = async () => storedToken('stored', 7, remainingMs, clock);
    const token = await replica('one', {}, { read }).fetch(undefined);
    expect([nameOf(token), token.expiresAtMs - clock.now()]).toEqual(['stored', expectedMs]);
  });

  it.each([NaN, -1, -2, 0, 999, undefined as never, 'soon' as never])('with %s ms left is ignored', async (ms) => {
    const { clock, replica } = system();
    const read = async () => storedToken('stored', 7, ms, clock);
    expect(nameOf(await replica('one', {}, { read }).fetch(undefined))).toBe('one-1');
  });

  it.each([0, -1, 1.5, NaN, 2 ** 53, 1e300])(
    'with the generation %s is ignored, and that is logged once',
    async (generation) => {
      const { clock, log, replica } = system();
      const read = async () => storedToken('stored', generation, HOUR_MS, clock);
      const fetcher = replica('one', {}, { read });
      expect(nameOf(await fetcher.fetch(undefined))).toBe('one-1');
      expect(log.events.filter((event) => event === UNREADABLE)).toHaveLength(1);
    },
  );

  it('that is replayed is not used in place of a newer one, whatever lifetime the store gives', async () => {
    const { clock, replica } = system();
    let current: StoredToken | undefined;
    const fetcher = replica('two', {}, { read: async () => current });
    const old = (current = storedToken('old', 7, HOUR_MS, clock));
    await fetcher.fetch(undefined);
    current = storedToken('newer', 8, HOUR_MS, clock);
    const newer = await fetcher.fetch(undefined);
    expect([nameOf(newer), (await fetcher.fetch(undefined)) === newer]).toEqual(['newer', true]);
    await clock.advance(HOUR_MS / 2);
    // A token that was fetched without the store has no generation. It is compared by its time.
    const unshared = tokenNamed('unshared', clock);
    await clock.advance(1000);
    const replayed = [old, { ...storedToken('newer', 8, HOUR_MS, clock) }];
    for (const token of replayed) {
      current = { ...token, remainingMs: CENTURY_MS };
      expect(nameOf(await fetcher.fetch(undefined, unshared))).toMatch(/^two-/);
    }
  });
});

describe('the number of a lease', () => {
  it.each([NaN, -1, 0, 7.5, 2 ** 53, 1e300, Infinity])(
    '%s is refused: the replica requests its own token',
    async (fencingNumber) => {
      const { log, replica } = system();
      const released: string[] = [];
      const changed: Partial<TokenStore> = {
        acquire: async () => ({ fencingNumber, stored: undefined }),
        release: async (owner) => void released.push(owner),
        save: () => Promise.reject(new Error('saved')),
      };
      const token = await replica('one', {}, changed).fetch(undefined);
      expect([nameOf(token), token.generation, released]).toEqual(['one-1', 0, ['one']]);
      expect(log.lines.filter(({ event }) => event === UNAVAILABLE)).toMatchObject([
        { fields: { error: 'fencing number out of range' } },
      ]);
    },
  );

  it('is higher than that of every token that the replica knows, even if the store lost everything', async () => {
    const { clock, replica } = system();
    const known = clock.now() * 1000;
    let current: StoredToken | undefined = storedToken('stored', known, HOUR_MS, clock);
    const fetcher = replica('one', {}, { read: async () => current });
    const first = await fetcher.fetch(undefined);
    current = undefined;
    expect((await fetcher.fetch(undefined, first)).generation).toBe(known + 1);
  });
});
